//! Writes the adapter of a checkpoint to where loaders look.
//!
//! In: the checkpoint whose adapter is the result, the last one for the history. Out: the PEFT pair, its copy,
//! tokenizer, history, manifest last. Runs on a blocking thread.
//! Keeps: a checkpoint is verified whole before a byte of it is copied; no object has its name before all are
//! written and read back.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::manifest::{ExpectedTensor, FileDigest, Manifest, file_digest, verify_adapter};
use shared::run_paths::{
    ADAPTER_CONFIG_FILE, ADAPTER_COPY_FILE, ADAPTER_FILE, PISSA_FILE, TRAINER_STATE,
    checkpoint_name, unnamed_result,
};
use shared::storage::{Group, Groups, Objects, Reading, Writing};
use shared::tensors::plain_lora;

use super::storage::look_through;
use crate::engine::ExportFailure;

/// What is exported, and the storage it is exported to.
pub(super) struct Export {
    pub(super) objects: Arc<dyn Groups>,
    /// The step whose adapter is the result, and its committed digest where it is known.
    pub(super) result: (Step, Option<String>),
    /// The last committed step, whose history is exported, and its digest where it is known.
    pub(super) last: (Step, Option<String>),
    pub(super) tokenizer_files: Vec<PathBuf>,
    pub(super) expected: Vec<ExpectedTensor>,
}

/// Exports the adapter with tokenizer, history and manifest; returns the adapter's SHA-256.
///
/// # Errors
/// [`ExportFailure::Checkpoint`] with the one that does not hold what the ledger says,
/// [`ExportFailure::Storage`] when it cannot be written.
pub(super) fn export(export: &Export) -> std::result::Result<String, ExportFailure> {
    let order: Vec<_> = export.expected.iter().map(|t| t.key.clone()).collect();
    let look = |(step, recorded): &(Step, Option<String>)| {
        let name = checkpoint_name(*step);
        let checkpoint = Group::new(&*export.objects, &name);
        let looked = look_through(&checkpoint, *step, recorded.as_deref(), &order);
        looked.map_err(|error| match error.code {
            // A checkpoint that cannot be read now may be whole.
            Code::Io => ExportFailure::Storage(error),
            _ => ExportFailure::Checkpoint(*step, error),
        })
    };
    let manifest = look(&export.result)?;
    if export.last.0 != export.result.0 {
        look(&export.last)?;
    }
    let mut staged = Staged::new(&*export.objects);
    staged.fill(export, manifest).map_err(|error| {
        ExportFailure::Storage(match error.code {
            Code::Io => error
                .why("every step is committed and the last checkpoint is safe")
                .fix("make room where the output is written, and start again"),
            _ => error,
        })
    })
}

/// The bytes of a PiSSA checkpoint's adapter as plain LoRA; `None` for other adapters, whose file is exported as it is.
///
/// # Errors
/// [`Code::Io`], [`Code::ExportDiffers`].
pub(crate) fn converted(checkpoint: &dyn Objects) -> Result<Option<Vec<u8>>> {
    if !checkpoint.has(PISSA_FILE) {
        return Ok(None);
    }
    let adapter = read(checkpoint, ADAPTER_FILE)?;
    plain_lora::convert(&adapter, &read(checkpoint, PISSA_FILE)?).map(Some)
}

fn read(from: &dyn Objects, name: &str) -> Result<Vec<u8>> {
    let got = from.get(name);
    got.map_err(|e| io(&from.place(name), "cannot be read", &e))
}

fn io(path: &Path, what: &str, why: &std::io::Error) -> Error {
    Error::new(Code::Io, what)
        .in_file(path)
        .why(why.to_string())
}

/// Bytes that are copied at a time: a read is a round trip where storage is far.
const COPIED: usize = 1 << 20;

/// Objects under temporary names beside their own; those that got no name are removed.
struct Staged<'a> {
    objects: &'a dyn Groups,
    names: Vec<String>,
}

impl<'a> Staged<'a> {
    fn new(objects: &'a dyn Groups) -> Self {
        Self {
            objects,
            names: Vec::new(),
        }
    }

