//! The committed state as files, and back; and as bytes for a peer that joins.
//!
//! In: a state, the names of its tensors, the configuration. Out: a PEFT folder plus the optimizer (`folder`,
//! `peft_config`), or one message for a joiner (`snapshot`); both are safetensors; `scale` the loss scale
//! in them. Keeps: equal states give equal bytes, what is read back is the state that was written, and nothing in it
//! knows how many workers there were.

mod folder;
mod peft_config;
mod scale;
mod snapshot;

pub use folder::{
    ADAPTER_CONFIG_FILE, ADAPTER_FILE, OPTIMIZER_FILE, damage, first_state, read_checkpoint,
    write_checkpoint,
};
pub use peft_config::peft_config;
pub use snapshot::{decode_snapshot, encode_snapshot};

#[cfg(test)]
mod tests;
