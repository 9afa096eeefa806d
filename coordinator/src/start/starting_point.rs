//! Where a run begins or goes on.
//!
//! Keeps: a run goes on only from a state that its ledger knows, with the digest that it committed, and
//! only when the files hold that very state: a checkpoint that does not is passed over, by name.

use std::path::PathBuf;

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::ledger::{Checkpoint, Parent, Policy, Record, State};
use shared::manifest::{self, Manifest};
use shared::run_paths::{STAGING, checkpoint_name};
use shared::storage::{Folder, Groups, Objects};
use shared::wire::message::SyncSource;

use crate::driver;
use crate::engine::Restorable;
use crate::store::Replay;

/// Where a run begins or goes on.
pub(super) struct Beginning {
    /// The checkpoint, or the seed.
    pub(super) from: Restorable,
    /// What a new run inherits from the checkpoint.
    pub(super) parent: Option<Parent>,
    /// Newer checkpoints that are damaged, with the reason: to be set aside once this coordinator leads.
    pub(super) damaged: Vec<(Step, Error)>,
}

impl Beginning {
    fn at(from: Restorable) -> Self {
        Self {
            from,
            parent: None,
            damaged: Vec::new(),
        }
    }
}

/// Finds where the run goes on; nothing of the checkpoints is changed.
pub(super) fn starting_point(
    objects: &dyn Groups,
    resume: Option<&str>,
    run_identity: &str,
    state: Option<&State>,
    notices: &mut Vec<String>,
) -> Result<Beginning> {
    notices.extend(tidy(objects));
    let Some(resume) = resume else {
        return Ok(Beginning::at(initial()));
    };
    let mut damaged = Vec::new();
    let (folder, found) = if matches!(resume, "latest" | "auto") {
        match manifest::newest_where(objects, &[], |manifest| fits(state, manifest))? {
            Some(found) => {
                for skipped in &found.skipped {
                    notices.push(format!("skipped: {}", shared::error::render(skipped)));
                }
                damaged = found.damaged;
                (found.folder, found.manifest)
            }
            None if resume == "auto" => return from_the_seed(objects, state),
            None => {
                return Err(
                    Error::new(Code::NoCheckpoint, "there is no checkpoint to go on from")
                        .in_file(objects.place(""))
                        .fix("leave resume_from_checkpoint out to begin"),
                );
            }
        }
    } else {
        let folder = PathBuf::from(resume);
        let named = Folder::new(&folder);
        let found = Manifest::read(&named)?;
        fits(state, &found).map_err(|error| error.in_file(&folder))?;
        found.verify(&named)?;
        found.verify_state(&named, &[], &mut |_| ())?;
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
    Ok(Beginning {
        from: restorable,
        parent: Some(parent),
        damaged,
    })
}

/// Finishes what an earlier start was interrupted in. Nobody publishes what it had staged: writers are
/// asked anew, for folders of their own.
fn tidy(objects: &dyn Groups) -> Vec<String> {
    let _ = objects.delete(STAGING);
    objects.tidy()
}

fn initial() -> Restorable {
    Restorable {
        step: Step(0),
        source: SyncSource::Initial,
        state_digest: None,
    }
}

/// A run that came from elsewhere cannot begin again from its seed.
fn from_the_seed(objects: &dyn Groups, state: Option<&State>) -> Result<Beginning> {
    match state {
        Some(state) if state.run.begins_after > Step(0) => Err(Error::new(
            Code::NoCheckpoint,
            format!(
                "this run began with a checkpoint of step {} from elsewhere and has none of its own yet",
                state.run.begins_after
            ),
        )
        .in_file(objects.place(""))
        .fix("--set resume_from_checkpoint=FOLDER, the one it began with")),
        _ => Ok(Beginning::at(initial())),
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
pub(super) fn unrecorded(
    objects: &dyn Objects,
    from: &Restorable,
    replay: &Replay,
) -> Option<Record> {
    let own = objects.place(&checkpoint_name(from.step));
    let own = SyncSource::Checkpoint(own.display().to_string());
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
        ..Checkpoint::default()
    }))
}

