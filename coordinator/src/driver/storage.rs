//! Checkpoints on storage after they were written: verified, set aside, removed.
//!
//! Keeps: a checkpoint loses its name in one rename, before any of its files is deleted; one that is set aside is never
//! found again as a checkpoint, and never deleted.

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::manifest::Manifest;
use shared::run_paths::{STAGING, checkpoint_name, damaged_names};
use shared::storage::{Folder, Groups, Objects};

use crate::engine::StoredCheckpoint;

/// Verifies a checkpoint by reading it whole: manifest, digest of every file, and state digest over `order`, the keys
/// in canonical order.
///
/// # Errors
/// What in the checkpoint does not hold what the ledger says, coded; the folder is named.
pub(super) fn look_through(
    checkpoint: &dyn Objects,
    step: Step,
    recorded: Option<&str>,
    order: &[String],
) -> Result<Manifest> {
    let manifest = Manifest::read(checkpoint)?;
    let differs =
        |what: String| Error::new(Code::DigestDiffers, what).in_file(checkpoint.place(""));
    if manifest.step != step {
        let found = manifest.step;
        return Err(differs(format!(
            "the checkpoint of step {found} lies under the name of step {step}"
        )));
    }
    if let Some(recorded) = recorded
        && manifest.state_digest != recorded
    {
        return Err(differs(format!(
            "the checkpoint is not the state that was committed as step {step}"
        ))
        .why(format!("its state digest is {}", manifest.state_digest))
        .why(format!("the ledger says {recorded}")));
    }
    manifest.verify(checkpoint)?;
    manifest.verify_state(checkpoint, order, &mut |_| ())?;
    Ok(manifest)
}

/// [`look_through`] of a checkpoint that the engine knows.
///
/// # Errors
/// As [`look_through`].
pub(super) fn verify(stored: &StoredCheckpoint, order: &[String]) -> Result<()> {
    let checkpoint = Folder::new(&stored.folder);
    let digest = Some(stored.state_digest.as_str());
    look_through(&checkpoint, stored.step, digest, order).map(|_| ())
}

/// A free name in the run's storage that is not found as a checkpoint.
pub(crate) fn free_name_aside(objects: &dyn Groups, step: Step) -> String {
    let free = damaged_names(step).find(|name| !objects.has(name));
    free.unwrap_or_else(|| checkpoint_name(step))
}

/// Renames a damaged checkpoint so that it is not found as one; returns its new name.
///
/// # Errors
/// [`Code::Io`] with the path.
pub(crate) fn set_aside(objects: &dyn Groups, step: Step) -> Result<String> {
    let name = checkpoint_name(step);
    let aside = free_name_aside(objects, step);
    match objects.rename(&name, &aside) {
        // Renamed, and only not known to be on the disk: after a crash it is found and set aside once more.
        Err(_) if objects.has(&aside) && !objects.has(&name) => Ok(aside),
        Err(e) => Err(
            Error::new(Code::Io, "a damaged checkpoint cannot be set aside")
                .in_file(objects.place(&name))
                .why(e.to_string()),
        ),
        Ok(()) => Ok(aside),
    }
}

/// Deletes a checkpoint whose name was taken away before.
///
/// # Errors
/// [`Code::Io`] with the path.
pub(super) fn delete(objects: &dyn Groups, hidden: &str) -> Result<()> {
    objects.delete(hidden).map_err(|e| {
        Error::new(Code::Io, "an old checkpoint cannot be removed")
            .in_file(objects.place(hidden))
            .why(e.to_string())
            .why("the next start tries again")
    })
}

/// Deletes a group that a worker wrote and that has no name of its own, and nothing else; what stays goes at the next
/// start.
pub(super) fn discard(objects: &dyn Groups, staged: &str) {
    let within = staged
        .strip_prefix(STAGING)
        .and_then(|rest| rest.strip_prefix('/'));
    if within.is_some_and(|rest| !rest.is_empty()) {
        let _ = objects.delete(staged);
    }
}

#[cfg(test)]
mod tests {
    use shared::manifest::checkpoints;
    use shared::storage::MemoryObjects;

    use super::super::samples::{self, Damage};
    use super::*;

    #[test]
    fn a_checkpoint_with_a_flipped_bit_or_another_state_is_not_what_the_ledger_says() {
        let output = tempfile::tempdir().unwrap();
        let stored = samples::checkpoint(output.path(), 5, Damage::None);
        let order = samples::keys();
        verify(&stored, &order).unwrap();
        let other = StoredCheckpoint {
            state_digest: "another".into(),
            ..stored.clone()
        };
        assert!(verify(&other, &order).is_err());
        for damage in [Damage::Flipped, Damage::OtherState] {
            let output = tempfile::tempdir().unwrap();
            let stored = samples::checkpoint(output.path(), 5, damage);
            let error = verify(&stored, &order).unwrap_err();
            assert_eq!(error.code, Code::DigestDiffers, "{damage:?}");
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_kept_and_never_found_again() {
        let output = tempfile::tempdir().unwrap();
        let objects = Folder::new(output.path());
        for n in 1..=3 {
            samples::checkpoint(output.path(), 5, Damage::OtherState);
            let aside = set_aside(&objects, Step(5)).unwrap();
            let ends = match n {
                1 => ".damaged".to_owned(),
                n => format!(".damaged.{n}"),
            };
            assert!(objects.place(&aside).is_dir() && aside.ends_with(&ends));
            assert!(checkpoints(&objects).unwrap().is_empty());
        }
        assert_eq!(set_aside(&objects, Step(5)).unwrap_err().code, Code::Io);
    }

    #[test]
    fn a_name_that_changed_and_is_not_on_the_disk_yet_is_the_new_one() {
        let objects = MemoryObjects::default();
        objects.put("checkpoint-5/manifest.json", b"").unwrap();
        objects.fail_next_sync();
        let aside = set_aside(&objects, Step(5)).unwrap();
        assert_eq!(aside, "checkpoint-5.damaged");
        assert!(objects.has(&aside) && !objects.has("checkpoint-5"));
    }

    #[test]
    fn a_checkpoint_that_goes_has_no_name_before_its_files_go() {
        let output = tempfile::tempdir().unwrap();
        let objects = Folder::new(output.path());
        let name = checkpoint_name(Step(5));
        samples::checkpoint(output.path(), 5, Damage::None);
        let hidden = objects.withdraw(&name).unwrap().unwrap();
        assert!(checkpoints(&objects).unwrap().is_empty() && objects.has(&hidden));
        delete(&objects, &hidden).unwrap();
        assert!(!objects.has(&hidden));
        assert_eq!(objects.withdraw(&name).unwrap(), None);
    }

    #[test]
    fn only_what_was_staged_is_discarded() {
        let objects = MemoryObjects::default();
        let (mine, other) = (".staging/checkpoint-5.worker-1", ".staging-a/b");
        for group in [mine, other, ".staging"] {
            objects.put(&format!("{group}/file"), b"").unwrap();
        }
        for group in [mine, other, ".staging", ".staging/", "checkpoint-5"] {
            discard(&objects, group);
        }
        assert!(!objects.has(mine) && objects.has(other) && objects.has(".staging"));
    }
}
