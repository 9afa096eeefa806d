//! A checkpoint's files as a worker writes and reads them.
//!
//! In: the committed state. Out: the PEFT pair and the optimizer in a staging folder; the coordinator
//! adds what it knows, the manifest last, and gives the folder its name. Reading checks every key,
//! shape, type and value; whether the files are the ones that were written, the manifest and the
//! digest of the state tell.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use shared::config::RunConfig;
use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::manifest::{FileDigest, Manifest, file_digest_with};
use shared::numerics::{AdapterState, LossScale};
pub use shared::run_paths::{ADAPTER_CONFIG_FILE, ADAPTER_FILE, OPTIMIZER_FILE, PISSA_FILE};
use shared::storage::{Folder, Objects};
use shared::tensors::{Reader, Writer};

use super::peft_config::peft_config;
use super::scale;
use crate::adapter::AdapterLayout;
use crate::progress::Counters;

/// Bytes that are read between two signs of progress.
const PART: u64 = 4 << 20;

const FIRST_MOMENT: &str = "exp_avg";
const SECOND_MOMENT: &str = "exp_avg_sq";
const STEP: &str = "step";
const OPTIMIZER_STEPS: &str = "optimizer_steps";

/// The state before step 1, from the first adapter; with the moments of the run that is trained on,
/// when there is one and they are wanted. The loss scale begins anew, as the schedule does.
///
/// # Errors
/// [`Code::NoCheckpoint`] and [`Code::DigestDiffers`] when the parent is not what it was.
pub fn first_state(
    config: &RunConfig,
    layout: &AdapterLayout,
    first: Vec<f32>,
    progress: &Counters,
) -> Result<AdapterState> {
    let anew = config.first_loss_scale().map(LossScale::new);
    let new = |first| AdapterState {
        loss_scale: anew,
        ..AdapterState::new(first)
    };
    let Some(parent) = &config.parent else {
        return Ok(new(first));
    };
    let there = Folder::new(parent);
    Manifest::read(&there)?.verify(&there)?;
    if !config.parent_optimizer {
        return Ok(new(first));
    }
    let earlier = read_checkpoint(parent, layout, progress)?;
    Ok(AdapterState {
        step: Step(0),
        loss_scale: anew,
        ..earlier
    })
}

/// Writes adapter, its configuration and optimizer into a staging folder; with `pissa_initial`, what PiSSA took
/// out of the base model, a file of it too. `progress` counts the bytes as they reach the disk, and again as they are
/// hashed.
///
/// # Errors
/// [`Code::NotFinite`] when the state holds what no adapter may hold, [`Code::Internal`] when it
/// does not fit the layout, [`Code::Io`].
pub fn write_checkpoint(
    staging: &Path,
    config: &RunConfig,
    layout: &AdapterLayout,
    state: &AdapterState,
    pissa_initial: Option<&[f32]>,
    progress: &Counters,
) -> Result<Vec<FileDigest>> {
    let vectors = [&state.params, &state.m, &state.v].map(Vec::len);
    if vectors != [layout.len(); 3] {
        return Err(
            Error::new(Code::Internal, "the state does not fit the adapter").why(format!(
                "{vectors:?} elements, the adapter has {}",
                layout.len()
            )),
        );
    }
    let unfit = |why: String| {
        Error::new(
            Code::NotFinite,
            format!("the state of step {} cannot be written", state.step),
        )
        .in_file(staging)
        .why(why)
        .fix("go on from the checkpoint before, with a lower learning_rate")
    };
    let here = Folder::new(staging);
    let digest = |name: &str| file_digest_with(&here, name, &mut |bytes| progress.stored(bytes));
    let write = |name: &str, tensors: Writer<'_>| {
        let path = staging.join(name);
        tensors
            .write_to(&path, |bytes| progress.stored(bytes))
            .map_err(|e| {
                let _ = std::fs::remove_file(&path);
                let error = Error::new(Code::Io, "writing failed").in_file(&path);
                error.why(e.to_string())
            })?;
        digest(name)
    };
    // Both are checked before anything is written.
    let adapter = adapter_tensors(layout, &state.params).map_err(&unfit)?;
    let optimizer = optimizer_tensors(layout, state).map_err(&unfit)?;
    here.put(ADAPTER_CONFIG_FILE, peft_config(config, layout).as_bytes())?;
    let mut files = vec![
        digest(ADAPTER_CONFIG_FILE)?,
        write(ADAPTER_FILE, adapter)?,
        write(OPTIMIZER_FILE, optimizer)?,
    ];
    if let Some(initial) = pissa_initial {
        let first = adapter_tensors(layout, initial).map_err(&unfit)?;
        files.push(write(PISSA_FILE, first)?);
    }
    Ok(files)
}

