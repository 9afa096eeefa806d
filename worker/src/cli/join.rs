//! `worker join`: one session, or one process per device.

use std::process::Stdio;

use shared::error::{Code, Error, ExitCode, Result};
use shared::faults::Faults;
use shared::security::{Security, check_loopback};
use tokio::process::Command;

use super::JoinArgs;
use crate::session::{self, Ending, JoinOptions};

/// Joins with one device, or starts a process for each.
///
/// # Errors
/// Whatever ended the session; [`Code::NotLoopback`], [`Code::Usage`].
pub async fn run(args: JoinArgs) -> Result<ExitCode> {
    check_loopback(args.listen, args.insecure)?;
    if args.device.len() > 1 {
        return one_process_each(&args).await;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args
        .threads
        .map_or(cores, |n| usize::try_from(n).unwrap_or(1));
    let ending = session::join(JoinOptions {
        address: args.address,
        device: args.device.into_iter().next(),
        threads,
        listen: args.listen,
        advertise: args.advertise,
        base_model: args.base_model,
        security: Security::Plain,
        faults: Faults::from_environment()?,
    })
    .await?;
    match ending {
        Ending::Complete(_) => Ok(ExitCode::Complete),
        Ending::Drained | Ending::Stopped(_) => Ok(ExitCode::Interrupted),
        Ending::Failed(error) => Err(error),
    }
}

/// Each child is this program with one device; ends with the code that [`worse`] picks.
async fn one_process_each(args: &JoinArgs) -> Result<ExitCode> {
    let failed = |e: std::io::Error| {
        Error::new(Code::Io, "a worker process cannot be started").why(e.to_string())
    };
    let program = std::env::current_exe().map_err(failed)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = u32::try_from((cores / args.device.len()).max(1)).unwrap_or(1);
    let mut children = Vec::new();
    for device in &args.device {
        let mut command = Command::new(&program);
        command
            .arg("join")
            .arg(&args.address)
            .args(["--device", device]);
        command.args(["--threads", &args.threads.unwrap_or(share).to_string()]);
        let address = format!("{}", std::net::SocketAddr::new(args.listen.ip(), 0));
        command.args(["--listen", &address]);
        if let Some(host) = &args.advertise {
            command.args(["--advertise", host]);
        }
        if let Some(base) = &args.base_model {
            command.arg("--base-model").arg(base);
        }
        if args.insecure {
            command.arg("--insecure");
        }
        children.push(command.stdin(Stdio::null()).spawn().map_err(failed)?);
    }
    let mut worst = ExitCode::Complete;
    for child in &mut children {
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            worst = worse(worst, ExitCode::from_code(status.code().unwrap_or(1)));
        }
    }
    Ok(worst)
}

/// The first failure. That all are safe is said only when none of them failed.
fn worse(so_far: ExitCode, next: ExitCode) -> ExitCode {
    match so_far {
        ExitCode::Complete | ExitCode::Interrupted => match next {
            ExitCode::Complete => so_far,
            next => next,
        },
        failed => failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_that_lost_its_state_is_not_hidden_by_others_that_left_in_good_order() {
        let (left, lost) = (ExitCode::Interrupted, ExitCode::from_code(5));
        assert_eq!(worse(left, lost), lost);
        assert_eq!(worse(lost, left), lost);
        assert_eq!(worse(left, ExitCode::Complete), left);
        assert_eq!(worse(ExitCode::Complete, left), left);
    }
}
