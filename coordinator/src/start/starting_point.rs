//! Where a run begins or goes on.
//!
//! Keeps: a run goes on only from a state that its ledger knows, with the digest that it committed, and
//! only when the files hold that very state: a checkpoint that does not is passed over, by name.

use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::ledger::{Checkpoint, Parent, Policy, Record, State};
use shared::manifest::{self, Manifest};
use shared::paths::{RunPaths, checkpoint_name};
use shared::wire::message::SyncSource;

use crate::engine::Restorable;
use crate::store::Replay;

/// The checkpoint a run goes on from, or its beginning, and what a new run inherits from it.
pub(super) fn starting_point(
    paths: &RunPaths,
    resume: Option<&str>,
    run_identity: &str,
    state: Option<&State>,
    notices: &mut Vec<String>,
) -> Result<(Restorable, Option<Parent>)> {
    let output_dir = paths.output_dir();
    notices.extend(tidy(paths));
    let Some(resume) = resume else {
        return Ok((initial(), None));
    };
    let (folder, found) = if matches!(resume, "latest" | "auto") {
        match manifest::newest_where(output_dir, &[], |manifest| fits(state, manifest))? {
            Some(found) => {
                for skipped in &found.skipped {
                    notices.push(format!("skipped: {}", shared::error::render(skipped)));
                }
                (found.folder, found.manifest)
            }
            None if resume == "auto" => return from_the_seed(output_dir, state),
            None => {
                return Err(
                    Error::new(Code::NoCheckpoint, "there is no checkpoint to go on from")
                        .in_file(output_dir)
                        .fix("leave resume_from_checkpoint out to begin"),
                );
            }
        }
    } else {
        let folder = PathBuf::from(resume);
        let found = Manifest::read(&folder)?;
        fits(state, &found).map_err(|error| error.in_file(&folder))?;
        found.verify(&folder)?;
        found.verify_state(&folder, &[], &mut |_| ())?;
        (folder, found)
    };
    if found.run_identity != run_identity {
        return Err(Error::new(
            Code::OtherRun,
            "the checkpoint belongs to a run of another identity",
        )
        .in_file(&folder)
        .fix("undo what changed; to train on from it, --set parent=FOLDER in another output_dir"));
    }
    notices.push(format!(
        "going on from step {} of {}",
        found.step,
        folder.display()
    ));
    let parent = Parent {
        run_id: found.run_id,
        step: found.step,
        state_digest: found.state_digest.clone(),
        optimizer_kept: true,
        cursor: Policy::GoesOn,
        schedule: Policy::GoesOn,
    };
    let restorable = Restorable {
        step: found.step,
        source: SyncSource::Checkpoint(folder.display().to_string()),
        state_digest: Some(found.state_digest),
    };
    Ok((restorable, Some(parent)))
}

/// Finishes what an earlier start was interrupted in. Nobody publishes what it had staged: writers are
/// asked anew, for folders of their own.
fn tidy(paths: &RunPaths) -> Vec<String> {
    let _ = std::fs::remove_dir_all(paths.staging());
    shared::storage::tidy(paths.output_dir())
}

fn initial() -> Restorable {
    Restorable {
        step: Step(0),
        source: SyncSource::Initial,
        state_digest: None,
    }
}

/// A run that came from elsewhere cannot begin again from its seed.
fn from_the_seed(output_dir: &Path, state: Option<&State>) -> Result<(Restorable, Option<Parent>)> {
    match state {
        Some(state) if state.run.begins_after > Step(0) => Err(Error::new(
            Code::NoCheckpoint,
            format!(
                "this run began with a checkpoint of step {} from elsewhere and has none of its own yet",
                state.run.begins_after
            ),
        )
        .in_file(output_dir)
        .fix("--set resume_from_checkpoint=FOLDER, the one it began with")),
        _ => Ok((initial(), None)),
    }
}

