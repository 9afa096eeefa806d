//! The LoRA adapter: its one flat vector, where it starts, and how it lies over the decoder.
//!
//! `layout` the canonical order and PEFT's keys · `start` the first values, drawn from the seed or
//! read from a folder · `peft` PEFT's files · `live` the tensors that learn.

mod layout;
mod live;
mod peft;
mod start;

pub use layout::{AdapterLayout, AdapterTensor};
pub use live::LiveAdapter;
pub use peft::PeftAdapter;
pub use start::{drawn, from_peft};
