//! Turns a worker's staged files into a checkpoint.
//!
//! In: a group that a worker wrote, the worker's digests of its files, the state digest that the members
//! agreed on. Out: `checkpoint-<step>/`, manifest last. Runs on a blocking thread, beside the training.
//! Keeps: no folder gets a checkpoint's name before the state in its files, hashed again here, is the agreed one, and
//! before the ledger up to its step is on the disk.

use std::sync::Arc;

use shared::error::{Code, Error, Result};
use shared::manifest::{ExpectedTensor, FileDigest, Manifest, file_digest, verify_adapter};
use shared::run_paths::{ADAPTER_FILE, OPTIMIZER_FILE, TRAINER_STATE, checkpoint_name};
use shared::storage::{Group, Groups, Objects};

use crate::engine::{PublishFailure, StoredCheckpoint};

/// Waits until every ledger record written so far is on the disk.
pub(super) type Synced = Box<dyn FnOnce() -> Result<()> + Send>;

/// One checkpoint on its way from staging to its name.
pub(super) struct Publication {
    pub(super) objects: Arc<dyn Groups>,
    /// Name of the group that the worker wrote.
    pub(super) staging: String,
    /// Names, sizes and digests of the staged files, as the worker reports them.
    pub(super) files: Vec<FileDigest>,
    pub(super) trainer_state: String,
    /// The manifest without its file list; has the agreed state digest and the canonical order of the keys.
    pub(super) manifest: Manifest,
    pub(super) expected: Vec<ExpectedTensor>,
    pub(super) synced: Synced,
}

/// Verifies the staged files, adds trainer state and manifest, and renames the folder to `checkpoint-<step>`; calls
/// `moved` with the number of bytes, each time some were read.
///
/// # Errors
/// [`PublishFailure::Content`] when the files are the writer's and hold another state,
/// [`PublishFailure::Storage`] for everything else.
pub(super) fn publish(
    publication: Publication,
    moved: &mut dyn FnMut(u64),
) -> std::result::Result<StoredCheckpoint, PublishFailure> {
    prove(&publication, moved)?;
    name(publication, moved).map_err(PublishFailure::Storage)
}

/// Proves that the files are those that the writer wrote, and hold the agreed state.
fn prove(
    publication: &Publication,
    moved: &mut dyn FnMut(u64),
) -> std::result::Result<(), PublishFailure> {
    let staging = Group::new(&*publication.objects, &publication.staging);
    let written = Manifest {
        files: publication.files.clone(),
        ..Manifest::default()
    };
    let storage = PublishFailure::Storage;
    complete(&publication.files).map_err(storage)?;
    written.verify_with(&staging, moved).map_err(storage)?;
    let wrong = verify_adapter(&staging, ADAPTER_FILE, &publication.expected)
        .and_then(|()| publication.manifest.verify_state(&staging, &[], moved))
        .err();
    let Some(wrong) = wrong else { return Ok(()) };
    // Files that changed since they were compared are no fault of the writer's memory.
    match written.verify_with(&staging, moved) {
        Ok(()) => Err(PublishFailure::Content(wrong)),
        Err(error) => Err(PublishFailure::Storage(error)),
    }
}

/// Refuses a list without the adapter or the optimizer file: a file that is not listed would not be compared.
fn complete(files: &[FileDigest]) -> Result<()> {
    for name in [ADAPTER_FILE, OPTIMIZER_FILE] {
        if !files.iter().any(|file| file.name == name) {
            return Err(Error::new(
                Code::DigestDiffers,
                format!("the writer lists no {name}"),
            ));
        }
    }
    Ok(())
}

fn name(mut publication: Publication, moved: &mut dyn FnMut(u64)) -> Result<StoredCheckpoint> {
    let objects = &*publication.objects;
    let staging = Group::new(objects, &publication.staging);
    staging.put(TRAINER_STATE, publication.trainer_state.as_bytes())?;
    let mut files = publication.files;
    files.push(file_digest(&staging, TRAINER_STATE)?);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    publication.manifest.files = files;
    publication.manifest.write(&staging)?;
    moved(1);
    (publication.synced)()?;
    moved(1);
    let step = publication.manifest.step;
    let name = checkpoint_name(step);
    objects.publish(&publication.staging, &name)?;
    Ok(StoredCheckpoint {
        step,
        folder: objects.place(&name).display().to_string(),
        state_digest: publication.manifest.state_digest,
    })
}

#[cfg(test)]
mod tests {
    use shared::manifest::checkpoints;
    use shared::storage::Folder;

    use super::super::samples::{self, Damage};
    use super::*;

    fn published(
        damage: Damage,
        synced: Synced,
        change: impl FnOnce(&mut Publication),
    ) -> (
        tempfile::TempDir,
        std::result::Result<StoredCheckpoint, PublishFailure>,
    ) {
        let output = tempfile::tempdir().unwrap();
        let mut publication = samples::publication(output.path(), 5, damage, synced);
        change(&mut publication);
        let outcome = publish(publication, &mut |_| ());
        assert_eq!(
            checkpoints(&Folder::new(output.path())).unwrap().len(),
            usize::from(outcome.is_ok())
        );
        (output, outcome)
    }

    fn on_disk() -> Synced {
        Box::new(|| Ok(()))
    }

    #[test]
    fn files_that_hold_the_agreed_state_get_their_name_and_prove_it_by_themselves() {
        let (_output, outcome) = published(Damage::None, on_disk(), |_| ());
        let stored = outcome.unwrap();
        // The manifest holds the order of the keys: nobody has to know it.
        super::super::storage::verify(&stored, &[]).unwrap();
        let manifest = Manifest::read(&Folder::new(&stored.folder)).unwrap();
        assert_eq!(manifest.parameters, samples::keys());
        assert!(manifest.files.iter().any(|f| f.name == TRAINER_STATE));
    }

    #[test]
    fn a_writer_whose_state_is_not_the_agreed_one_is_told_from_a_bad_disk() {
        let (_output, outcome) = published(Damage::OtherState, on_disk(), |_| ());
        assert!(
            matches!(outcome, Err(PublishFailure::Content(_))),
            "{outcome:?}"
        );
        let (_output, outcome) = published(Damage::Flipped, on_disk(), |_| ());
        assert!(
            matches!(outcome, Err(PublishFailure::Storage(_))),
            "{outcome:?}"
        );
        let (_output, outcome) = published(Damage::None, on_disk(), |p| p.files.clear());
        assert!(
            matches!(outcome, Err(PublishFailure::Storage(_))),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_checkpoint_gets_no_name_before_the_ledger_is_on_the_disk() {
        let full = || Error::new(Code::LedgerUnwritable, "the disk is full");
        let (output, outcome) = published(Damage::None, Box::new(move || Err(full())), |_| ());
        assert_eq!(outcome, Err(PublishFailure::Storage(full())));
        // It is tried again with what lies there.
        let again = samples::publication(output.path(), 5, Damage::None, on_disk());
        publish(again, &mut |_| ()).unwrap();
    }

    #[test]
    fn bytes_that_move_are_told() {
        let output = tempfile::tempdir().unwrap();
        let publication = samples::publication(output.path(), 5, Damage::None, on_disk());
        let mut all = 0;
        publish(publication, &mut |bytes| all += bytes).unwrap();
        assert!(all > 2 * 12 * 19, "{all}");
    }
}
