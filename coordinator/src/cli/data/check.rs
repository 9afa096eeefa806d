//! `coordinator data check`: what should be mended before training.
//!
//! In: a configuration. Out: a [`Diagnosis`], and all of it as `data_report.json`, written whole or
//! not at all. Keeps: nothing else is written; data that a run would refuse is a part of the
//! diagnosis, and the exit code is that of the refusal.

use std::path::Path;

use shared::error::{Code, Error, Result};
use shared::storage::write_atomic;

use super::{CheckArgs, Opened, open};
use crate::data::{self, Diagnosis, Progress};

/// Diagnoses the data and writes the report.
///
/// # Errors
/// Whatever keeps the data from being read, [`Code::Io`] when the report cannot be written.
pub fn run(args: &CheckArgs, cwd: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Diagnosis> {
    let opened = open(&args.source, cwd)?;
    let Opened {
        config,
        tokenizer,
        template,
        ..
    } = &opened;
    let mut diagnosis = data::diagnose(config, tokenizer, template.as_ref(), progress)?;
    if diagnosis.refused.is_none() {
        diagnosis.refused = opened.within_the_embedding().err();
    }
    let mut text = serde_json::to_vec_pretty(&diagnosis.to_json())
        .map_err(|e| Error::new(Code::Internal, "the data report").why(e.to_string()))?;
    text.push(b'\n');
    write_atomic(&cwd.join(&args.report), &text)?;
    Ok(diagnosis)
}
