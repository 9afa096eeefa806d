//! What a base model is, without a tensor: both sides read the same facts from the same folder.
//!
//! `families` what each model family says differently · `family` what it can say · `nearest` which one a config.json
//! is, or is nearest to · `config` config.json as switches · `keys` its keys, read with a type · `refused` what is not
//! built · `layers` what differs from layer to layer · `rope` rotary positions · `listing` which linears exist ·
//! `weights` safetensors headers checked against the architecture · `experts` where experts lie in them · `head` rows
//! of logits at a time · `quantized` weights that lie quantized · `adapter` which modules are adapted, an adapter's
//! tensors · `activations` what training keeps of a layer · `digest` what makes two folders the same base model. Nothing here writes into the base model's folder.

mod activations;
mod adapter;
mod config;
mod digest;
mod experts;
mod families;
mod family;
mod head;
mod keys;
mod layers;
mod listing;
mod nearest;
mod quantized;
mod refused;
mod rope;
mod weights;

pub use activations::{
    ActivationSettings, KeptActivations, backward_bytes, kept_activations, logits_bytes,
};
pub use adapter::{
    AdapterShape, AdapterSpec, AdapterTensor, EMBEDDING, HEAD, Part, Role, groups, match_targets,
};
pub use config::{Activation, Biases, Experts, LayerKind, ModelConfig, Norms};
pub use digest::{base_digest, base_digest_told};
pub use families::SUPPORTED_ARCHITECTURES;
pub use head::head_rows;
pub use listing::{LinearSpec, Projection, linears};
pub use quantized::{
    NESTED_BLOCK, NF4_BLOCK, NF4_VALUES, Stored, StoredNf4, announced, announced_in, check_init,
    scale_name,
};
pub use rope::{Rope, RopeScaling};
pub use weights::{TensorSpec, WeightFiles, check_weights, expected_tensors};
