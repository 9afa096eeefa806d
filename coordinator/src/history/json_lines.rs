//! Events as lines of JSON: the one form of `--output json` and of `logs/cluster.jsonl`.

use std::io::Write;
use std::path::Path;

use shared::error::{Code, Error, Result};

use super::append_log::AppendLog;
use super::event::{EventSink, RunEvent};

/// An event as one line of JSON with its line end.
///
/// # Errors
/// [`Code::Internal`] when it cannot be serialised.
fn line(event: &RunEvent) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)
        .map_err(|e| Error::new(Code::Internal, "an event has no JSON form").why(e.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

/// Events on a stream, for a script that follows the run.
pub(super) struct EventStream(Box<dyn Write + Send>);

impl EventStream {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self(out)
    }
}

impl EventSink for EventStream {
    /// Writes one line. A reader that is gone ends no run: the failure goes to the log alone.
    fn take(&mut self, event: &RunEvent) -> Result<()> {
        // One write: a reader that follows the stream never sees half an object.
        let written = self.0.write_all(&line(event)?);
        if let Err(e) = written.and_then(|()| self.0.flush()) {
            tracing::warn!("an event could not be written to stdout: {e}");
        }
        Ok(())
    }
}

/// `logs/cluster.jsonl`: every event of the run, over all its starts.
#[derive(Debug)]
pub struct ClusterLog(AppendLog);

impl ClusterLog {
    /// Opens the file to append to it, or creates it.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn open(path: &Path) -> Result<Self> {
        AppendLog::open(path, "the log cannot be written").map(Self)
    }
}

impl EventSink for ClusterLog {
    /// Appends one line. A join token goes to whoever started the run, and into no file.
    fn take(&mut self, event: &RunEvent) -> Result<()> {
        let line = match event {
            RunEvent::Listening { address, .. } => line(&RunEvent::Listening {
                address: address.clone(),
                token: None,
            }),
            event => line(event),
        };
        self.0.append(&line?)
    }
}
