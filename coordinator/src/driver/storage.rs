//! Checkpoints on storage after they were written: verified, set aside, removed.
//!
//! Keeps: a checkpoint loses its name in one rename, before any of its files is deleted; one that is set aside is never
//! found again as a checkpoint, and never deleted.

use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::manifest::Manifest;
use shared::paths::RunPaths;
use shared::storage::unpublish_folder;

use crate::engine::Stored;

/// Verifies a checkpoint by reading it whole: manifest, digest of every file, and state digest over `order`, the keys
/// in canonical order.
///
/// # Errors
/// What in the checkpoint does not hold what the ledger says, coded; the folder is named.
pub(super) fn look_through(
    folder: &Path,
    step: Step,
    recorded: Option<&str>,
    order: &[String],
) -> Result<Manifest> {
    let manifest = Manifest::read(folder)?;
    let differs = |what: String| Error::new(Code::DigestDiffers, what).in_file(folder);
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
    manifest.verify(folder)?;
    manifest.verify_state(folder, order, &mut |_| ())?;
    Ok(manifest)
}

/// [`look_through`] of a checkpoint that the engine knows.
///
/// # Errors
/// As [`look_through`].
pub(super) fn verify(stored: &Stored, order: &[String]) -> Result<()> {
    let folder = Path::new(&stored.folder);
    look_through(folder, stored.step, Some(&stored.state_digest), order).map(|_| ())
}

/// A free name in the output folder that is not found as a checkpoint.
pub(crate) fn free_name_aside(paths: &RunPaths, step: Step) -> PathBuf {
    let free = paths.damaged(step).find(|path| !path.exists());
    free.unwrap_or_else(|| paths.checkpoint(step))
}

/// Renames a damaged checkpoint so that it is not found as one; returns its new path.
///
/// # Errors
/// [`Code::Io`] with the path.
pub(crate) fn set_aside(paths: &RunPaths, step: Step) -> Result<PathBuf> {
    let folder = paths.checkpoint(step);
    let aside = free_name_aside(paths, step);
    std::fs::rename(&folder, &aside).map_err(|e| {
        Error::new(Code::Io, "a damaged checkpoint cannot be set aside")
            .in_file(&folder)
            .why(e.to_string())
    })?;
    Ok(aside)
}

/// Takes a checkpoint's name away; returns the hidden folder for [`delete`], or `None` where there is no such
/// checkpoint.
///
/// # Errors
/// [`Code::Io`] with the path.
pub(super) fn remove(paths: &RunPaths, step: Step) -> Result<Option<PathBuf>> {
    let folder = paths.checkpoint(step);
    if !folder.exists() {
        return Ok(None);
    }
    unpublish_folder(&folder).map(Some)
}

/// Deletes a folder that [`remove`] has hidden.
///
/// # Errors
/// [`Code::Io`] with the path.
pub(super) fn delete(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).map_err(|e| {
        Error::new(Code::Io, "an old checkpoint cannot be removed")
            .in_file(folder)
            .why(e.to_string())
            .why("the next start tries again")
    })
}

/// Deletes `folder` if it lies in the staging folder, and nothing else; files that stay go at the next start.
pub(super) fn discard(staging: &Path, folder: &Path) {
    if folder != staging && folder.starts_with(staging) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[cfg(test)]
mod tests {
    use shared::manifest::checkpoints;

    use super::super::samples::{self, Damage};
    use super::*;

    #[test]
    fn a_checkpoint_with_a_flipped_bit_or_another_state_is_not_what_the_ledger_says() {
        let output = tempfile::tempdir().unwrap();
        let stored = samples::checkpoint(output.path(), 5, Damage::None);
        let order = samples::keys();
        verify(&stored, &order).unwrap();
        let other = Stored {
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
        for n in 1..=3 {
            samples::checkpoint(output.path(), 5, Damage::OtherState);
            let aside = set_aside(&RunPaths::new(output.path()), Step(5)).unwrap();
            let ends = match n {
                1 => ".damaged".to_owned(),
                n => format!(".damaged.{n}"),
            };
            assert!(aside.is_dir() && aside.to_string_lossy().ends_with(&ends));
            assert!(checkpoints(output.path()).is_empty());
        }
        assert_eq!(
            set_aside(&RunPaths::new(output.path()), Step(5))
                .unwrap_err()
                .code,
            Code::Io
        );
    }

    #[test]
    fn a_checkpoint_that_goes_has_no_name_before_its_files_go() {
        let output = tempfile::tempdir().unwrap();
        samples::checkpoint(output.path(), 5, Damage::None);
        let hidden = remove(&RunPaths::new(output.path()), Step(5))
            .unwrap()
            .unwrap();
        assert!(checkpoints(output.path()).is_empty() && hidden.is_dir());
        delete(&hidden).unwrap();
        assert!(!hidden.exists());
        assert_eq!(
            remove(&RunPaths::new(output.path()), Step(5)).unwrap(),
            None
        );
    }

    #[test]
    fn only_staging_folders_are_discarded() {
        let output = tempfile::tempdir().unwrap();
        let staging = RunPaths::new(output.path()).staging();
        let (mine, other) = (
            staging.join("checkpoint-5.worker-1"),
            output.path().join("a"),
        );
        for folder in [&mine, &other] {
            std::fs::create_dir_all(folder).unwrap();
            discard(&staging, folder);
        }
        discard(&staging, &staging);
        assert!(!mine.exists() && other.exists() && staging.exists());
    }
}
