//! Which tensors learn at which rate.
//!
//! In: the tensors, the configuration. Out: groups for the optimizer, none where all learn alike.
//! As PEFT's LoRA+ and Trainer group them: B and vectors at a multiple of the rate, an embedding's
//! pair at a rate of its own, biases and norms without decay.

use super::{AdapterTensor, Role};
use crate::config::RunConfig;
use crate::numerics::Group;

/// The groups of these tensors, in their order.
#[must_use]
pub fn groups(config: &RunConfig, tensors: &[AdapterTensor]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut end = 0;
    for tensor in tensors {
        end += tensor.elements();
        let (rate, decays) = (rate(config, tensor), decays(tensor));
        match groups.last_mut() {
            Some(last) if last.rate.to_bits() == rate.to_bits() && last.decays == decays => {
                last.end = end;
            }
            _ => groups.push(Group { end, rate, decays }),
        }
    }
    let alike = groups
        .iter()
        .all(|g| g.decays && g.rate.to_bits() == 1f64.to_bits());
    if alike { Vec::new() } else { groups }
}

/// Factor on the learning rate.
fn rate(config: &RunConfig, tensor: &AdapterTensor) -> f64 {
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
