//! Files of tensors, for whoever writes, reads or converts one.
//!
//! In: named values, or the bytes of a file. Out: the file, the values, or another adapter's file. `file` safetensors
//! with the same bytes every time, and a strict reader · `plain_lora` a PiSSA adapter as plain LoRA.

mod file;
pub mod plain_lora;

pub use file::{Reader, Writer};
