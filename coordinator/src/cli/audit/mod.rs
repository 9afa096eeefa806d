//! `coordinator audit`: proves from what a run left that every sample was used as planned.
//!
//! In: an output folder. Out: a [`Report`], and with it the file that breaks a promise when one does; the line alone
//! when it is the ledger that does. The digest of every checkpoint's state is computed from its files, and the adapter is
//! compared with the checkpoint it is of, while that is there.
//! Keeps: nothing is written and no lock is taken, so it works while the run goes on. The plan is
//! computed anew from `resolved.yaml` and the prepared dataset; both are held against the identity
//! in the ledger's first line.

mod checkpoints;

use std::path::Path;

use serde_json::{Value, json};
use shared::config;
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::ledger::{Auditor, Complete, Damaged, Record, Report, Run};
use shared::manifest::{ADAPTER_FILE, Manifest, checkpoints, file_digest, sha256};
use shared::objective::{NextToken, Objective};
use shared::plan::Plan;
use shared::run_paths::{ADAPTER_COPY_FILE, RunPaths, checkpoint_name};
use shared::storage::{Folder, Group, Objects};

use crate::driver::converted;
use crate::start::identity_digest;
use crate::store;

/// What an audit came to.
#[derive(Debug)]
pub struct Audit {
    /// What is proved.
    pub report: Report,
    /// What keeps it from being a whole proof: a file that the result rests on is not what was recorded.
    pub broken: Option<Error>,
}

/// Audits the run of an output folder.
///
/// # Errors
/// Exit code 7 with the line when the ledger breaks a promise: then nothing is proved; [`Code::NoLedger`] and whatever
/// keeps configuration and data from being read.
pub fn run(output_dir: &Path, cwd: &Path) -> Result<Audit> {
    let folder = cwd.join(output_dir);
    // Before the ledger is read: what has its name by now was committed before.
    let objects = Folder::new(&folder);
    let published = checkpoints(&objects)?;
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
    let mut broken = checkpoints::look_through(&objects, state, published, &mut report);
    if let Some(complete) = &state.complete {
        if let Err(error) = verify_adapter(&objects, complete) {
            report.adapter_differs = true;
            broken.push(error);
        } else if let Err(error) = verify_result(&objects, &report.damaged) {
            broken.push(error);
        }
    }
    report.proved = broken.is_empty();
    let mut broken = broken.into_iter();
    let broken = broken.next().map(|first| first.also(broken));
    Ok(Audit { report, broken })
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
        NextToken.units_of(&samples),
        samples.lengths(),
    ))
}

fn verify_adapter(objects: &dyn Objects, complete: &Complete) -> Result<()> {
    let file = objects.place(ADAPTER_FILE);
    let recorded = &complete.adapter_sha256;
    let error = match file_digest(objects, ADAPTER_FILE) {
        Ok(found) if found.sha256 == *recorded => return Ok(()),
        Ok(found) => Error::new(
            Code::DigestDiffers,
            "the adapter is not the one the run wrote",
        )
        .in_file(&file)
        .why(format!("the ledger says sha256 {recorded}"))
        .why(format!("the file has sha256 {}", found.sha256)),
        Err(error) => error.why(format!("the ledger says sha256 {recorded}")),
    };
    let last = format!("{}/{ADAPTER_FILE}", checkpoint_name(complete.step));
    let copies = [ADAPTER_COPY_FILE, &last];
    let whole =
        |copy: &&&str| file_digest(objects, copy).is_ok_and(|found| found.sha256 == *recorded);
    Err(match copies.iter().find(whole) {
        Some(copy) => error.fix(format!(
            "`cp '{}' '{}'` brings it back: that file has the recorded digest",
            objects.place(copy).display(),
            file.display()
        )),
        None => error.fix("put it back from a copy: no other file here has the recorded digest"),
    })
}

/// The adapter is that of the checkpoint it was exported from, while that is there and was not found damaged.
fn verify_result(objects: &dyn Objects, damaged: &[Damaged]) -> Result<()> {
    let broken = |mut error: Error| {
        error.code = Code::DigestDiffers;
        error
    };
    let copy = "put the file back from a copy; the adapter itself is the recorded one";
    let exported = Manifest::read(objects).map_err(|error| broken(error).fix(copy))?;
    exported.verify(objects).map_err(|error| error.fix(copy))?;
    let name = checkpoint_name(exported.step);
    let damaged = damaged.iter().any(|d| d.step == exported.step);
    if damaged || !objects.has(&name) {
        return Ok(());
    }
    let checkpoint = Group::new(objects, &name);
    let own = file_digest(objects, ADAPTER_FILE)?;
    let same = match converted(&checkpoint).map_err(broken)? {
        Some(bytes) => sha256(&bytes) == own.sha256,
        None => file_digest(&checkpoint, ADAPTER_FILE)?.sha256 == own.sha256,
    };
    if same {
        return Ok(());
    }
    Err(Error::new(
        Code::DigestDiffers,
        format!("the adapter is not that of step {}", exported.step),
    )
    .in_file(objects.place(ADAPTER_FILE))
    .why(format!(
        "it differs from the one in {}",
        checkpoint.place("").display()
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
    use crate::driver::samples::{Damage, checkpoint};

    #[test]
    fn an_adapter_that_is_not_its_checkpoints_is_found() {
        let output = tempfile::tempdir().unwrap();
        let stored = checkpoint(output.path(), 6, Damage::None);
        let other = checkpoint(output.path(), 7, Damage::None);
        let manifest = Manifest::read(&Folder::new(&stored.folder)).unwrap();
        let objects = Folder::new(output.path());
        for (folder, same) in [(&stored.folder, true), (&other.folder, false)] {
            let adapter = output.path().join(ADAPTER_FILE);
            std::fs::copy(Path::new(folder).join(ADAPTER_FILE), &adapter).unwrap();
            let exported = Manifest {
                files: vec![file_digest(&objects, ADAPTER_FILE).unwrap()],
                ..manifest.clone()
            };
            exported.write(&objects).unwrap();
            assert_eq!(verify_result(&objects, &[]).is_ok(), same);
        }
        std::fs::remove_dir_all(&stored.folder).unwrap();
        verify_result(&objects, &[]).unwrap();
    }
}
