//! Where the experts of a layer lie in the weight files.
//!
//! In: the tensors that were found. Out: the same with every expert's matrices under the names of
//! checkpoints that hold them one by one; those that hold all of a layer in one tensor
//! (`mlp.experts.gate_up_proj` `[experts, 2 I, H]`, `mlp.experts.down_proj` `[experts, H, I]`) are cut
//! into views. Keeps: nothing is copied. Not here: whether the shapes are right.
//!
//! What an adapter may not be laid over is said here too.

use std::collections::HashMap;

use super::{Experts, LinearSpec, ModelConfig, TensorSpec};
use crate::config::TargetModules;
use crate::error::{Code, Error, Result};

/// Refuses what PEFT would lay over experts as well: in the layers of a model with experts only
/// attention is adapted.
///
/// # Errors
/// [`Code::NotYet`].
pub(super) fn check_experts(
    config: &ModelConfig,
    targets: &TargetModules,
    chosen: &[LinearSpec],
) -> Result<()> {
    if config.experts.is_none() {
        return Ok(());
    }
    let outside = chosen.iter().find(|spec| spec.name.contains(".mlp."));
    let what = match (targets, outside) {
        (TargetModules::AllLinear, _) => "all-linear".to_owned(),
        (_, Some(spec)) => spec.name.clone(),
        (_, None) => return Ok(()),
    };
    Err(Error::new(
        Code::NotYet,
        format!("target_modules name {what} in a model with experts"),
    )
    .why("PEFT would adapt router and experts with it, which is not built")
    .fix("name linears of attention: target_modules: [q_proj, k_proj, v_proj, o_proj]"))
}

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
    if pieces == 0 || !rows.is_multiple_of(parts) {
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

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use serde_json::json;

    use super::*;
    use crate::model::{linears, match_targets};

    fn mixtral() -> ModelConfig {
        let config = json!({"model_type": "mixtral", "vocab_size": 8, "hidden_size": 4,
            "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 2});
        ModelConfig::from_json(&config).unwrap()
    }

    #[test]
    fn experts_in_one_tensor_are_cut_into_views_of_it() {
        let config = mixtral();
        let whole = |shape: [usize; 3], start| TensorSpec {
            file: 0,
            start,
            bytes: 2 * shape.iter().product::<usize>(),
            dtype: Dtype::BF16,
            shape: shape.to_vec(),
        };
        let mut tensors = HashMap::from([
            (
                "model.layers.0.mlp.experts.gate_up_proj".to_owned(),
                whole([3, 12, 4], 100),
            ),
            (
                "model.layers.0.mlp.experts.down_proj".to_owned(),
                whole([3, 4, 6], 1000),
            ),
        ]);
        split(&config, &mut tensors);
        let found = |part: &str| {
            let name = format!("model.layers.0.block_sparse_moe.experts.2.{part}.weight");
            let spec = &tensors[&name];
            (spec.start, spec.bytes, spec.shape.clone())
        };
        // Gate before up in each expert, experts behind each other.
        assert_eq!(found("w1"), (100 + 2 * 96, 48, vec![6, 4]));
        assert_eq!(found("w3"), (100 + 2 * 96 + 48, 48, vec![6, 4]));
        assert_eq!(found("w2"), (1000 + 2 * 48, 48, vec![4, 6]));
    }

    #[test]
    fn only_attention_of_a_model_with_experts_is_adapted() {
        let config = mixtral();
        let all = linears(&config);
        let names = TargetModules::Names(vec!["q_proj".into()]);
        let chosen = match_targets(&names, &all).unwrap();
        assert!(check_experts(&config, &names, &chosen).is_ok());
        let error = check_experts(&config, &TargetModules::AllLinear, &all).unwrap_err();
        assert_eq!(error.code, Code::NotYet);
    }
}
