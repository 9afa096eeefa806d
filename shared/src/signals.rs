//! SIGTERM and interrupt: the first asks a program to leave in good order, the second ends it at once, with the code
//! that shells give to a process that a signal ended: nothing is promised of the state then.
//!
//! Both are heard by a thread of their own, so that the second one ends a program whatever that waits for.

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::{Code, Error, Result};

/// Both signals, taken over from their default for the rest of the process's life.
#[derive(Debug)]
pub struct LeaveSignal(Option<oneshot::Receiver<()>>);

impl LeaveSignal {
    /// Takes the signals over.
    ///
    /// # Errors
    /// [`Code::Io`] when the system takes no handler, or gives no thread.
    pub fn listen() -> Result<Self> {
        let failed =
            |e: std::io::Error| Error::new(Code::Io, "no signal handler").why(e.to_string());
        let runtime = Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(failed)?;
        let (terminate, interrupt) = {
            let _entered = runtime.enter();
            let listen = |kind| signal(kind).map_err(failed);
            (
                listen(SignalKind::terminate())?,
                listen(SignalKind::interrupt())?,
            )
        };
        let (tell, asked) = oneshot::channel();
        let both = Both {
            terminate,
            interrupt,
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || runtime.block_on(both.hear(tell)))
            .map_err(failed)?;
        Ok(Self(Some(asked)))
    }

    /// Returns at the first signal, and never again. Cancel safe.
    pub async fn recv(&mut self) {
        if let Some(asked) = &mut self.0
            && asked.await.is_ok()
        {
            self.0 = None;
            return;
        }
        std::future::pending().await
    }
}

struct Both {
    terminate: Signal,
    interrupt: Signal,
}

impl Both {
    async fn hear(mut self, tell: oneshot::Sender<()>) {
        self.next().await;
        // Nobody who waits: whoever took the signals over is about to end by itself.
        let _ = tell.send(());
        let kind = self.next().await;
        eprintln!("ended by a second signal: what was not on storage yet is lost");
        std::process::exit(128 + kind.as_raw_value());
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
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

    /// What the process is that gets the signals: after the first one it hears nothing, whatever it waits for.
    fn listens() {
        let runtime = Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let mut leave = LeaveSignal::listen().unwrap();
            println!("\nlistening");
            leave.recv().await;
            println!("\nasked");
            std::thread::sleep(Duration::from_secs(60));
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
