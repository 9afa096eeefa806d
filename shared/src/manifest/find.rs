//! Looks for checkpoints and skips, by name, those that cannot be trusted.

use std::path::PathBuf;

use super::{FORMAT, LONGEST, MANIFEST, Manifest};
use crate::error::{Code, Error, Result};
use crate::ids::Step;
use crate::run_paths::checkpoint_step;
use crate::storage::{Group, Groups, Objects};

/// A checkpoint that verified.
#[derive(Debug)]
pub struct Found {
    /// Folder of the checkpoint that verified.
    pub folder: PathBuf,
    /// Manifest of that folder, itself verified.
    pub manifest: Manifest,
    /// Newer checkpoints that did not verify, with the reason.
    pub skipped: Vec<Error>,
    /// The newer checkpoints whose files were read and are not what was written: not those that could not be read, are
    /// of another course, or were written by a newer program.
    pub damaged: Vec<(Step, Error)>,
}

/// Steps and names of the checkpoints, newest first; nothing is verified.
///
/// # Errors
/// [`Code::Io`] when they cannot be listed: a run that took that for none would begin again.
pub fn checkpoints(run: &dyn Groups) -> Result<Vec<(Step, String)>> {
    let named = run.groups().map_err(|e| {
        Error::new(Code::Io, "the checkpoints cannot be listed")
            .in_file(run.place(""))
            .why(e.to_string())
    })?;
    let mut found: Vec<_> = named
        .into_iter()
        .filter_map(|name| Some((checkpoint_step(&name)?, name)))
        .collect();
    found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    Ok(found)
}

/// The newest checkpoint that verifies, `None` when the folder has none at all.
///
/// # Errors
/// [`Code::NoCheckpoint`] when there are some and none verifies; [`Code::Io`] when they cannot be listed.
pub fn newest(run: &dyn Groups) -> Result<Option<Found>> {
    newest_where(run, &[], |_| Ok(()))
}

/// As [`newest`], but one that `fits` refuses is skipped too, with its reason. `order` are the keys of
/// the adapter in canonical order, for manifests that do not hold them.
///
/// # Errors
/// [`Code::NoCheckpoint`] when there are some and none can be used.
pub fn newest_where(
    run: &dyn Groups,
    order: &[String],
    fits: impl Fn(&Manifest) -> Result<()>,
) -> Result<Option<Found>> {
    let (mut skipped, mut damaged) = (Vec::new(), Vec::new());
    for (step, name) in checkpoints(run)? {
        let (folder, group) = (run.place(&name), Group::new(run, &name));
        let read = Manifest::read(&group);
        if let Some(unfit) = read.as_ref().ok().and_then(|found| fits(found).err()) {
            skipped.push(unfit.in_file(&folder));
            continue;
        }
        let verified = read.and_then(|manifest| {
            manifest.verify(&group)?;
            manifest.verify_state(&group, order, &mut |_| ())?;
            Ok(manifest)
        });
        match verified {
            Ok(manifest) => {
                return Ok(Some(Found {
                    folder,
                    manifest,
                    skipped,
                    damaged,
                }));
            }
            Err(error) => {
                if error.code != Code::Io && !is_newer(&group) {
                    damaged.push((step, error.clone()));
                }
                skipped.push(error);
            }
        }
    }
    if skipped.is_empty() {
        return Ok(None);
    }
    let mut error = Error::new(Code::NoCheckpoint, "no checkpoint verifies").in_file(run.place(""));
    for bad in &skipped {
        error = error.why(crate::error::render(bad).replace('\n', " "));
    }
    Err(error.fix("--overwrite starts anew; nothing was changed"))
}