fn adapter_tensors<'a>(
    layout: &AdapterLayout,
    values: &'a [f32],
) -> std::result::Result<Writer<'a>, String> {
    let mut writer = Writer::default();
    for (tensor, range) in layout.places() {
        let values = values.get(range).unwrap_or_default();
        writer.floats(tensor.key.clone(), &tensor.shape, values)?;
    }
    Ok(writer)
}

fn optimizer_tensors<'a>(
    layout: &AdapterLayout,
    state: &'a AdapterState,
) -> std::result::Result<Writer<'a>, String> {
    let mut writer = Writer::default();
    for (tensor, range) in layout.places() {
        for (moment, values) in [(FIRST_MOMENT, &state.m), (SECOND_MOMENT, &state.v)] {
            let key = format!("{moment}.{}", tensor.key);
            writer.floats(key, &tensor.shape, &values[range.clone()])?;
        }
    }
    writer.counter(STEP, state.step.0)?;
    writer.counter(OPTIMIZER_STEPS, state.optimizer_steps)?;
    scale::write(&mut writer, state.loss_scale)?;
    Ok(writer)
}

/// Reads the state of a checkpoint folder; `progress` counts the bytes as they are read.
///
/// # Errors
/// [`Code::NoCheckpoint`] naming the file and what is wrong with it.
pub fn read_checkpoint(
    folder: &Path,
    layout: &AdapterLayout,
    progress: &Counters,
) -> Result<AdapterState> {
    let mut state = AdapterState::new(vec![0.0; layout.len()]);
    read_file(&folder.join(ADAPTER_FILE), progress, |reader| {
        for (tensor, range) in layout.places() {
            reader.floats(&tensor.key, &tensor.shape, &mut state.params[range])?;
        }
        Ok(())
    })?;
    read_file(&folder.join(OPTIMIZER_FILE), progress, |reader| {
        for (tensor, range) in layout.places() {
            for (moment, values) in [(FIRST_MOMENT, &mut state.m), (SECOND_MOMENT, &mut state.v)] {
                let key = format!("{moment}.{}", tensor.key);
                reader.floats(&key, &tensor.shape, &mut values[range.clone()])?;
            }
        }
        state.step = Step(reader.counter(STEP)?);
        state.optimizer_steps = reader.counter(OPTIMIZER_STEPS)?;
        state.loss_scale = scale::read(reader)?;
        Ok(())
    })?;
    Ok(state)
}

fn read_file(
    path: &Path,
    progress: &Counters,
    read: impl FnOnce(&mut Reader<'_>) -> std::result::Result<(), String>,
) -> Result<()> {
    let unusable = |why: String| {
        Error::new(Code::NoCheckpoint, "the checkpoint cannot be used")
            .in_file(path)
            .why(why)
            .fix("name another one with resume_from_checkpoint, or remove this folder")
    };
    let bytes = whole(path, progress).map_err(|e| unusable(e.to_string()))?;
    let mut reader = Reader::new(&bytes).map_err(unusable)?;
    read(&mut reader).map_err(unusable)?;
    reader.finish().map_err(unusable)
}

/// The content of a file, a part at a time.
fn whole(path: &Path, progress: &Counters) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length);
    loop {
        let read = (&mut file).take(PART).read_to_end(&mut bytes)?;
        if read == 0 {
            return Ok(bytes);
        }
        progress.stored(read as u64);
    }
}

/// The state with one bit of a parameter changed: what damaged memory does between a commit and the writing. Only for
/// faults on purpose.
#[must_use]
pub fn damage(state: &AdapterState) -> AdapterState {
    let mut damaged = state.clone();
    if let Some(first) = damaged.params.first_mut() {
        // The lowest bit: the value stays finite, and nothing but a digest tells.
        *first = f32::from_bits(first.to_bits() ^ 1);
    }
    damaged
}
