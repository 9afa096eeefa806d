//! SIGTERM and interrupt: the first asks a program to leave in good order, the second ends it at once, with the code
//! that shells give to a process that a signal ended: nothing is promised of the state then.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Code, Error, Result};

/// Both signals, taken over from their default.
#[derive(Debug)]
pub struct LeaveSignal {
    terminate: Signal,
    interrupt: Signal,
    asked: bool,
}

impl LeaveSignal {
    /// Takes the signals over.
    ///
    /// # Errors
    /// [`Code::Io`] when the system takes no handler.
    pub fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|e| Error::new(Code::Io, "no signal handler").why(e.to_string()))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            asked: false,
        })
    }

    /// Waits for the first signal. Cancel safe; the second one ends the process here, with 128 and its number.
    pub async fn recv(&mut self) {
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        if std::mem::replace(&mut self.asked, true) {
            eprintln!("ended by a second signal: what was not on storage yet is lost");
            std::process::exit(128 + kind.as_raw_value());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    const CHILD: &str = "LEAVE_SIGNAL_CHILD";

    /// What the process is that gets the signals.
    fn listens() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let mut leave = LeaveSignal::listen().unwrap();
            println!("\nlistening");
            let waits = async {
                leave.recv().await;
                println!("\nasked");
                leave.recv().await;
            };
            let _ = tokio::time::timeout(Duration::from_secs(60), waits).await;
        });
    }

    #[test]
    fn the_first_signal_asks_and_the_second_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            listens();
            return;
        }
        for (pair, code) in [
            (["TERM", "INT"], 130),
            (["INT", "TERM"], 143),
            (["TERM", "TERM"], 143),
        ] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg("signals::tests::the_first_signal_asks_and_the_second_ends_the_process")
                .env(CHILD, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
            for (signal, after) in pair.into_iter().zip(["listening", "asked"]) {
                let heard = said.any(|line| line.is_ok_and(|line| line == after));
                assert!(heard, "{pair:?}: never {after}");
                let kill = Command::new("kill")
                    .args(["-s", signal, &child.id().to_string()])
                    .status();
                assert!(kill.unwrap().success());
            }
            assert_eq!(child.wait().unwrap().code(), Some(code), "{pair:?}");
        }
    }
}
