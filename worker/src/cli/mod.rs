//! The command line: one file per command.

pub mod generate;
pub mod join;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Computes micro-batches of LoRA runs, one process on one device.
#[derive(Debug, Parser)]
#[command(name = "worker", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// More to tell on stderr; repeat for more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join a run and work until it ends.
    Join(JoinArgs),
    /// Print the model's greedy answer to one prompt.
    Generate(GenerateArgs),
}

/// Options of `join`.
#[derive(Clone, Debug, clap::Args)]
pub struct JoinArgs {
    /// The coordinator.
    #[arg(value_name = "ADDR:PORT")]
    pub address: String,
    /// auto, cpu, cuda or cuda:N; several, with commas between, start one process each.
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    pub device: Vec<String>,
    /// Threads for tensor work; default: cores / processes of this join.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
    /// Where other workers reach this one; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The host name other workers use, when not the listening address.
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// Where the base model lies on this machine, when not where the coordinator says.
    #[arg(long, value_name = "DIR")]
    pub base_model: Option<PathBuf>,
    /// Listen beyond this machine without encryption.
    #[arg(long)]
    pub insecure: bool,
}

/// Options of `generate`.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArgs {
    /// Hugging Face folder of the base model.
    #[arg(long, value_name = "DIR")]
    pub base: PathBuf,
    /// PEFT folder, or the safetensors file in it.
    #[arg(long, value_name = "DIR_OR_FILE")]
    pub adapter: Option<PathBuf>,
    /// What the user says.
    #[arg(long, value_name = "TEXT")]
    pub prompt: String,
    /// Stop after this many tokens.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_new_tokens: usize,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// Threads for tensor work; default: all cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
}
