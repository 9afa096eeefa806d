//! What both sides must agree on: no libtorch, no global state.
//!
//! `config` one YAML to one resolved value · `dataset` prepared samples on shared storage · `objective` what a step
//! learns from · `plan` who computes what, pure · `evaluation` what is evaluated and what it says · `numerics` integers
//! before any sum, clip and optimizer · `manifest` what a checkpoint is · `tensors` files of tensors, written, read and
//! converted · `run_paths` every name in a run's output folder · `ledger` what a run did, chained and provable · `limits`
//! file descriptors · `net` listeners and channels of both services · `storage` whole objects, published as one ·
//! `text` tokenizer and chat template · `wire` protobuf to domain types · `faults` faults on purpose · `hex` bytes as
//! text · `signals` what asks a program to leave · `error` coded failures and exit codes · `security` how a connection
//! is secured · `telemetry` the door where OpenTelemetry will stand.

pub mod config;
pub mod dataset;
pub mod error;
pub mod evaluation;
pub mod faults;
pub mod hex;
pub mod ids;
pub mod ledger;
pub mod limits;
pub mod manifest;
pub mod model;
pub mod net;
pub mod numerics;
pub mod objective;
pub mod plan;
pub mod run_paths;
pub mod security;
pub mod signals;
pub mod storage;
pub mod telemetry;
pub mod tensors;
pub mod text;
pub mod wire;