/// Gives a damaged checkpoint a name that nobody takes for one, and the line that says so. What has no line of its own
/// gets none.
pub(super) fn set_aside(
    objects: &dyn Groups,
    (step, error): &(Step, Error),
    replay: &Replay,
    notices: &mut Vec<String>,
) -> Option<Record> {
    let aside = match driver::set_aside(objects, *step) {
        Ok(aside) => aside,
        Err(error) => {
            notices.push(shared::error::render(&error));
            return None;
        }
    };
    notices.push(format!(
        "the checkpoint of step {step} is not used any more, it lies in {} now",
        objects.place(&aside).display()
    ));
    let known = replay.checkpoints().find(|known| known.step == *step)?;
    let reason = shared::error::render(error);
    let digest = known.state_digest.clone();
    Some(Record::Checkpoint(Checkpoint::set_aside(
        *step, aside, digest, &reason,
    )))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use shared::run_paths::RunPaths;

    use super::*;
    use crate::driver::samples::{Damage, checkpoint, ledger};

    fn start(output: &Path, resume: &str, notices: &mut Vec<String>) -> Result<Restorable> {
        let state = ledger(12);
        starting_point(
            &Folder::new(output),
            Some(resume),
            "",
            Some(&state),
            notices,
        )
        .map(|found| found.from)
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
        assert!(Path::new(&bad.folder).is_dir(), "nobody leads yet");
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

    /// It would stay under its name, and whoever looks into the folder would take it for a good one.
    #[test]
    fn a_damaged_checkpoint_that_was_passed_over_is_set_aside_and_the_ledger_says_so() {
        let output = tempfile::tempdir().unwrap();
        let objects = Folder::new(output.path());
        checkpoint(output.path(), 5, Damage::None);
        let bad = checkpoint(output.path(), 10, Damage::Flipped);
        let mut replay = Replay::default();
        replay.follow(&Record::Checkpoint(Checkpoint {
            step: Step(10),
            folder: "checkpoint-10".into(),
            state_digest: bad.state_digest.clone(),
            ..Checkpoint::default()
        }));
        let mut notices = Vec::new();
        let state = ledger(12);
        let auto = Some("auto");
        let start = starting_point(&objects, auto, "", Some(&state), &mut notices).unwrap();
        assert_eq!((start.from.step, start.damaged.len()), (Step(5), 1));
        let line = set_aside(&objects, &start.damaged[0], &replay, &mut notices).unwrap();
        assert!(!Path::new(&bad.folder).exists());
        assert!(output.path().join("checkpoint-10.damaged").is_dir());
        assert!(notices.last().unwrap().contains("checkpoint-10.damaged"));
        replay.follow(&line);
        assert_eq!(replay.checkpoints().count(), 0);
        let Record::Checkpoint(line) = line else {
            panic!("{line:?}");
        };
        assert_eq!(
            (line.step, &line.folder[..]),
            (Step(10), "checkpoint-10.damaged")
        );
        assert!(
            line.set_aside
                .unwrap()
                .contains("adapter_model.safetensors")
        );
    }

    /// It ended between the checkpoint's name and its line.
    #[test]
    fn a_checkpoint_with_a_name_and_no_line_gets_its_line() {
        let output = tempfile::tempdir().unwrap();
        checkpoint(output.path(), 5, Damage::None);
        let from = start(output.path(), "auto", &mut Vec::new()).unwrap();
        let mut replay = Replay::default();
        let Some(line @ Record::Checkpoint(_)) =
            unrecorded(&Folder::new(output.path()), &from, &replay)
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
        assert!(unrecorded(&Folder::new(output.path()), &from, &replay).is_none());
        // One from elsewhere is not this run's.
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(unrecorded(&Folder::new(elsewhere.path()), &from, &Replay::default()).is_none());
    }
}
