//! Every mistake through the real programs: a coded message, a documented exit code, and an output
//! folder that is exactly as before.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod base;
mod cluster;
mod config;
mod data;
mod scene;
