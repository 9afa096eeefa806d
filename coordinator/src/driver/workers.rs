//! Worker processes that `up --local-workers N` starts beside itself.
//!
//! Each worker has a process group of its own and writes to its own log, never to the coordinator's stdout.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::run_paths::worker_log;
use tokio::process::{Child, Command};

/// How long local workers may take to leave at the end before they are killed.
const GOODBYE: Duration = Duration::from_secs(10);

/// The local workers of one run.
#[derive(Debug, Default)]
pub struct LocalWorkers {
    children: Vec<LocalWorker>,
    /// The workers' process ids in hexadecimal, as an incarnation begins.
    processes: Vec<String>,
}

#[derive(Debug)]
struct LocalWorker {
    child: Child,
    log: PathBuf,
}

impl LocalWorkers {
    /// Starts `count` workers that join `address`.
    ///
    /// # Errors
    /// [`Code::Usage`] when the program `worker` is not beside this one.
    pub fn start(count: u32, address: SocketAddr, logs: &Path) -> Result<Self> {
        let mut workers = Self::default();
        if count == 0 {
            return Ok(workers);
        }
        let program = worker_program()?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores / usize::try_from(count).unwrap_or(1)).max(1);
        for number in 1..=count {
            let log = logs.join(worker_log(number));
            let failed = |e: std::io::Error| {
                Error::new(Code::Io, "a local worker cannot be started")
                    .in_file(&program)
                    .why(e.to_string())
            };
            let output = File::create(&log).map_err(failed)?;
            let errors = output.try_clone().map_err(failed)?;
            let child = Command::new(&program)
                .arg("join")
                .arg(address.to_string())
                .arg("--threads")
                .arg(threads.to_string())
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(errors)
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(failed)?;
            let process = child.id().map(|id| format!("{id:x}"));
            workers.processes.extend(process);
            workers.children.push(LocalWorker { child, log });
        }
        Ok(workers)
    }

    /// Whether no local worker was started.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Whether a worker with this incarnation is a local one: an incarnation begins with the process id.
    #[must_use]
    pub fn is_own(&self, incarnation: &str) -> bool {
        let process = incarnation.split('-').next().unwrap_or_default();
        self.processes.iter().any(|own| own == process)
    }

    /// Waits until every local worker has ended; returns each one's exit status and log.
    ///
    /// Cancel safe. Never returns when there are none.
    pub async fn all_ended(&mut self) -> Vec<String> {
        if self.children.is_empty() {
            std::future::pending::<()>().await;
        }
        let mut ends = Vec::new();
        for worker in &mut self.children {
            let status = worker.child.wait().await;
            let status = status.map_or_else(|e| e.to_string(), |s| s.to_string());
            ends.push(format!("{status}, see {}", worker.log.display()));
        }
        ends
    }

    /// Waits for the local workers to leave, where they were `told` to, then kills the rest: no later coordinator needs
    /// what they hold.
    pub async fn stop(mut self, told: bool) {
        if told {
            let ended = async {
                for worker in &mut self.children {
                    let _ = worker.child.wait().await;
                }
            };
            // Workers that are left after that are killed below.
            let _ = tokio::time::timeout(GOODBYE, ended).await;
        }
        for worker in &mut self.children {
            let _ = worker.child.kill().await;
        }
    }
}

fn worker_program() -> Result<PathBuf> {
    let own = std::env::current_exe()
        .map_err(|e| Error::new(Code::Io, "this program's folder is unknown").why(e.to_string()))?;
    let program = own.with_file_name("worker");
    if program.is_file() {
        return Ok(program);
    }
    Err(Error::new(
        Code::Usage,
        "--local-workers needs the program `worker` beside `coordinator`",
    )
    .in_file(program)
    .fix("make build, or start workers yourself with `worker join`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_how_its_incarnation_begins() {
        let workers = LocalWorkers {
            processes: vec!["1f".into(), "20".into()],
            ..LocalWorkers::default()
        };
        assert!(workers.is_own("1f-18f"));
        assert!(!workers.is_own("1f0-18f") && !workers.is_own("") && !workers.is_own("a-1f"));
    }
}
