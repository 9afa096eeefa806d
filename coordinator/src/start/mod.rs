//! How a run comes to be: from the arguments of `up` to a coordinator that leads.
//!
//! In: a [`Request`]. Out: a [`PreparedRun`], about which everything is known and of which nothing is
//! written yet; then a [`RunSetup`], whose ledger names this coordinator as its leader.
//!
//! `prepare` the stations up to the decision: `base` the base model, `belongs` whether its parts fit each other, `prompts` and `bounds`
//! what every worker will be told, `parent` the run it trains on from, `identity` what decides the adapter,
//! `folder` the output folder, its lock and its ledger, `output_dir` what may lie there, `run_data` the
//! data, `progress` how far they are.
//! `setup` the stations that write: `starting_point` the state the run begins with, `work` every step and
//! evaluation, `evaluation_sets` and `parent_data` what is evaluated, `recall` what the ledger says a
//! coordinator that comes back has to know.
//! `lead` opens the door and drives: `options` what the engine is told, `run_schedule` what it deals out.
//! Keeps: the folder is locked, and what can be known of another run in it is refused, before a row lies
//! in it; a start that is refused leaves it byte for byte as it was.

mod base;
pub mod belongs;
mod bounds;
mod evaluation_sets;
mod folder;
mod identity;
mod lead;
mod options;
mod output_dir;
mod parent;
mod parent_data;
mod prepare;
pub mod progress;
mod prompts;
mod recall;
mod run_data;
mod run_schedule;
mod setup;
mod starting_point;
mod work;

use std::path::PathBuf;

pub use bounds::configuration as check_bounds;
pub use identity::digest as identity_digest;
pub use lead::lead;
pub use options::Crew;
pub use output_dir::check_writable;
pub use prepare::{PreparedRun, prepare};
pub use setup::RunSetup;

/// What is asked to be started.
#[derive(Clone, Debug)]
pub struct Request {
    /// The run's YAML.
    pub config: PathBuf,
    /// Keys that are overridden, as `KEY=VALUE`.
    pub set: Vec<String>,
    /// The folder that relative paths start from.
    pub cwd: PathBuf,
    /// The run that lies in the output folder is removed.
    pub overwrite: bool,
}
