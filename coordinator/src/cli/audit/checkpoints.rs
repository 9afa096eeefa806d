//! The checkpoints of a run under audit: which hold what was committed, and what it means when one does not.
//!
//! In: the folders by their names, what the ledger says of them. Out: into the report what was found, and what ends the
//! proof. Keeps: a damaged folder says nothing against the ledger, so it ends the proof only where the result rests on it;
//! a whole one that holds another state than was committed contradicts the ledger, wherever it lies.

use std::collections::BTreeSet;

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::ledger::{Damaged, Report, SetAside, State};
use shared::manifest::{Content, MANIFEST, Manifest};
use shared::run_paths::checkpoint_name;
use shared::storage::{Group, Groups, Objects};

use crate::driver::free_name_aside;

/// Looks through every checkpoint, oldest first; what comes back ends the proof.
pub(super) fn look_through(
    objects: &dyn Groups,
    state: &State,
    published: Vec<(Step, String)>,
    report: &mut Report,
) -> Vec<Error> {
    let rests_on = rests_on(objects, state, &published);
    let mut broken = Vec::new();
    for (step, name) in published.into_iter().rev() {
        let error = match verify(state, step, &Group::new(objects, &name)) {
            Ok(content) => {
                report.checkpoints.push(step);
                if content == Content::Unknown {
                    report.not_recomputed.push(step);
                }
                continue;
            }
            // A run that goes on removes its oldest ones.
            Err(_) if !objects.has(&name) => continue,
            Err(error) => error,
        };
        let aside = is_aside(state, step);
        let damaged = error.code == Code::DigestDiffers || (aside.is_some() && is_differs(&error));
        if !damaged {
            broken.push(error);
            continue;
        }
        let result_rests_on_it = rests_on.contains(&step);
        let error = match aside {
            Some(aside) => error.why(format!(
                "line {} of the ledger says so: found after step {}, and the run went on without it",
                aside.line, aside.after
            )),
            None => error,
        };
        let error = if result_rests_on_it {
            let before = report.checkpoints.last().copied();
            rested_on(error, objects, state, step, before)
        } else {
            error
                .why("the result does not rest on it: chain, samples and adapter are proved")
                .fix(format!(
                    "nothing has to be done; `{}` keeps anybody from taking it for a good one",
                    away(objects, step)
                ))
        };
        if result_rests_on_it {
            broken.push(error.clone());
        }
        report.damaged.push(Damaged {
            step,
            folder: checkpoint_name(step),
            result_rests_on_it,
            error,
        });
    }
    broken
}

fn is_differs(error: &Error) -> bool {
    error.code == Code::LedgerContradiction
}

/// What the ledger says of a checkpoint that was set aside and has not been written again.
fn is_aside(state: &State, step: Step) -> Option<&SetAside> {
    let aside = state.set_aside.get(&step);
    aside.filter(|aside| !aside.written_again)
}

/// The checkpoints whose adapter and history are the result; while there is none, the one that the run would go on from.
fn rests_on(objects: &dyn Objects, state: &State, published: &[(Step, String)]) -> BTreeSet<Step> {
    if let Some(complete) = &state.complete {
        let exported = Manifest::read(objects).ok().map(|found| found.step);
        return [complete.step].into_iter().chain(exported).collect();
    }
    let mut newest = published.iter().map(|(step, _)| *step);
    let newest = newest.find(|step| is_aside(state, *step).is_none());
    newest.into_iter().collect()
}

/// What to do when it is one that the result rests on.
fn rested_on(
    error: Error,
    objects: &dyn Groups,
    state: &State,
    step: Step,
    before: Option<Step>,
) -> Error {
    let copy = "put the folder back from a copy, and audit again";
    let away = away(objects, step);
    if state.complete.is_some() {
        return error
            .why("the result is of it: adapter or history cannot be compared with where they come from")
            .fix(copy)
            .fix(format!(
                "without a copy: `{away}`; the audit proves chain, samples and adapter without it"
            ));
    }
    let error = error.why("the run would go on from it");
    match before {
        Some(before) => error.fix(format!(
            "give the command that began the run again, unless it still runs: it sets this folder \
             aside, goes on from {} and computes what is missing again",
            checkpoint_name(before)
        )),
        None => error.fix(copy).fix(format!(
            "without a copy: `{away}`, then give the command that began the run again: it computes \
             everything again, and every step must come out the same"
        )),
    }
}

/// The command that takes a checkpoint's name away.
fn away(objects: &dyn Groups, step: Step) -> String {
    let from = objects.place(&checkpoint_name(step));
    let to = objects.place(&free_name_aside(objects, step));
    format!("mv '{}' '{}'", from.display(), to.display())
}

/// A checkpoint is whole, and holds the state that its step committed.
fn verify(state: &State, step: Step, checkpoint: &dyn Objects) -> Result<Content> {
    let broken = |mut error: Error| {
        error.code = Code::DigestDiffers;
        error
    };
    let manifest = Manifest::read(checkpoint).map_err(broken)?;
    manifest.verify(checkpoint)?;
    let place = checkpoint.place(MANIFEST);
    let differs = |what: String| Error::new(Code::LedgerContradiction, what).in_file(&place);
    if manifest.step != step {
        return Err(differs(format!(
            "the checkpoint of step {} lies under another name",
            manifest.step
        )));
    }
    match state.agrees(step, &manifest.state_digest) {
        Some(true) => manifest.verify_state(checkpoint, &[], &mut |_| ()),
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

#[cfg(test)]
mod tests {
    use shared::storage::Folder;

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
            match verify(&ledger(8), Step(6), &Folder::new(&stored.folder)) {
                Ok(content) => assert!(proved && content == Content::Proved, "{damage:?}"),
                Err(error) => assert!(!proved && error.code == Code::DigestDiffers, "{error:?}"),
            }
        }
    }

    #[test]
    fn a_checkpoint_of_an_earlier_version_is_told_from_a_proved_one() {
        let output = tempfile::tempdir().unwrap();
        let stored = checkpoint(output.path(), 6, Damage::None);
        let folder = Folder::new(&stored.folder);
        let mut manifest = Manifest::read(&folder).unwrap();
        manifest.parameters.clear();
        manifest.write(&folder).unwrap();
        let verified = verify(&ledger(8), Step(6), &folder).unwrap();
        assert_eq!(verified, Content::Unknown);
    }

    #[test]
    fn the_newest_checkpoint_is_rested_on_while_the_run_is_not_complete() {
        let output = tempfile::tempdir().unwrap();
        for (step, damage) in [(2, Damage::Flipped), (4, Damage::None)] {
            checkpoint(output.path(), step, damage);
        }
        let objects = Folder::new(output.path());
        let published = shared::manifest::checkpoints(&objects).unwrap();
        let mut state = ledger(8);
        assert_eq!(rests_on(&objects, &state, &published), [Step(4)].into());
        let aside = SetAside {
            step: Step(4),
            after: Step(6),
            line: 9,
            folder: "checkpoint-4".into(),
            reason: String::new(),
            written_again: false,
        };
        state.set_aside.insert(Step(4), aside);
        assert_eq!(rests_on(&objects, &state, &published), [Step(2)].into());
    }
}
