//! One decoder whose parts are chosen by config.json.
//!
//! `weights` tensors straight from the mapped files · `rope` rotary positions · `linear` a frozen
//! linear with or without its LoRA pair · `attention` within each sample · `decoder` the walk from token ids to hidden states and
//! logits · `cache` keys and values of what was already read ·
//! `greedy` text, token after token.
//!
//! Tensor names carry their shape: B batch, T tokens, H hidden, N heads, K key/value heads, D head
//! size, I intermediate or inputs, O outputs, V vocabulary, R lora rank, P rows of B and T together.

#![allow(non_snake_case)]

mod attention;
mod cache;
mod decoder;
mod greedy;
mod linear;
mod rope;
mod weights;

pub use cache::KeyValueCache;
pub use decoder::{Decoder, Pass};
pub use greedy::{GreedyModel, write};
pub use linear::{Linear, Masks};
pub use weights::BaseWeights;
