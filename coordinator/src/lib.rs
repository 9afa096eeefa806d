//! The coordinator: no libtorch, starts in milliseconds.
//!
//! `cli` commands · `start` how a run comes to be · `data` file to prepared dataset · `engine` the heart, pure · `driver` the only
//! loop that meets the world · `estimate` what a run will need · `rpc` the session service ·
//! `history` what a run leaves for people · `store` what survives a restart · `import` other tools'
//! configurations.

pub mod cli;
pub mod data;
pub mod driver;
pub mod engine;
pub mod estimate;
pub mod history;
pub mod import;
pub mod rpc;
pub mod start;
pub mod store;
