//! What a checkpoint is: a group of objects whose manifest lists every other one with its digest.
//!
//! In: objects that were written before. Out: `manifest.json`, written last and read first; readers trust only what it
//! lists. Keeps: nothing in it knows how many workers there were. `find` looks for the newest checkpoint that verifies
//! · `verify` checks an adapter file · `content` computes the digest of a state from its files · `listed` an adapter
//! before it is loaded · `tensors` reads them piece by piece.

mod content;
mod find;
mod listed;
mod tensors;
mod verify;

#[cfg(test)]
pub(crate) mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use content::{Content, recomputed_digest};
pub use find::{Found, checkpoints, newest, newest_where};
pub use listed::verify_listed;
pub use verify::{ExpectedTensor, verify_adapter};

use crate::error::{Code, Error, Result};
use crate::evaluation::SetSums;
use crate::hex::hex;
use crate::ids::{RunId, Step};
use crate::ledger::Parent;
pub use crate::run_paths::{ADAPTER_FILE, MANIFEST, OPTIMIZER_FILE, PISSA_FILE, checkpoint_name};
use crate::storage::{Objects, Reading};
pub use crate::wire::message::FileDigest;

/// Version of the manifest's form.
pub const FORMAT: u32 = 1;

/// Bytes of the longest manifest that is written, and read. One of a thousand layers and ten thousand evaluations has
/// less than ten megabytes.
const LONGEST: u64 = 256 << 20;

/// Where a state comes from and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the manifest's form.
    pub format: u32,
    /// The program that wrote it.
    pub version: String,
    /// Identifier of the run that the state belongs to.
    pub run_id: RunId,
    /// Digest over everything that decides the adapter.
    pub run_identity: String,
    /// What that digest was made of, readable.
    pub identity: BTreeMap<String, String>,
    /// Committed step of the state in the folder.
    pub step: Step,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Digest of adapter and optimizer state.
    pub state_digest: String,
    /// Scale of gradients and of losses, bits.
    pub scale_bits: (u32, u32),
    /// The checkpoint this run began with, when not from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Evaluations up to its step: patience goes on where it stood.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evaluations: BTreeMap<Step, Vec<SetSums>>,
    /// Device classes that took part since the start or the last resume.
    pub device_classes: BTreeSet<String>,
    /// Keys of the adapter in canonical order: with it the digest of the state can be computed from the
    /// files alone. Empty in manifests of earlier versions, and of folders without an optimizer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    /// Every other file of the folder.
    pub files: Vec<FileDigest>,
    /// SHA-256 of this manifest with nothing here; filled in when it is written.
    pub own_sha256: String,
}

impl Manifest {
    /// Writes the manifest: the last object of a group.
    ///
    /// # Errors
    /// [`Code::Io`].
    pub fn write(&self, to: &dyn Objects) -> Result<()> {
        let sealed = Self {
            own_sha256: self.seal()?,
            ..self.clone()
        };
        let text = format!("{}\n", sealed.text()?);
        if text.len() as u64 > LONGEST {
            let what = format!("a manifest of {} bytes would not be read", text.len());
            return Err(Error::new(Code::Internal, what));
        }
        to.put(MANIFEST, text.as_bytes())
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(Code::Internal, format!("manifest: {e}")))
    }

    fn seal(&self) -> Result<String> {
        let open = Self {
            own_sha256: String::new(),
            ..self.clone()
        };
        Ok(hex(&Sha256::digest(open.text()?)))
    }

    /// Reads the manifest of a group without looking at what it lists.
    ///
    /// # Errors
    /// [`Code::NoCheckpoint`] when there is none, it is not understood, or it was altered; [`Code::Io`] when it is
    /// there and cannot be read now, or is longer than any that is written.
    pub fn read(from: &dyn Objects) -> Result<Self> {
        let path = from.place(MANIFEST);
        let unusable = |why: String| {
            Error::new(Code::NoCheckpoint, "not a complete checkpoint")
                .in_file(&path)
                .why(why)
        };
        let text = from.get_at_most(MANIFEST, LONGEST);
        let text = text.map_err(|e| match e.kind() {
            ErrorKind::NotFound => unusable(e.to_string()),
            _ => unreadable(&path, &e),
        })?;
        let text = String::from_utf8(text)
            .map_err(|_| unusable("stream did not contain valid UTF-8".into()))?;
        let manifest: Self = serde_json::from_str(&text).map_err(|e| unusable(e.to_string()))?;
        if manifest.format > FORMAT {
            return Err(unusable(format!(
                "it has form {}, known is {FORMAT}",
                manifest.format
            )));
        }
        let seal = manifest.seal()?;
        if manifest.own_sha256 != seal {
            return Err(unusable(format!(
                "it was altered: its own_sha256 is {}, it should be {seal}",
                manifest.own_sha256
            )));
        }
        Ok(manifest)
    }

    /// Compares every file with its digest.
    ///
    /// # Errors
    /// [`Code::DigestDiffers`] naming the first file that differs.
    pub fn verify(&self, from: &dyn Objects) -> Result<()> {
        self.verify_with(from, &mut |_| ())
    }

    /// [`Self::verify`] that tells how many bytes were read, each time some were.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_with(&self, from: &dyn Objects, moved: &mut dyn FnMut(u64)) -> Result<()> {
        for listed in &self.files {
            if !is_plain(&listed.name) {
                let text = "a file outside the checkpoint is listed as one of its own";
                return Err(Error::new(Code::DigestDiffers, text)
                    .in_file(from.place(MANIFEST))
                    .why(format!("it is named {:?}", listed.name)));
            }
            let found = file_digest_with(from, &listed.name, moved)?;
            if found != *listed {
                return Err(
                    Error::new(Code::DigestDiffers, "a file was altered or is torn")
                        .in_file(from.place(&listed.name))
                        .why(format!(
                            "the manifest lists {} bytes, sha256 {}",
                            listed.bytes, listed.sha256
                        ))
                        .why(format!(
                            "the file has {} bytes, sha256 {}",
                            found.bytes, found.sha256
                        )),
                );
            }
        }
        Ok(())
    }
}

/// Whether a listed name is that of an object of the group itself: workers and files say it, so it may say anything.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}

/// Storage that hangs or hiccups says nothing of what lies on it.
fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    Error::new(Code::Io, "a file cannot be read")
        .in_file(path)
        .why(e.to_string())
}

/// Size and SHA-256 of an object.
///
/// # Errors
/// [`Code::DigestDiffers`] when there is none, [`Code::Io`] when it cannot be read now.
pub fn file_digest(from: &dyn Objects, name: &str) -> Result<FileDigest> {
    file_digest_with(from, name, &mut |_| ())
}

/// [`file_digest`] that tells how many bytes were read, each time some were.
///
/// # Errors
/// As [`file_digest`].
pub fn file_digest_with(
    from: &dyn Objects,
    name: &str,
    moved: &mut dyn FnMut(u64),
) -> Result<FileDigest> {
    let path = from.place(name);
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => Error::new(Code::DigestDiffers, "a file is missing").in_file(&path),
        _ => unreadable(&path, &e),
    };
    let mut object = Reading::new(from.open(name).map_err(failed)?);
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = object.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
        moved(read as u64);
    }
    Ok(FileDigest {
        name: name.to_owned(),
        bytes,
        sha256: hex(&hasher.finalize()),
    })
}

/// SHA-256 of bytes in hex, as [`file_digest`] has it of a file.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
