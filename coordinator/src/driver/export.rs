//! Writes the adapter of a checkpoint to where loaders look.
//!
//! In: the checkpoint whose adapter is the result, the last one for the history. Out: the PEFT pair, its copy,
//! tokenizer, history, manifest last. Runs on a blocking thread.
//! Keeps: a checkpoint is verified whole before a byte of it is copied; no file has its name before all files are
//! written and read back.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::manifest::{ExpectedTensor, FileDigest, Manifest, file_digest, verify_adapter};
use shared::paths::{
    ADAPTER_CONFIG_FILE, ADAPTER_COPY_FILE, ADAPTER_FILE, PISSA_FILE, RunPaths, TRAINER_STATE,
};
use shared::tensors::plain_lora;

use super::storage::look_through;
use crate::engine::ExportFailure;

/// What is exported, and the paths it is exported to.
pub(super) struct Export {
    pub(super) paths: RunPaths,
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
        let folder = export.paths.checkpoint(*step);
        let looked = look_through(&folder, *step, recorded.as_deref(), &order);
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
    let mut staged = Staged::new(&export.paths);
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
pub(crate) fn converted(checkpoint: &Path) -> Result<Option<Vec<u8>>> {
    let taken = checkpoint.join(PISSA_FILE);
    if !taken.is_file() {
        return Ok(None);
    }
    plain_lora::convert(&read(&checkpoint.join(ADAPTER_FILE))?, &read(&taken)?).map(Some)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| io(path, "cannot be read", &e))
}

fn io(path: &Path, what: &str, why: &std::io::Error) -> Error {
    Error::new(Code::Io, what)
        .in_file(path)
        .why(why.to_string())
}

/// Files under temporary names beside their own; those that got no name are removed.
struct Staged<'a> {
    paths: &'a RunPaths,
    names: Vec<String>,
}

impl<'a> Staged<'a> {
    fn new(paths: &'a RunPaths) -> Self {
        Self {
            paths,
            names: Vec::new(),
        }
    }

    fn fill(&mut self, export: &Export, manifest: Manifest) -> Result<String> {
        let checkpoint = export.paths.checkpoint(export.result.0);
        let last = export.paths.checkpoint(export.last.0);
        let adapter = checkpoint.join(ADAPTER_FILE);
        let mut expected = export.expected.clone();
        if let Some(bytes) = converted(&checkpoint)? {
            let config = plain_lora::config(&read(&checkpoint.join(ADAPTER_CONFIG_FILE))?)?;
            expected = plain_lora::expected(&expected);
            for name in [ADAPTER_FILE, ADAPTER_COPY_FILE] {
                self.write(name, |file| file.write_all(&bytes))?;
            }
            self.write(ADAPTER_CONFIG_FILE, |file| file.write_all(&config))?;
        } else {
            for name in [ADAPTER_FILE, ADAPTER_COPY_FILE] {
                self.copy(name, &adapter)?;
                self.is_as_listed(name, ADAPTER_FILE, &manifest)?;
            }
            self.copy(ADAPTER_CONFIG_FILE, &checkpoint.join(ADAPTER_CONFIG_FILE))?;
        }
        self.copy(TRAINER_STATE, &last.join(TRAINER_STATE))?;
        for file in &export.tokenizer_files {
            if let Some(name) = file.file_name() {
                self.copy(&name.to_string_lossy(), file)?;
            }
        }
        for name in [ADAPTER_FILE, ADAPTER_COPY_FILE] {
            verify_adapter(&self.paths.unnamed_result(name), &expected)?;
        }
        self.names.sort();
        let mut files = Vec::new();
        for name in &self.names {
            files.push(FileDigest {
                name: name.clone(),
                ..file_digest(&self.paths.unnamed_result(name))?
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
        manifest.write(export.paths.output_dir())?;
        Ok(adapter_sha256)
    }

    fn write(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<()> {
        if !self.names.iter().any(|n| n == name) {
            self.names.push(name.to_owned());
        }
        let path = self.paths.unnamed_result(name);
        let written = (|| {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
            write(&mut file)?;
            file.into_inner()?.sync_all()
        })();
        written.map_err(|e| io(&self.paths.result(name), "writing failed", &e))
    }

    fn copy(&mut self, name: &str, from: &Path) -> Result<()> {
        let mut source = File::open(from).map_err(|e| io(from, "cannot be read", &e))?;
        self.write(name, |file| std::io::copy(&mut source, file).map(|_| ()))
    }

    /// Checks that a copied file has the digest that the checkpoint's manifest lists, in case either changed meanwhile.
    fn is_as_listed(&self, name: &str, listed: &str, manifest: &Manifest) -> Result<()> {
        let copied = file_digest(&self.paths.unnamed_result(name))?;
        let listed = manifest.files.iter().find(|file| file.name == listed);
        if listed.is_some_and(|listed| listed.sha256 == copied.sha256) {
            return Ok(());
        }
        Err(Error::new(
            Code::ExportDiffers,
            "the adapter does not read back as written",
        )
        .in_file(self.paths.result(name))
        .why(format!("it has sha256 {}", copied.sha256)))
    }

    /// Every file gets its name.
    fn name(&mut self) -> Result<()> {
        while let Some(name) = self.names.last() {
            let path = self.paths.result(name);
            fs::rename(self.paths.unnamed_result(name), &path)
                .map_err(|e| io(&path, "writing failed", &e))?;
            self.names.pop();
        }
        let folder = self.paths.output_dir();
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| io(folder, "syncing failed", &e))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = fs::remove_file(self.paths.unnamed_result(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, Damage};
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
            paths: RunPaths::new(output),
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
        let here = output.path().to_str().unwrap();
        assert_eq!(read(here, ADAPTER_FILE), read(&best.folder, ADAPTER_FILE));
        assert_eq!(read(here, ADAPTER_COPY_FILE), read(here, ADAPTER_FILE));
        assert_eq!(read(here, TRAINER_STATE), read(&last.folder, TRAINER_STATE));
        let manifest = Manifest::read(output.path()).unwrap();
        manifest.verify(output.path()).unwrap();
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
}
