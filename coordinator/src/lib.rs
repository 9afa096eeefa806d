//! The coordinator: no libtorch, starts in milliseconds.
//!
//! `cli` commands · `data` file to prepared dataset · `engine` the heart, pure · `driver` the only
//! loop that meets the world · `rpc` the session service · `history` what a run leaves for people ·
//! `store` what survives a restart · `import` other tools' configurations.

pub mod cli;
pub mod data;
pub mod driver;
pub mod engine;
pub mod history;
pub mod import;
pub mod rpc;
pub mod store;
