//! What survives a restart of the coordinator: one record beside the run.
//!
//! In: the identity of a run. Out: `run.json` in the output folder, and the decision what a start
//! in that folder means. The embedded store and etcd will stand behind the same record.

mod decide;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::error::{Code, Error, Result};
use shared::ids::{RunId, Term};
use shared::storage;

pub use decide::{Existing, Start, decide};

/// Name of the record.
pub const RUN_RECORD: &str = "run.json";

/// What is remembered of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    pub run_id: RunId,
    /// Version of the leadership: grows with every start.
    pub term: Term,
    /// Digest over everything that decides the adapter.
    pub run_identity: String,
    /// What that digest was made of, readable.
    pub identity: BTreeMap<String, String>,
    /// Every step is committed and the adapter is written.
    pub complete: bool,
}

impl RunRecord {
    /// Reads the record of a folder, `None` when there is none.
    ///
    /// # Errors
    /// [`Code::OtherRun`] when it is not understood.
    pub fn read(output_dir: &Path) -> Result<Option<Self>> {
        let path = output_dir.join(RUN_RECORD);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(Error::new(Code::Io, "the run's record cannot be read")
                    .in_file(path)
                    .why(e.to_string()));
            }
        };
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Error::new(
                Code::OtherRun,
                "output_dir holds a run this version does not understand",
            )
            .in_file(path)
            .why(e.to_string())
            .fix("--set output_dir=ANOTHER, or --overwrite to start anew")
        })
    }

    /// Writes the record.
    ///
    /// # Errors
    /// [`Code::Io`].
    pub fn write(&self, output_dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(Code::Internal, format!("run record: {e}")))?;
        storage::write_atomic(&output_dir.join(RUN_RECORD), format!("{text}\n").as_bytes())
    }
}