    fn fill(&mut self, export: &Export, manifest: Manifest) -> Result<String> {
        let [result, last] = [&export.result, &export.last].map(|(step, _)| checkpoint_name(*step));
        let checkpoint = Group::new(self.objects, &result);
        let mut expected = export.expected.clone();
        if let Some(bytes) = converted(&checkpoint)? {
            let config = plain_lora::config(&read(&checkpoint, ADAPTER_CONFIG_FILE)?)?;
            expected = plain_lora::expected(&expected);
            for name in [ADAPTER_FILE, ADAPTER_COPY_FILE] {
                self.write(name, &mut |to| to.write_all(&bytes))?;
            }
            self.write(ADAPTER_CONFIG_FILE, &mut |to| to.write_all(&config))?;
        } else {
            for name in [ADAPTER_FILE, ADAPTER_COPY_FILE] {
                self.copy(name, &checkpoint, ADAPTER_FILE)?;
                self.is_as_listed(name, ADAPTER_FILE, &manifest)?;
            }
            self.copy(ADAPTER_CONFIG_FILE, &checkpoint, ADAPTER_CONFIG_FILE)?;
        }
        let last = Group::new(self.objects, &last);
        self.copy(TRAINER_STATE, &last, TRAINER_STATE)?;
        for file in &export.tokenizer_files {
            if let Some(name) = file.file_name() {
                let mut from = File::open(file).map_err(|e| io(file, "cannot be read", &e))?;
                self.copy_from(&name.to_string_lossy(), &mut from)?;
            }
        }
        for name in [ADAPTER_FILE, ADAPTER_COPY_FILE] {
            verify_adapter(self.objects, &unnamed_result(name), &expected)?;
        }
        self.names.sort();
        let mut files = Vec::new();
        for name in &self.names {
            files.push(FileDigest {
                name: name.clone(),
                ..file_digest(self.objects, &unnamed_result(name))?
            });
        }
        let written = files.iter().find(|file| file.name == ADAPTER_FILE);
        let adapter_sha256 = written.map(|f| f.sha256.clone()).unwrap_or_default();
        let manifest = Manifest {
            files,
            parameters: Vec::new(),
            ..manifest
        };
        self.name()?;
        manifest.write(self.objects)?;
        Ok(adapter_sha256)
    }

    fn write(&mut self, name: &str, write: Writing<'_>) -> Result<()> {
        if !self.names.iter().any(|n| n == name) {
            self.names.push(name.to_owned());
        }
        let written = self.objects.put_with(&unnamed_result(name), write);
        written.map_err(|error| error.in_file(self.objects.place(name)))
    }

    fn copy(&mut self, name: &str, from: &dyn Objects, source: &str) -> Result<()> {
        let object = from.open(source);
        let object = object.map_err(|e| io(&from.place(source), "cannot be read", &e))?;
        self.copy_from(name, &mut Reading::new(object))
    }

