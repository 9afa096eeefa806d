//! Small states and their files, for the tests of whatever reads them.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{ADAPTER_FILE, OPTIMIZER_FILE};
use crate::ids::Step;
use crate::numerics::AdapterState;

const SHAPES: [(&str, [usize; 2]); 3] = [
    ("layers.2.lora_A", [2, 3]),
    ("layers.2.lora_B", [4, 2]),
    ("layers.10.lora_A", [1, 5]),
];

/// Keys in canonical order: by number, where the files go by text.
pub(crate) fn keys() -> Vec<String> {
    SHAPES.iter().map(|(key, _)| (*key).to_owned()).collect()
}

/// A state of a step.
pub(crate) fn state(step: u64) -> AdapterState {
    let values = |seed: usize| (0..19).map(|i| ((i * 37 + seed) as f32).sin()).collect();
    AdapterState {
        params: values(1),
        m: values(2),
        v: values(3),
        step: Step(step),
        optimizer_steps: step,
        loss_scale: None,
    }
}

/// Writes the files of a state.
pub(crate) fn write(folder: &Path, state: &AdapterState) {
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
        let add = |to: &mut Vec<_>, key: String, values: &[f32]| {
            to.push((
                key,
                Dtype::F32,
                shape.to_vec(),
                bytes(&values[range.clone()]),
            ));
        };
        add(&mut adapter, key.to_owned(), &state.params);
        add(&mut optimizer, format!("exp_avg.{key}"), &state.m);
        add(&mut optimizer, format!("exp_avg_sq.{key}"), &state.v);
    }
    let mut counters = vec![
        ("step", state.step.0),
        ("optimizer_steps", state.optimizer_steps),
    ];
    if let Some(scale) = state.loss_scale {
        counters.push(("loss_scale", scale.scale));
        counters.push(("loss_scale_good_steps", scale.good_steps.into()));
        counters.push(("loss_scale_skipped_steps", scale.skipped_steps));
    }
    for (key, value) in counters {
        let value = (value as i64).to_le_bytes().to_vec();
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
}
