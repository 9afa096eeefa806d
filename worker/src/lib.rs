//! The worker: one process on one device, the only crate with libtorch.
//!
//! `cli` commands · `session` the lease and its state machine · `model` one decoder chosen by config.json · `adapter`
//! LoRA pairs · `generate` text, token after token · `train` collate, forward and backward, quantize, apply ·
//! `collective` exact sums between workers · `checkpoint` state to PEFT files and back · `device` libtorch, threads,
//! determinism.

pub mod adapter;
pub mod checkpoint;
pub mod cli;
pub mod collective;
pub mod device;
pub mod generate;
pub mod model;
pub mod progress;
pub mod session;
pub mod train;
