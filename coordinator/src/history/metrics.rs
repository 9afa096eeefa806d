//! `metrics.jsonl`: one object per committed step, for notebooks.
//!
//! In: step records, in order. Out: lines with Hugging Face's key names, unrounded. On resume the
//! lines past the resumed step, and a line torn by a crash, are taken out atomically, so that no
//! step is in the file twice.

use std::path::Path;

use serde::Deserialize;
use shared::error::{Code, Error, Result};
use shared::ids::Step;

use super::append_log::{self, AppendLog};
use super::record::StepRecord;

const FAILURE: &str = "writing metrics failed";

/// The open `metrics.jsonl` of a run.
#[derive(Debug)]
pub struct MetricsLog {
    file: AppendLog,
    missing: u64,
}

#[derive(Deserialize)]
struct Line {
    step: u64,
}

impl MetricsLog {
    /// Opens the file of a run that stands after `resumed` (0: a new run, an older file is
    /// emptied).
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn open(path: &Path, resumed: Step) -> Result<Self> {
        let old = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(append_log::error(FAILURE, path, &e)),
        };
        let (kept, lines) = keep(&old, resumed.0);
        if kept.len() != old.len() {
            shared::storage::write_atomic(path, &kept)?;
        }
        Ok(Self {
            file: AppendLog::open(path, FAILURE)?,
            missing: resumed.0 - lines,
        })
    }

    /// Steps up to the resumed one that have no line: a crash lost them.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Appends one step; after an error nothing was appended, and it may be tried again.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn append(&mut self, record: &StepRecord) -> Result<()> {
        let mut line = serde_json::to_vec(record)
            .map_err(|e| Error::new(Code::Internal, "metrics line").why(e.to_string()))?;
        line.push(b'\n');
        self.file.append(&line)
    }
}

/// Whole lines of steps `1..=resumed` in rising order, and how many.
fn keep(old: &[u8], resumed: u64) -> (Vec<u8>, u64) {
    let mut kept = Vec::with_capacity(old.len());
    let (mut last, mut lines) = (0, 0);
    for line in old
        .split_inclusive(|&b| b == b'\n')
        .filter(|line| line.ends_with(b"\n"))
    {
        if let Ok(Line { step }) = serde_json::from_slice(line)
            && step > last
            && step <= resumed
        {
            kept.extend_from_slice(line);
            last = step;
            lines += 1;
        }
    }
    (kept, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::record;

    fn steps(path: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|l| serde_json::from_str::<StepRecord>(l).unwrap().step.0)
            .collect()
    }

    #[test]
    fn every_step_is_one_whole_line_with_the_usual_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, Step(0)).unwrap();
        log.append(&record(1)).unwrap();
        log.append(&StepRecord {
            loss: f64::INFINITY,
            skipped: true,
            ..record(2)
        })
        .unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap(), @r#"
        {"step":1,"epoch":0.3333333333333333,"loss":3.0,"grad_norm":0.6428571428571428,"learning_rate":0.00015,"num_tokens":101,"skipped":false,"workers":2}
        {"step":2,"epoch":0.6666666666666666,"loss":null,"grad_norm":0.7857142857142857,"learning_rate":0.000075,"num_tokens":102,"skipped":true,"workers":2}
        "#);
    }

    #[test]
    fn a_resume_takes_out_later_steps_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, Step(0)).unwrap();
        (1..=5).for_each(|s| log.append(&record(s)).unwrap());
        log.file.append(b"{\"step\":6,\"lo").unwrap();
        let mut log = MetricsLog::open(&path, Step(3)).unwrap();
        assert_eq!((steps(&path), log.missing()), (vec![1, 2, 3], 0));
        log.append(&record(4)).unwrap();
        assert_eq!(steps(&path), [1, 2, 3, 4]);
        assert_eq!(MetricsLog::open(&path, Step(7)).unwrap().missing(), 3);
        MetricsLog::open(&path, Step(0)).unwrap();
        assert_eq!(steps(&path), [0u64; 0]);
    }
}
