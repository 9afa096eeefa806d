//! A staged checkpoint becomes a checkpoint; the last one becomes the adapter.
//!
//! In: a staging folder that a worker filled. Out: `checkpoint-<step>/`, manifest last, and in the
//! end the PEFT pair in the output folder. Runs on a blocking thread, beside the training.

use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::manifest::{
    self, ExpectedTensor, FileDigest, Manifest, PISSA_FILE, checkpoint_name, checkpoints,
    file_digest, verify_adapter,
};
use shared::storage::{publish_folder, write_atomic};

use super::plain_lora;

/// The PEFT pair.
pub(super) const ADAPTER: &str = "adapter_model.safetensors";
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// The same bytes under the name image tools use.
const ADAPTER_COPY: &str = "pytorch_lora_weights.safetensors";

const TRAINER_STATE: &str = "trainer_state.json";

/// One checkpoint on its way from staging to its name.
pub(super) struct Publication {
    pub(super) output_dir: PathBuf,
    pub(super) staging: PathBuf,
    pub(super) files: Vec<FileDigest>,
    pub(super) trainer_state: String,
    pub(super) manifest: Manifest,
    pub(super) keep: Option<u32>,
    /// The best checkpoint stays whatever the limit.
    pub(super) best: Option<Step>,
    pub(super) expected: Vec<ExpectedTensor>,
}

/// Verifies what the worker wrote, adds what the coordinator knows, and gives it its name.
pub(super) fn publish(mut publication: Publication) -> Result<PathBuf> {
    let staging = &publication.staging;
    let written = Manifest {
        files: publication.files.clone(),
        ..Manifest::default()
    };
    written.verify(staging)?;
    verify_adapter(&staging.join(ADAPTER), &publication.expected)?;
    write_atomic(
        &staging.join(TRAINER_STATE),
        publication.trainer_state.as_bytes(),
    )?;
    let mut files = publication.files;
    files.push(file_digest(&staging.join(TRAINER_STATE))?);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    publication.manifest.files = files;
    publication.manifest.write(staging)?;
    let step = publication.manifest.step;
    let folder = publication.output_dir.join(checkpoint_name(step));
    publish_folder(staging, &folder)?;
    prune(
        &publication.output_dir,
        step,
        publication.keep,
        publication.best,
    )?;
    Ok(folder)
}

/// Removes the oldest checkpoints beyond the limit; the one just written and the best one stay.
fn prune(output_dir: &Path, newest: Step, keep: Option<u32>, best: Option<Step>) -> Result<()> {
    let Some(keep) = keep else { return Ok(()) };
    let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
    let older = checkpoints(output_dir)
        .into_iter()
        .filter(|(step, _)| *step <= newest);
    for (step, folder) in older.skip(keep) {
        if Some(step) == best {
            continue;
        }
        std::fs::remove_dir_all(&folder).map_err(|e| {
            Error::new(Code::Io, "an old checkpoint cannot be removed")
                .in_file(&folder)
                .why(e.to_string())
        })?;
    }
    Ok(())
}

/// Copies a checkpoint's adapter to where loaders look, with the history of the `last` one, reads it
/// back, manifest last.
pub(super) fn export(
    output_dir: &Path,
    checkpoint: &Path,
    last: &Path,
    tokenizer_files: &[PathBuf],
    expected: &[ExpectedTensor],
) -> Result<()> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|e| {
            Error::new(Code::Io, "cannot be read")
                .in_file(path)
                .why(e.to_string())
        })
    };
    let mut adapter = read(&checkpoint.join(ADAPTER))?;
    let mut config = read(&checkpoint.join(ADAPTER_CONFIG))?;
    let mut expected = expected.to_vec();
    let taken = checkpoint.join(PISSA_FILE);
    if taken.is_file() {
        adapter = plain_lora::convert(&adapter, &read(&taken)?)?;
        config = plain_lora::config(&config)?;
        expected = plain_lora::expected(&expected);
    }
    let state = read(&last.join(TRAINER_STATE))?;
    let mut names = Vec::new();
    for (name, bytes) in [
        (ADAPTER, &adapter),
        (ADAPTER_COPY, &adapter),
        (ADAPTER_CONFIG, &config),
        (TRAINER_STATE, &state),
    ] {
        write_atomic(&output_dir.join(name), bytes)?;
        names.push(name.to_owned());
    }
    for file in tokenizer_files {
        let Some(name) = file.file_name() else {
            continue;
        };
        write_atomic(&output_dir.join(name), &read(file)?)?;
        names.push(name.to_string_lossy().into_owned());
    }
    for name in [ADAPTER, ADAPTER_COPY] {
        verify_adapter(&output_dir.join(name), &expected)?;
    }
    let mut manifest = Manifest::read(checkpoint)?;
    names.sort();
    manifest.files = names
        .iter()
        .map(|n| manifest::file_digest(&output_dir.join(n)))
        .collect::<Result<_>>()?;
    manifest.write(output_dir)
}
