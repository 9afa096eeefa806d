//! Where the experts of a layer lie in the weight files.
//!
//! In: the tensors that were found. Out: the same with every expert's matrices under the names of
//! checkpoints that hold them one by one; those that hold all of a layer in one tensor
//! (`mlp.experts.gate_up_proj` `[experts, 2 I, H]`, `mlp.experts.down_proj` `[experts, H, I]`) are cut
//! into views. Keeps: nothing is copied. Not here: whether the shapes are right.

use std::collections::HashMap;

use super::{Experts, ModelConfig, TensorSpec};

/// Names and shapes of router and experts of a layer.
pub(super) fn expected(config: &ModelConfig, layer: usize) -> Vec<(String, Vec<usize>)> {
    let Some(experts) = config.experts else {
        return Vec::new();
    };
    let (hidden, inner) = (config.hidden_size, experts.intermediate_size);
    let mut expected = vec![(router(&experts, layer), vec![experts.count, hidden])];
    for expert in 0..experts.count {
        for (part, shape) in [[inner, hidden], [inner, hidden], [hidden, inner]]
            .into_iter()
            .enumerate()
        {
            expected.push((experts.tensor(layer, expert, part), shape.to_vec()));
        }
    }
    expected
}

impl Experts {
    /// Name of gate (0), up (1) or down (2) of an expert.
    #[must_use]
    pub fn tensor(&self, layer: usize, expert: usize, part: usize) -> String {
        let part = self.parts.get(part).copied().unwrap_or_default();
        format!(
            "model.layers.{layer}.{}.experts.{expert}.{part}.weight",
            self.module
        )
    }

    /// Name of the router's weight.
    #[must_use]
    pub fn router(&self, layer: usize) -> String {
        router(self, layer)
    }
}

fn router(experts: &Experts, layer: usize) -> String {
    format!("model.layers.{layer}.{}.gate.weight", experts.module)
}

/// Adds the names of single experts where a layer's are in one tensor.
pub(super) fn split(config: &ModelConfig, tensors: &mut HashMap<String, TensorSpec>) {
    let Some(experts) = config.experts else {
        return;
    };
    for layer in 0..config.layers {
        let place = |part: &str| format!("model.layers.{layer}.mlp.{part}");
        if let Some(found) = tensors.get(&place("gate.weight")).cloned() {
            tensors.entry(router(&experts, layer)).or_insert(found);
        }
        let fused = tensors.get(&place("experts.gate_up_proj")).cloned();
        if let Some(found) = fused {
            for (index, view) in views(&found, 2).into_iter().enumerate() {
                let name = experts.tensor(layer, index / 2, index % 2);
                tensors.entry(name).or_insert(view);
            }
        }
        let fused = tensors.get(&place("experts.down_proj")).cloned();
        if let Some(found) = fused {
            for (index, view) in views(&found, 1).into_iter().enumerate() {
                tensors
                    .entry(experts.tensor(layer, index, 2))
                    .or_insert(view);
            }
        }
    }
}

/// A tensor `[experts, parts * rows, columns]` as one `[rows, columns]` for each part of each.
fn views(whole: &TensorSpec, parts: usize) -> Vec<TensorSpec> {
    let [count, rows, columns] = whole.shape[..] else {
        return Vec::new();
    };
    let pieces = count * parts;
    if pieces == 0 || rows % parts != 0 {
        return Vec::new();
    }
    let bytes = whole.bytes / pieces;
    let view = |piece: usize| TensorSpec {
        start: whole.start + piece * bytes,
        bytes,
        shape: vec![rows / parts, columns],
        ..whole.clone()
    };
    (0..pieces).map(view).collect()
}
