//! What a base model is, without a tensor: both sides read the same facts from the same folder.
//!
//! `config` config.json in old and new spellings · `linears` which linears exist and which are
//! adapted · `weights` safetensors headers checked against the architecture · `adapter` an
//! adapter's tensors · `digest` what makes
//! two folders the same base model. Nothing here writes into the base model's folder.

mod adapter;
mod config;
mod digest;
mod linears;
mod weights;

pub use adapter::adapter_tensors;
pub use config::{ModelConfig, Rope, RopeScaling, SUPPORTED_ARCHITECTURES};
pub use digest::base_digest;
pub use linears::{LinearSpec, check_rank, linears, match_targets};
pub use weights::{TensorSpec, WeightFiles, check_weights, expected_tensors};
