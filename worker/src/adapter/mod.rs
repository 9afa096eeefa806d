//! The LoRA adapter: its one flat vector, where it starts, and how it lies over the decoder.
//!
//! `layout` the canonical order and PEFT's keys · `start` the first values, drawn from the seed or
//! read from a folder · `peft` PEFT's files, `peft_spec` what they say they are · `pissa` a
//! start that is taken out of the base · `live` the tensors that learn.

mod layout;
mod live;
mod peft;
mod peft_spec;
mod pissa;
mod start;

pub use layout::AdapterLayout;
pub use live::LiveAdapter;
pub use peft::PeftAdapter;
pub use pissa::take_out;
pub use start::{Draw, drawn, from_peft};
