//! SIGTERM and interrupt: the first asks a program to leave in good order, the second ends it at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Code, Error, ExitCode, Result};

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

    /// Waits for the first signal. Cancel safe; the second one ends the process here, with the code of an interrupted run.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        if std::mem::replace(&mut self.asked, true) {
            std::process::exit(i32::from(ExitCode::Interrupted as u8));
        }
    }
}
