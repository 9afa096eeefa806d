//! The command line: the commands and their arguments here, and one file per command, each a door into a
//! room.

pub mod audit;
pub mod check;
pub mod data;
pub mod import;
pub mod plan;
pub mod schema;
pub mod up;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Leads the training of a LoRA adapter on a cluster.
#[derive(Debug, Parser)]
#[command(name = "coordinator", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// More to tell on stderr; repeat for more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands of the program `coordinator`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prepare the data, wait for workers and lead the run to its end.
    Up(UpArgs),
    /// Read the configuration and say what it means; nothing is written.
    Check(CheckArgs),
    /// Say what a run will compute, store, send, need and take, before any weight is read.
    Plan(PlanArgs),
    /// Prove from a run's ledger that every sample was used as planned; works while it runs.
    Audit(AuditArgs),
    /// Look at the training data before a run, or make a clean copy of it.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Turn a LLaMA-Factory or Axolotl YAML into ours, and list what has no counterpart.
    Import(import::ImportArgs),
    /// Print the JSON schema of the configuration, for editors.
    Schema,
}

/// Options of `up`.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// The run's YAML.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Override a key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where workers reach the coordinator; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7400")]
    pub listen: SocketAddr,
    /// The run pauses below this many workers; overrides `min_workers`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub min_workers: Option<u32>,
    /// The run's first step waits for this many workers; default: the larger of min and local workers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub wait_workers: Option<u32>,
    /// Start this many worker processes on this machine.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub local_workers: u32,
    /// What stdout holds: nothing, or one JSON object per event.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Start anew where a run lies already.
    #[arg(long)]
    pub overwrite: bool,
    /// Listen beyond this machine without encryption.
    #[arg(long)]
    pub insecure: bool,
}

/// Options of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The run's YAML.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Override a key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of `plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// The run's YAML.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Override a key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// For so many workers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub workers: u32,
    /// Tokens per second of one worker, padding included; default: that of an earlier run in
    /// `output_dir`.
    #[arg(long, value_name = "TOKENS_PER_S", value_parser = rate)]
    pub rate: Option<f64>,
    /// How the page is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// A rate: more than nothing, and finite.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("a rate is more than 0 tokens per second".to_owned())
    }
}

/// Options of `audit`.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    /// The run's `output_dir`.
    #[arg(value_name = "OUTPUT_DIR")]
    pub output_dir: PathBuf,
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// The form of what goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people: a page of text.
    Text,
    /// For programs: every line is one JSON object.
    Json,
}
