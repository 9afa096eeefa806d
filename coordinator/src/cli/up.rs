//! `coordinator up`: prepare, listen, lead, end.

use std::net::SocketAddr;
use std::path::Path;

use shared::error::{Code, Error, Result};
use shared::faults::Faults;
use shared::net::Listener;
use shared::security::{Security, check_loopback};
use shared::telemetry::LogFile;

use super::UpArgs;
use crate::driver::End;
use crate::history::Reporter;
use crate::rpc::bind;
use crate::start::{self, Crew, Request};

/// Leads a run to its end.
///
/// # Errors
/// Whatever stops it, coded. A run that is refused before it listens leaves no trace.
pub async fn run(args: &UpArgs, cwd: &Path, reporter: Reporter, log: &LogFile) -> Result<End> {
    let faults = Faults::from_environment()?;
    check_loopback(args.listen, args.insecure)?;
    let security = Security::Plain;
    // A port that is named and taken is said before anything else is looked at.
    let named = match args.listen.port() {
        0 => None,
        _ => Some(bind(args.listen, &security)?),
    };
    let request = Request {
        config: args.config.clone(),
        set: args.set.clone(),
        cwd: cwd.to_path_buf(),
        overwrite: args.overwrite,
    };
    let prepared = blocking(move || start::prepare(&request)).await?;
    let door = match named {
        Some(bound) => bound,
        None => bind_again(args.listen, prepared.address(), &security)?,
    };
    let reached = door.address().to_string();
    let setup = blocking(move || prepared.begin(&reached)).await?;
    let crew = Crew {
        min_workers: args.min_workers,
        wait_workers: args.wait_workers,
        local_workers: args.local_workers,
    };
    // On the heap: a set-up run is large.
    Box::pin(start::lead(setup, crew, door, reporter, log, faults)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::new(Code::Internal, "preparation broke").why(e.to_string()))?
}

/// Port 0: where this run listened before, so that its workers find it again; else any free one.
fn bind_again(listen: SocketAddr, before: Option<&str>, security: &Security) -> Result<Listener> {
    let before = before.and_then(|address| address.parse::<SocketAddr>().ok());
    if let Some(before) = before.filter(|b| b.ip() == listen.ip())
        && let Ok(bound) = bind(before, security)
    {
        return Ok(bound);
    }
    bind(listen, security)
}
