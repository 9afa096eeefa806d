//! `coordinator audit`: proves from what a run left that every sample was used as planned.
//!
//! In: an output folder. Out: a [`Report`], or the line or file that breaks a promise. The digest of
//! every checkpoint's state is computed from its files, and the adapter is compared with the checkpoint
//! it is of, while that is there.
//! Keeps: nothing is written and no lock is taken, so it works while the run goes on. The plan is
//! computed anew from `resolved.yaml` and the prepared dataset; both are held against the identity
//! in the ledger's first line.

use std::path::Path;

use serde_json::{Value, json};
use shared::config;
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::ledger::{Auditor, Complete, Record, Report, Run, State};
use shared::manifest::{
    ADAPTER_FILE, Content, MANIFEST, Manifest, checkpoint_name, checkpoints, file_digest, sha256,
};
use shared::paths::RunPaths;
use shared::plan::Plan;

use crate::driver::converted;
use crate::start::identity_digest;
use crate::store;

/// Audits the run of an output folder.
///
/// # Errors
/// Exit code 7 with line or file when a promise is broken; [`Code::NoLedger`] and whatever keeps
/// configuration and data from being read.
pub fn run(output_dir: &Path, cwd: &Path) -> Result<Report> {
    let folder = cwd.join(output_dir);
    // Before the ledger is read: what has its name by now was committed before.
    let published = checkpoints(&folder);
    let path = RunPaths::new(&folder).ledger();
    let mut auditor = None;
    let reading = store::read(&path, |_, record| {
        if let Record::Run(run) = record {
            auditor = Some(Auditor::new(run, plan(&folder, run, cwd)?)?);
        }
        auditor
            .as_mut()
            .map_or(Ok(()), |a: &mut Auditor| a.see(record))
    })?;
    let reading = reading.ok_or_else(|| no_ledger(&path, "there is no such file"))?;
    let (Some(auditor), Some(state)) = (auditor, reading.book.state()) else {
        return Err(no_ledger(&path, "it has no whole line yet"));
    };
    let mut report = auditor.finish(&reading.book)?;
    for (step, checkpoint) in published.into_iter().rev() {
        match verify_checkpoint(state, step, &checkpoint) {
            Ok(Content::Proved) => report.checkpoints.push(step),
            Ok(Content::Unknown) => {
                report.checkpoints.push(step);
                report.not_recomputed.push(step);
            }
            // A run that goes on removes its oldest ones.
            Err(_) if !checkpoint.exists() => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(complete) = &state.complete {
        verify_adapter(&folder, complete)?;
        verify_result(&folder)?;
    }
    Ok(report)
}

/// The report as one object with `event: audit`.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let mut object = json!({ "event": "audit" });
    if let (Some(object), Ok(Value::Object(facts))) =
        (object.as_object_mut(), serde_json::to_value(report))
    {
        object.extend(facts);
    }
    object
}

/// The plan of the run, from configuration and data that are those of its identity.
fn plan(folder: &Path, run: &Run, cwd: &Path) -> Result<Plan> {
    if identity_digest(&run.identity) != run.run_identity {
        return Err(Error::new(
            Code::LedgerContradiction,
            "the run's identity is not what its digest was made of",
        ));
    }
    let paths = RunPaths::new(folder);
    let file = paths.resolved();
    let config = config::load(&file, &[], cwd)?.config;
    let fields = config::identity_fields(&config);
    let recorded = run.identity.clone().into_iter();
    let recorded = recorded
        .filter(|(key, _)| fields.contains_key(key))
        .collect();
    let differences = config::difference(&recorded, &fields);
    if !differences.is_empty() {
        let mut error = Error::new(
            Code::LedgerContradiction,
            "the configuration is not the one the run began with",
        )
        .in_file(&file);
        error.why = differences;
        return Err(error);
    }
    let digest = run.identity.get("dataset").map_or("", String::as_str);
    let prepared = paths.dataset(digest);
    if !prepared.is_file() {
        return Err(Error::new(
            Code::MissingPath,
            "the prepared dataset of the run is not there",
        )
        .in_file(&prepared)
        .why("without it the plan cannot be computed")
        .fix("put it back; it lies in `prepared` beside the ledger"));
    }
    // Opening compares the content with the name.
    let samples = PreparedDataset::open(&prepared)?;
    Ok(Plan::new(
        &config,
        samples.target_tokens(),
        samples.lengths(),
    ))
}

/// A checkpoint is whole, and holds the state that its step committed.
fn verify_checkpoint(state: &State, step: Step, folder: &Path) -> Result<Content> {
    let broken = |mut error: Error| {
        error.code = Code::DigestDiffers;
        error
    };
    let manifest = Manifest::read(folder).map_err(broken)?;
    manifest.verify(folder)?;
    let place = folder.join(MANIFEST);
    let differs = |what: String| Error::new(Code::LedgerContradiction, what).in_file(&place);
    if manifest.step != step {
        return Err(differs(format!(
            "the checkpoint of step {} lies under another name",
            manifest.step
        )));
    }
    match state.agrees(step, &manifest.state_digest) {
        Some(true) => manifest.verify_state(folder, &[], &mut |_| ()),
        Some(false) => {
            let committed = state.line_of(step).map_or_else(
                || "the run began with another".to_owned(),
                |line| format!("line {line} of the ledger committed another"),
            );
            Err(differs(format!(
                "the checkpoint does not hold the state that step {step} committed"
            ))
            .why(format!("its state digest is {}", manifest.state_digest))
            .why(committed))
        }
        None => Err(differs(format!(
            "the checkpoint of step {step} is of no step that the ledger knows"
        ))
        .why(format!(
            "the ledger knows steps {} to {}",
            state.run.begins_after,
            state.highest()
        ))
        .why("a ledger whose end was cut off looks like this")),
    }
}

fn verify_adapter(folder: &Path, complete: &Complete) -> Result<()> {
    let file = folder.join(ADAPTER_FILE);
    let found = file_digest(&file)?.sha256;
    if found == complete.adapter_sha256 {
        return Ok(());
    }
    Err(Error::new(
        Code::DigestDiffers,
        "the adapter is not the one the run wrote",
    )
    .in_file(&file)
    .why(format!(
        "the ledger says sha256 {}",
        complete.adapter_sha256
    ))
    .why(format!("the file has sha256 {found}")))
}

/// The adapter is that of the checkpoint it was exported from, while that is there.
fn verify_result(folder: &Path) -> Result<()> {
    let broken = |mut error: Error| {
        error.code = Code::DigestDiffers;
        error
    };
    let exported = Manifest::read(folder).map_err(broken)?;
    exported.verify(folder)?;
    let checkpoint = folder.join(checkpoint_name(exported.step));
    if !checkpoint.is_dir() {
        return Ok(());
    }
    let own = file_digest(&folder.join(ADAPTER_FILE))?;
    let same = match converted(&checkpoint).map_err(broken)? {
        Some(bytes) => sha256(&bytes) == own.sha256,
        None => file_digest(&checkpoint.join(ADAPTER_FILE))?.sha256 == own.sha256,
    };
    if same {
        return Ok(());
    }
    Err(Error::new(
        Code::DigestDiffers,
        format!("the adapter is not that of step {}", exported.step),
    )
    .in_file(folder.join(ADAPTER_FILE))
    .why(format!(
        "it differs from the one in {}",
        checkpoint.display()
    )))
}

fn no_ledger(path: &Path, why: &str) -> Error {
    Error::new(Code::NoLedger, "no run has left a ledger here")
        .in_file(path)
        .why(why)
        .fix("name the `output_dir` of a run")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::samples::{Damage, checkpoint, ledger};

    #[test]
    fn a_checkpoint_that_claims_the_committed_digest_is_computed_from_its_files() {
        for (damage, proved) in [
            (Damage::None, true),
            (Damage::Flipped, false),
            (Damage::OtherState, false),
        ] {
            let output = tempfile::tempdir().unwrap();
            let stored = checkpoint(output.path(), 6, damage);
            let verified = verify_checkpoint(&ledger(8), Step(6), stored.folder.as_ref());
            match verified {
                Ok(content) => assert!(proved && content == Content::Proved, "{damage:?}"),
                Err(error) => assert!(!proved && error.code == Code::DigestDiffers, "{error:?}"),
            }
        }
    }

    #[test]
    fn a_checkpoint_of_an_earlier_version_is_told_from_a_proved_one() {
        let output = tempfile::tempdir().unwrap();
        let stored = checkpoint(output.path(), 6, Damage::None);
        let folder = Path::new(&stored.folder);
        let mut manifest = Manifest::read(folder).unwrap();
        manifest.parameters.clear();
        manifest.write(folder).unwrap();
        let verified = verify_checkpoint(&ledger(8), Step(6), folder).unwrap();
        assert_eq!(verified, Content::Unknown);
    }

    #[test]
    fn an_adapter_that_is_not_its_checkpoints_is_found() {
        let output = tempfile::tempdir().unwrap();
        let stored = checkpoint(output.path(), 6, Damage::None);
        let other = checkpoint(output.path(), 7, Damage::None);
        let manifest = Manifest::read(stored.folder.as_ref()).unwrap();
        for (folder, same) in [(&stored.folder, true), (&other.folder, false)] {
            let adapter = output.path().join(ADAPTER_FILE);
            std::fs::copy(Path::new(folder).join(ADAPTER_FILE), &adapter).unwrap();
            let exported = Manifest {
                files: vec![file_digest(&adapter).unwrap()],
                ..manifest.clone()
            };
            exported.write(output.path()).unwrap();
            assert_eq!(verify_result(output.path()).is_ok(), same);
        }
        std::fs::remove_dir_all(&stored.folder).unwrap();
        verify_result(output.path()).unwrap();
    }
}
