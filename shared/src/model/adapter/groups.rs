//! Which tensors learn at which rate.
//!
//! In: the tensors, the configuration. Out: groups for the optimizer, none where all learn alike.
//! As PEFT's LoRA+ and Trainer group them: B and vectors at a multiple of the rate, an embedding's
//! pair at a rate of its own, biases and norms without decay.

use super::{AdapterTensor, Role};
use crate::config::RunConfig;
use crate::numerics::ParamGroup;

/// The groups of these tensors, in their order.
#[must_use]
pub fn groups(config: &RunConfig, tensors: &[AdapterTensor]) -> Vec<ParamGroup> {
    let mut groups: Vec<ParamGroup> = Vec::new();
    let mut end = 0;
    for tensor in tensors {
        end += tensor.elements();
        let (lr_factor, decays) = (lr_factor(config, tensor), decays(tensor));
        match groups.last_mut() {
            Some(last)
                if last.lr_factor.to_bits() == lr_factor.to_bits() && last.decays == decays =>
            {
                last.end = end;
            }
            _ => groups.push(ParamGroup {
                end,
                lr_factor,
                decays,
            }),
        }
    }
    let alike = groups
        .iter()
        .all(|g| g.decays && g.lr_factor.to_bits() == 1f64.to_bits());
    if alike { Vec::new() } else { groups }
}

/// Factor on the learning rate.
fn lr_factor(config: &RunConfig, tensor: &AdapterTensor) -> f64 {
    let Some(ratio) = config.adapter.loraplus_lr_ratio else {
        return 1.0;
    };
    match tensor.role {
        Role::EmbeddingA | Role::EmbeddingB => {
            config.embedding_rate().unwrap_or(config.learning_rate) / config.learning_rate
        }
        Role::LoraB => ratio,
        _ if tensor.shape.len() == 1 => ratio,
        _ => 1.0,
    }
}

fn decays(tensor: &AdapterTensor) -> bool {
    let norm = tensor.role == Role::Whole && tensor.shape.len() == 1;
    tensor.role != Role::Bias && !norm
}
