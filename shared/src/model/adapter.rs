//! The tensors of an adapter: PEFT's name and shape for each, in canonical order.
//!
//! Model order of adapted linears, A then B of each. The worker's flat vector and every file that is
//! written follow it.

use super::LinearSpec;
use crate::manifest::ExpectedTensor;

/// What PEFT puts before a module path.
const PREFIX: &str = "base_model.model.";

/// A `[lora_rank, in]` and B `[out, lora_rank]` of every adapted linear, given in model order.
#[must_use]
pub fn adapter_tensors(adapted: &[LinearSpec], lora_rank: u32) -> Vec<ExpectedTensor> {
    let rank = usize::try_from(lora_rank).unwrap_or(usize::MAX);
    let pair = |spec: &LinearSpec| {
        let tensor = |part: &str, shape: [usize; 2]| ExpectedTensor {
            key: format!("{PREFIX}{}.{part}.weight", spec.name),
            shape,
        };
        [
            tensor("lora_A", [rank, spec.in_features]),
            tensor("lora_B", [spec.out_features, rank]),
        ]
    };
    adapted.iter().flat_map(pair).collect()
}