/// Whether a manifest says that a newer program wrote it.
fn is_newer(group: &Group<'_>) -> bool {
    let text = group.get_at_most(MANIFEST, LONGEST).unwrap_or_default();
    let manifest: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    let format = manifest.and_then(|manifest| manifest["format"].as_u64());
    format.is_some_and(|format| format > u64::from(FORMAT))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{MANIFEST, checkpoint_name, file_digest, samples};
    use super::*;
    use crate::numerics::state_digest;
    use crate::storage::Folder;

    fn checkpoint(root: &Path, step: u64) -> PathBuf {
        let folder = root.join(checkpoint_name(Step(step)));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.bin"), format!("state {step}")).unwrap();
        let files = vec![file_digest(&Folder::new(&folder), "a.bin").unwrap()];
        let manifest = Manifest {
            format: 1,
            step: Step(step),
            files,
            ..Manifest::default()
        };
        manifest.write(&Folder::new(&folder)).unwrap();
        folder
    }

    #[test]
    fn the_newest_that_verifies_is_taken_and_torn_ones_are_named() {
        let root = tempfile::tempdir().unwrap();
        checkpoint(root.path(), 9);
        checkpoint(root.path(), 10);
        let torn = checkpoint(root.path(), 100);
        std::fs::write(torn.join("a.bin"), "state").unwrap();
        let unfinished = checkpoint(root.path(), 101);
        std::fs::remove_file(unfinished.join(MANIFEST)).unwrap();
        let found = newest(&Folder::new(root.path())).unwrap().unwrap();
        assert_eq!(found.manifest.step, Step(10));
        let codes: Vec<_> = found.skipped.iter().map(|e| e.code).collect();
        assert_eq!(codes, [Code::NoCheckpoint, Code::DigestDiffers]);
        let damaged: Vec<_> = found.damaged.iter().map(|(step, _)| step.0).collect();
        assert_eq!(damaged, [101, 100]);
    }

    #[test]
    fn what_a_newer_program_wrote_or_is_of_another_course_is_not_called_damaged() {
        let root = tempfile::tempdir().unwrap();
        checkpoint(root.path(), 9);
        checkpoint(root.path(), 10);
        let newer = checkpoint(root.path(), 11).join(MANIFEST);
        let text = std::fs::read_to_string(&newer).unwrap();
        let text = text.replace("\"format\": 1", "\"format\": 2");
        std::fs::write(&newer, text).unwrap();
        let fits = |manifest: &Manifest| match manifest.step {
            Step(10) => Err(Error::new(Code::LedgerContradiction, "another course")),
            _ => Ok(()),
        };
        let found = newest_where(&Folder::new(root.path()), &[], fits)
            .unwrap()
            .unwrap();
        assert_eq!((found.manifest.step, found.skipped.len()), (Step(9), 2));
        assert_eq!(found.damaged, []);
    }

    #[test]
    fn a_checkpoint_that_holds_another_state_than_its_manifest_says_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for (step, held) in [(5, 5), (10, 9)] {
            let folder = root.path().join(checkpoint_name(Step(step)));
            std::fs::create_dir(&folder).unwrap();
            samples::write(&folder, &samples::state(held));
            let manifest = Manifest {
                step: Step(step),
                state_digest: state_digest(&samples::state(step)),
                parameters: samples::keys(),
                ..Manifest::default()
            };
            manifest.write(&Folder::new(&folder)).unwrap();
        }
        let found = newest(&Folder::new(root.path())).unwrap().unwrap();
        assert_eq!(found.manifest.step, Step(5));
        assert_eq!(found.skipped[0].code, Code::DigestDiffers);
    }

    #[test]
    fn a_manifest_that_is_too_long_is_passed_over_unread_and_not_called_damaged() {
        let root = tempfile::tempdir().unwrap();
        checkpoint(root.path(), 9);
        let long = checkpoint(root.path(), 10).join(MANIFEST);
        // A hole costs nothing on the disk.
        let file = std::fs::File::options().write(true).open(&long).unwrap();
        file.set_len(LONGEST + 1).unwrap();
        let found = newest(&Folder::new(root.path())).unwrap().unwrap();
        assert_eq!(found.manifest.step, Step(9));
        let why = crate::error::render(&found.skipped[0]);
        assert!(why.contains("at most 268435456 are read"), "{why}");
        assert_eq!(found.damaged, []);
    }

    #[test]
    fn a_folder_without_checkpoints_has_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(newest(&Folder::new(root.path())).unwrap().is_none());
        let folder = checkpoint(root.path(), 1);
        std::fs::remove_file(folder.join("a.bin")).unwrap();
        assert_eq!(
            newest(&Folder::new(root.path())).unwrap_err().code,
            Code::NoCheckpoint
        );
    }
}
