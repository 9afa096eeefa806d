//! `coordinator data ...`: the rooms that prepare the data, opened one by one.

pub mod mask;

use std::path::Path;

use clap::Subcommand;
use shared::error::Result;

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// Write a copy of the data with placeholders for personal data.
    Mask(mask::MaskArgs),
}

/// Runs a command; the text for stdout.
///
/// # Errors
/// Those of the command.
pub fn run(command: &DataCommand, cwd: &Path) -> Result<String> {
    match command {
        DataCommand::Mask(args) => mask::run(args, cwd),
    }
}
