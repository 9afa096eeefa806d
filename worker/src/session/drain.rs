//! Signals that ask a worker to leave.

use shared::error::{Code, Error, ExitCode, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and interrupt: the first drains, the second ends the process at once.
pub(super) struct DrainSignal {
    terminate: Signal,
    interrupt: Signal,
    asked: bool,
}

impl DrainSignal {
    /// Takes both signals over from their default.
    ///
    /// # Errors
    /// [`Code::Io`] when the system takes no handler.
    pub(super) fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|e| Error::new(Code::Io, "no signal handler").why(e.to_string()))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            asked: false,
        })
    }

    /// Waits for a signal. Cancel safe; the second one ends the process here.
    pub(super) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        if self.asked {
            std::process::exit(i32::from(ExitCode::Interrupted as u8));
        }
        self.asked = true;
    }
}
