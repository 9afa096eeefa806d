//! Checkpoints of a small adapter, whole or damaged, for the tests of whatever handles them.

use std::path::Path;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use shared::ids::{Step, Term};
use shared::ledger::{Book, Commit, Leader, Record, Run, State};
use shared::manifest::{ExpectedTensor, FORMAT, FileDigest, Manifest, file_digest};
use shared::numerics::{AdapterState, state_digest};
use shared::run_paths::{
    ADAPTER_CONFIG_FILE, ADAPTER_FILE, OPTIMIZER_FILE, RunPaths, TRAINER_STATE,
};
use shared::storage::Folder;

use super::publish::{Publication, Synced, publish};
use crate::engine::StoredCheckpoint;

/// What is wrong with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Nothing.
    None,
    /// A bit of a file, after it was written.
    Flipped,
    /// A bit in the writer's memory, before it was written: every file is as listed.
    OtherState,
}

const SHAPES: [(&str, [usize; 2]); 2] = [("b.lora_A.weight", [2, 5]), ("a.lora_B.weight", [3, 3])];

/// Keys in canonical order.
pub(crate) fn keys() -> Vec<String> {
    SHAPES.iter().map(|(key, _)| (*key).to_owned()).collect()
}

pub(crate) fn expected() -> Vec<ExpectedTensor> {
    let expected = |(key, shape): &(&str, [usize; 2])| ExpectedTensor {
        key: (*key).to_owned(),
        shape: shape.to_vec(),
    };
    SHAPES.iter().map(expected).collect()
}

/// The state that the members agreed on.
pub(crate) fn state(step: u64) -> AdapterState {
    AdapterState {
        step: Step(step),
        optimizer_steps: step,
        ..AdapterState::new((0..19).map(|i| i as f32 + step as f32).collect())
    }
}

/// A ledger that committed the states of steps 1 to `last`.
pub(crate) fn ledger(last: u64) -> State {
    let commit = |step| {
        Record::Commit(Commit {
            step: Step(step),
            term: Term(1),
            state_digest: state_digest(&state(step)),
            ..Commit::default()
        })
    };
    let run = Record::Run(Run {
        total_steps: last,
        ..Run::default()
    });
    let leads = Record::Term(Leader {
        term: Term(1),
        address: String::new(),
    });
    let mut book = Book::default();
    for record in [run, leads].into_iter().chain((1..=last).map(commit)) {
        let sealed = book.seal(&record).unwrap();
        book.accept(&record, &sealed).unwrap();
    }
    book.into_state().unwrap()
}

/// A checkpoint on its way, as a worker staged it.
pub(super) fn publication(
    output_dir: &Path,
    step: u64,
    damage: Damage,
    synced: Synced,
) -> Publication {
    let paths = RunPaths::new(output_dir);
    let staging = paths.staging().join("checkpoint.worker-1");
    std::fs::create_dir_all(&staging).unwrap();
    let agreed = state(step);
    let mut held = agreed.clone();
    if damage == Damage::OtherState {
        held.m[3] = f32::from_bits(held.m[3].to_bits() ^ 1);
    }
    let files = write(&staging, &held);
    if damage == Damage::Flipped {
        flip(&staging.join(ADAPTER_FILE));
    }
    Publication {
        objects: Arc::new(Folder::new(output_dir)),
        staging: paths.name_of(&staging).unwrap(),
        files,
        trainer_state: format!("{{\"global_step\": {step}}}\n"),
        manifest: Manifest {
            format: FORMAT,
            step: Step(step),
            state_digest: state_digest(&agreed),
            parameters: keys(),
            ..Manifest::default()
        },
        expected: expected(),
        synced,
    }
}

/// A checkpoint with its name; damaged ones got it although they should not have.
pub(crate) fn checkpoint(output_dir: &Path, step: u64, damage: Damage) -> StoredCheckpoint {
    let synced: Synced = Box::new(|| Ok(()));
    if damage != Damage::OtherState {
        let publication = publication(output_dir, step, Damage::None, synced);
        let stored = publish(publication, &mut |_| ()).unwrap();
        if damage == Damage::Flipped {
            flip(&Path::new(&stored.folder).join(ADAPTER_FILE));
        }
        return stored;
    }
    let publication = publication(output_dir, step, damage, synced);
    let folder = RunPaths::new(output_dir).checkpoint(Step(step));
    let staged = publication.objects.place(&publication.staging);
    std::fs::rename(staged, &folder).unwrap();
    std::fs::write(folder.join(TRAINER_STATE), publication.trainer_state).unwrap();
    let manifest = Manifest {
        files: publication.files,
        ..publication.manifest
    };
    manifest.write(&Folder::new(&folder)).unwrap();
    StoredCheckpoint {
        step: Step(step),
        folder: folder.display().to_string(),
        state_digest: manifest.state_digest,
    }
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn write(folder: &Path, state: &AdapterState) -> Vec<FileDigest> {
    let bytes = |values: &[f32]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    };
    let (mut adapter, mut optimizer) = (Vec::new(), Vec::new());
    let mut at = 0;
    for (key, shape) in SHAPES {
        let range = at..at + shape.iter().product::<usize>();
        at = range.end;
        let tensor = |key: String, values: &[f32]| {
            (
                key,
                Dtype::F32,
                shape.to_vec(),
                bytes(&values[range.clone()]),
            )
        };
        adapter.push(tensor(key.to_owned(), &state.params));
        optimizer.push(tensor(format!("exp_avg.{key}"), &state.m));
        optimizer.push(tensor(format!("exp_avg_sq.{key}"), &state.v));
    }
    for (key, value) in [
        ("step", state.step.0),
        ("optimizer_steps", state.optimizer_steps),
    ] {
        let value = value.to_le_bytes().to_vec();
        optimizer.push((key.to_owned(), Dtype::I64, vec![1], value));
    }
    for (name, tensors) in [(ADAPTER_FILE, &adapter), (OPTIMIZER_FILE, &optimizer)] {
        let views = tensors.iter().map(|(key, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
            (key.as_str(), view)
        });
        let file = safetensors::serialize(views, None).unwrap();
        std::fs::write(folder.join(name), file).unwrap();
    }
    std::fs::write(folder.join(ADAPTER_CONFIG_FILE), "{}\n").unwrap();
    let names = [ADAPTER_FILE, OPTIMIZER_FILE, ADAPTER_CONFIG_FILE];
    let here = Folder::new(folder);
    names.map(|n| file_digest(&here, n).unwrap()).into()
}
