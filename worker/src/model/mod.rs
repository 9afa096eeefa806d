//! One decoder whose parts are chosen by config.json.
//!
//! `weights` tensors straight from the mapped files · `overlay` what an adapter lays over the modules, handed in with a
//! pass · `rope` rotary positions · `linear` a frozen linear under its overlay, `dora` norms and magnitudes ·
//! `embedding` of tokens · `norm` root mean square norms ·
//! `attention` within each sample · `mlp` activation and experts · `decoder` the walk from token ids to hidden states
//! and logits · `cache` keys and values of what was already read.
//!
//! Tensor names carry their shape: B batch, T tokens, H hidden, N heads, K key/value heads, D head
//! size, I intermediate or inputs, O outputs, V vocabulary, R lora rank, P rows of B and T together.

#![allow(non_snake_case)]

mod attention;
mod cache;
mod decoder;
mod dora;
mod embedding;
mod linear;
mod mlp;
mod norm;
mod overlay;
mod rope;
mod weights;

pub use cache::KeyValueCache;
pub use decoder::{Decoder, Module, Pass};
pub use embedding::Embedding;
pub use linear::{DropoutMasks, Linear};
pub use norm::RmsNorm;
pub use overlay::{EmbeddingPair, LinearOverlay, Overlays, WeightOverlay};
pub use weights::BaseWeights;
