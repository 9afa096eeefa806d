//! An adapter's folder that carries a manifest of ours, held against it before anything of it is loaded.
//!
//! In: a folder, the files that are about to be loaded. Out: nothing, or which of them is not what was written. Keeps:
//! a folder without a manifest, or with one of another program, is a plain PEFT adapter and is not judged; only what is
//! loaded is compared, so that an adapter may lie there without its optimizer.

use std::io::ErrorKind;
use std::path::Path;

use super::{MANIFEST, Manifest, file_digest};
use crate::error::{Code, Error, Result};
use crate::storage::Folder;

/// Keys by which a manifest of ours is known; damage to one bit spoils one of them at most.
const OURS: [&str; 3] = ["state_digest", "run_identity", "own_sha256"];

/// Compares the files with the manifest that lies beside them, when there is one.
///
/// # Errors
/// [`Code::DigestDiffers`] naming the file that differs, or the manifest when it is damaged itself; [`Code::Io`].
pub fn verify_listed(folder: &Path, files: &[&Path]) -> Result<()> {
    if !carries_manifest(folder) {
        return Ok(());
    }
    let here = Folder::new(folder);
    let manifest = Manifest::read(&here).map_err(|mut error| {
        if error.code == Code::NoCheckpoint {
            error.code = Code::DigestDiffers;
        }
        error
            .fix("put the folder back from a copy, or name another checkpoint of the run")
            .fix("if the adapter is to be used as it is: copy it without manifest.json")
    })?;
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(listed) = manifest.files.iter().find(|file| file.name == *name) else {
            continue;
        };
        let found = file_digest(&here, &name)?;
        if found != *listed {
            return Err(
                Error::new(Code::DigestDiffers, "the adapter is not what was written")
                    .in_file(path)
                    .why(format!(
                        "manifest.json lists {} bytes, sha256 {}",
                        listed.bytes, listed.sha256
                    ))
                    .why(format!(
                        "the file has {} bytes, sha256 {}",
                        found.bytes, found.sha256
                    ))
                    .fix("put the file back from a copy, or name another checkpoint of the run")
                    .fix("if it was changed on purpose: copy it without manifest.json"),
            );
        }
    }
    Ok(())
}

/// Whether the folder has a manifest that is ours, or was before it was damaged.
fn carries_manifest(folder: &Path) -> bool {
    let text = match std::fs::read(folder.join(MANIFEST)) {
        Ok(text) => text,
        Err(e) => return e.kind() != ErrorKind::NotFound,
    };
    match serde_json::from_slice::<serde_json::Value>(&text) {
        Ok(found) => OURS.iter().any(|key| found.get(key).is_some()),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with two files, of which the manifest lists both.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a.safetensors", "b.json"].map(|name| {
            std::fs::write(folder.path().join(name), name).unwrap();
            file_digest(&Folder::new(folder.path()), name).unwrap()
        });
        let manifest = Manifest {
            format: 1,
            files: files.into(),
            ..Manifest::default()
        };
        manifest.write(&Folder::new(folder.path())).unwrap();
        folder
    }

    fn verified(folder: &Path) -> Result<()> {
        verify_listed(folder, &[&folder.join("a.safetensors")])
    }

    #[test]
    fn a_file_that_is_loaded_must_be_the_listed_one_and_no_other_is_asked_for() {
        let folder = folder();
        verified(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join("b.json")).unwrap();
        verified(folder.path()).unwrap();
        std::fs::write(folder.path().join("a.safetensors"), "b.safetensors").unwrap();
        let error = verified(folder.path()).unwrap_err();
        assert_eq!((error.code, error.fix.len()), (Code::DigestDiffers, 2));
        assert!(error.place.unwrap().file.ends_with("a.safetensors"));
    }

    #[test]
    fn a_damaged_manifest_is_refused_wherever_a_bit_has_flipped() {
        let folder = folder();
        let file = folder.path().join(MANIFEST);
        let whole = std::fs::read(&file).unwrap();
        for place in (0..whole.len()).filter(|p| !whole[*p].is_ascii_whitespace()) {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            std::fs::write(&file, flipped).unwrap();
            let error = verified(folder.path()).unwrap_err();
            assert_eq!(error.code, Code::DigestDiffers, "byte {place}");
        }
        for length in [0, 1, whole.len() / 2] {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(verified(folder.path()).is_err(), "{length}");
        }
    }

    #[test]
    fn a_plain_adapter_is_loaded_with_another_manifest_or_none() {
        let folder = folder();
        std::fs::write(folder.path().join("a.safetensors"), "other").unwrap();
        std::fs::write(folder.path().join(MANIFEST), "{\"name\": \"an app\"}").unwrap();
        verified(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(MANIFEST)).unwrap();
        verified(folder.path()).unwrap();
    }
}