/// Whether a run may go on from a checkpoint: its ledger knows the step, and that very state.
fn fits(state: Option<&State>, manifest: &Manifest) -> Result<()> {
    let Some(state) = state else { return Ok(()) };
    let (step, known) = (manifest.step, state.run.begins_after..=state.highest());
    if !known.contains(&step) {
        return Err(Error::new(
            Code::NoCheckpoint,
            format!("the run's ledger knows no step {step}"),
        )
        .why(format!(
            "it knows steps {} to {}",
            known.start(),
            known.end()
        ))
        .fix("--set output_dir=ANOTHER to begin a run with that checkpoint"));
    }
    if state.agrees(step, &manifest.state_digest) == Some(false) {
        return Err(Error::new(
            Code::LedgerContradiction,
            format!("the checkpoint is not the state that was committed as step {step}"),
        )
        .why(format!("its state digest is {}", manifest.state_digest)));
    }
    Ok(())
}

/// A coordinator may end between a checkpoint's name and its line. The one that the run goes on from has been looked
/// through, and gets the line now: without it the next start would not know it.
pub(super) fn unrecorded(paths: &RunPaths, from: &Restorable, replay: &Replay) -> Option<Record> {
    let own = paths.checkpoint(from.step).display().to_string();
    let own = SyncSource::Checkpoint(own);
    let known = replay
        .checkpoints()
        .any(|checkpoint| checkpoint.step == from.step);
    if from.source != own || known {
        return None;
    }
    Some(Record::Checkpoint(Checkpoint {
        step: from.step,
        folder: checkpoint_name(from.step),
        state_digest: from.state_digest.clone()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::samples::{Damage, checkpoint, ledger};

    fn start(output: &Path, resume: &str, notices: &mut Vec<String>) -> Result<Restorable> {
        let state = ledger(12);
        starting_point(
            &RunPaths::new(output),
            Some(resume),
            "",
            Some(&state),
            notices,
        )
        .map(|found| found.0)
    }

    #[test]
    fn a_checkpoint_that_holds_another_state_than_committed_is_passed_over_by_name() {
        let output = tempfile::tempdir().unwrap();
        checkpoint(output.path(), 5, Damage::None);
        let bad = checkpoint(output.path(), 10, Damage::OtherState);
        let mut notices = Vec::new();
        let from = start(output.path(), "auto", &mut notices).unwrap();
        assert_eq!(from.step, Step(5));
        let skipped = notices.iter().find(|notice| notice.starts_with("skipped"));
        assert!(skipped.unwrap().contains("checkpoint-10"), "{notices:?}");
        let named = start(output.path(), &bad.folder, &mut notices).unwrap_err();
        assert_eq!(named.code, Code::DigestDiffers);
    }

    #[test]
    fn what_an_earlier_start_left_half_done_is_finished_first() {
        let output = tempfile::tempdir().unwrap();
        let whole = checkpoint(output.path(), 5, Damage::None);
        let aside = output.path().join(".checkpoint-5.replaced");
        std::fs::rename(&whole.folder, aside).unwrap();
        let staged = RunPaths::new(output.path())
            .staging()
            .join("checkpoint-10.worker-3");
        std::fs::create_dir_all(&staged).unwrap();
        let mut notices = Vec::new();
        let from = start(output.path(), "auto", &mut notices).unwrap();
        assert_eq!(from.step, Step(5));
        assert!(!staged.exists());
    }

    /// It ended between the checkpoint's name and its line.
    #[test]
    fn a_checkpoint_with_a_name_and_no_line_gets_its_line() {
        let output = tempfile::tempdir().unwrap();
        checkpoint(output.path(), 5, Damage::None);
        let from = start(output.path(), "auto", &mut Vec::new()).unwrap();
        let mut replay = Replay::default();
        let Some(line @ Record::Checkpoint(_)) =
            unrecorded(&RunPaths::new(output.path()), &from, &replay)
        else {
            panic!("it has no line");
        };
        replay.follow(&line);
        let recorded: Vec<_> = replay.checkpoints().collect();
        assert_eq!(
            (recorded[0].step, &recorded[0].folder[..]),
            (Step(5), "checkpoint-5")
        );
        assert_eq!(Some(&recorded[0].state_digest), from.state_digest.as_ref());
        assert!(unrecorded(&RunPaths::new(output.path()), &from, &replay).is_none());
        // One from elsewhere is not this run's.
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(unrecorded(&RunPaths::new(elsewhere.path()), &from, &Replay::default()).is_none());
    }
}
