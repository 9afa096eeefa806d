//! Biases of the base model that learn.
//!
//! In: `bias`. Out: their tensors. Keeps: PEFT's keys: behind `base_layer` where something is laid
//! over the linear, else the module's own.

use super::super::{expected_tensors, linears};
use super::{AdapterSpec, AdapterTensor, Candidate, ModelConfig, PREFIX, Part, Role, whole};
use crate::config::BiasMode;

pub(super) fn tensors(
    spec: &AdapterSpec,
    model: &ModelConfig,
    chosen: &[Candidate],
    whole: &[whole::Module],
) -> Vec<AdapterTensor> {
    if spec.bias == BiasMode::None {
        return Vec::new();
    }
    let there = expected_tensors(model);
    let mut tensors = Vec::new();
    for linear in linears(model) {
        let name = format!("{}.bias", linear.name);
        let Some((_, shape)) = there.iter().find(|(tensor, _)| *tensor == name) else {
            continue;
        };
        let adapted = chosen.iter().any(|c| c.spec.name == linear.name);
        let trained = whole.iter().any(|w| w.path == linear.name);
        if trained || (spec.bias == BiasMode::LoraOnly && !adapted) {
            continue;
        }
        let end = if adapted { ".base_layer.bias" } else { ".bias" };
        tensors.push(AdapterTensor {
            key: format!("{PREFIX}{}{end}", linear.name),
            shape: shape.clone(),
            part: Part::Layer(linear.layer),
            module: linear.name,
            role: Role::Bias,
        });
    }
    tensors
}