    fn copy_from(&mut self, name: &str, from: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; COPIED];
        self.write(name, &mut |to| {
            loop {
                match from.read(&mut buffer)? {
                    0 => return Ok(()),
                    read => to.write_all(&buffer[..read])?,
                }
            }
        })
    }

    /// Checks that a copied file has the digest that the checkpoint's manifest lists, in case either changed meanwhile.
    fn is_as_listed(&self, name: &str, listed: &str, manifest: &Manifest) -> Result<()> {
        let copied = file_digest(self.objects, &unnamed_result(name))?;
        let listed = manifest.files.iter().find(|file| file.name == listed);
        if listed.is_some_and(|listed| listed.sha256 == copied.sha256) {
            return Ok(());
        }
        Err(Error::new(
            Code::ExportDiffers,
            "the adapter does not read back as written",
        )
        .in_file(self.objects.place(name))
        .why(format!("it has sha256 {}", copied.sha256)))
    }

    /// Every object gets its name.
    fn name(&mut self) -> Result<()> {
        while let Some(name) = self.names.last() {
            let named = self.objects.rename(&unnamed_result(name), name);
            named.map_err(|e| io(&self.objects.place(name), "writing failed", &e))?;
            self.names.pop();
        }
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = self.objects.remove(&unnamed_result(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use shared::manifest::newest;
    use shared::storage::{Folder, MemoryObjects};

    use super::super::publish::{Publication, publish};
    use super::super::samples::{self, Damage};
    use super::super::storage::set_aside;
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.path().is_file());
        files
            .map(|e| e.file_name().into_string().unwrap())
            .collect()
    }

    fn order(output: &Path, result: u64, last: u64) -> Export {
        Export {
            objects: Arc::new(Folder::new(output)),
            result: (Step(result), None),
            last: (Step(last), None),
            tokenizer_files: Vec::new(),
            expected: samples::expected(),
        }
    }

    #[test]
    fn the_best_adapter_is_shipped_with_the_history_of_the_last_step() {
        let output = tempfile::tempdir().unwrap();
        let best = samples::checkpoint(output.path(), 5, Damage::None);
        let last = samples::checkpoint(output.path(), 7, Damage::None);
        let sha256 = export(&order(output.path(), 5, 7)).unwrap();
        let read = |folder: &str, name: &str| fs::read(Path::new(folder).join(name)).unwrap();
        let root = output.path().to_str().unwrap();
        assert_eq!(read(root, ADAPTER_FILE), read(&best.folder, ADAPTER_FILE));
        assert_eq!(read(root, ADAPTER_COPY_FILE), read(root, ADAPTER_FILE));
        assert_eq!(read(root, TRAINER_STATE), read(&last.folder, TRAINER_STATE));
        let here = Folder::new(output.path());
        let manifest = Manifest::read(&here).unwrap();
        manifest.verify(&here).unwrap();
        let listed = manifest.files.iter().find(|f| f.name == ADAPTER_FILE);
        assert_eq!(listed.unwrap().sha256, sha256);
        assert_eq!(files(output.path()).len(), 5);
    }

    #[test]
    fn a_damaged_checkpoint_is_named_and_nothing_of_it_is_shipped() {
        for damage in [Damage::Flipped, Damage::OtherState] {
            for (bad, good) in [(5, 7), (7, 5)] {
                let output = tempfile::tempdir().unwrap();
                samples::checkpoint(output.path(), bad, damage);
                samples::checkpoint(output.path(), good, Damage::None);
                let outcome = export(&order(output.path(), 5, 7));
                let Err(ExportFailure::Checkpoint(step, _)) = outcome else {
                    panic!("{damage:?}: {outcome:?}");
                };
                assert_eq!(step, Step(bad));
                assert_eq!(files(output.path()), Vec::<String>::new());
            }
        }
        let output = tempfile::tempdir().unwrap();
        let gone = export(&order(output.path(), 5, 5));
        assert!(matches!(gone, Err(ExportFailure::Checkpoint(Step(5), _))));
    }

    #[test]
    fn another_state_than_the_committed_one_is_not_shipped_however_whole() {
        let output = tempfile::tempdir().unwrap();
        samples::checkpoint(output.path(), 5, Damage::None);
        let mut order = order(output.path(), 5, 5);
        order.result.1 = Some("the ledger's".into());
        let outcome = export(&order);
        assert!(matches!(
            outcome,
            Err(ExportFailure::Checkpoint(Step(5), _))
        ));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_half_and_is_no_fault_of_the_checkpoint() {
        let output = tempfile::tempdir().unwrap();
        samples::checkpoint(output.path(), 5, Damage::None);
        // A folder lies where the temporary file of the history would.
        fs::create_dir(output.path().join(format!(".{TRAINER_STATE}.export"))).unwrap();
        let outcome = export(&order(output.path(), 5, 5));
        assert!(
            matches!(outcome, Err(ExportFailure::Storage(_))),
            "{outcome:?}"
        );
        assert_eq!(files(output.path()), Vec::<String>::new());
    }

    /// What a store without a file system needs to be able to do is all in its verbs.
    #[test]
    fn from_what_a_worker_staged_to_the_adapter_no_file_is_needed() {
        let objects = Arc::new(MemoryObjects::default());
        let output = tempfile::tempdir().unwrap();
        let staged = samples::publication(output.path(), 5, Damage::None, Box::new(|| Ok(())));
        for name in staged.objects.list(".staging/").unwrap() {
            objects
                .put(&name, &staged.objects.get(&name).unwrap())
                .unwrap();
        }
        drop(output);
        let publication = Publication {
            objects: objects.clone(),
            ..staged
        };
        publish(publication, &mut |_| ()).unwrap();
        assert!(!objects.has(".staging"));
        let found = newest(&*objects).unwrap().unwrap();
        assert_eq!((found.manifest.step, found.skipped.len()), (Step(5), 0));
        let order = Export {
            objects: objects.clone(),
            ..order(Path::new("none"), 5, 5)
        };
        export(&order).unwrap();
        Manifest::read(&*objects)
            .unwrap()
            .verify(&*objects)
            .unwrap();
        let adapter = |name: &str| objects.get(name).unwrap();
        assert_eq!(
            adapter(ADAPTER_FILE),
            adapter(&format!("checkpoint-5/{ADAPTER_FILE}"))
        );
        // In place of the one before, as on a disk.
        export(&order).unwrap();
        let aside = set_aside(&*objects, Step(5)).unwrap();
        assert!(objects.has(&aside) && newest(&*objects).unwrap().is_none());
    }
}
