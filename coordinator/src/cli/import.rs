//! `coordinator import`: a LLaMA-Factory or Axolotl YAML as ours.
//!
//! In: the file. Out: our YAML on stdout or in a file, and what has no counterpart.
//! Keeps: a file that is there stays as it is, unless `--force`; it is written whole or not at all.

use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};
use shared::storage;

use super::Output;
use crate::import::{self, Imported, Tool};

/// Options of `import`.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// The other tool's YAML.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose it is; without it its keys decide.
    #[arg(long, value_enum, value_name = "TOOL")]
    pub from: Option<Tool>,
    /// Where ours is written; without it, to stdout.
    #[arg(long, value_name = "OUR.yaml")]
    pub output_file: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long, requires = "output_file")]
    pub force: bool,
    /// What stdout holds: our YAML, or one JSON object with the YAML and the list.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Converts the file, and writes ours where that was asked for.
///
/// # Errors
/// [`Code::MissingPath`] and [`Code::BadYaml`] for a file that cannot be read, [`Code::Usage`] for
/// one that is there already, and what [`import::convert`] refuses.
pub fn run(args: &ImportArgs, cwd: &Path) -> Result<Imported> {
    let imported = import::convert(
        &args.file.display().to_string(),
        &read(&args.file, cwd)?,
        args.from,
        cwd,
    )?;
    if let Some(out) = &args.output_file {
        let path = cwd.join(out);
        if !args.force && path.symlink_metadata().is_ok() {
            return Err(
                Error::new(Code::Usage, "the file for our YAML is there already")
                    .in_file(out)
                    .why("nothing was written")
                    .fix("--output-file with another name, or --force to write over it"),
            );
        }
        storage::write_atomic(&path, imported.yaml().as_bytes())?;
    }
    Ok(imported)
}

fn read(file: &Path, cwd: &Path) -> Result<String> {
    let bytes = std::fs::read(cwd.join(file)).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory => Code::MissingPath,
            _ => Code::Io,
        };
        Error::new(code, "the file to import cannot be read")
            .in_file(file)
            .why(error.to_string())
            .fix("name a LLaMA-Factory or Axolotl YAML")
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        Error::new(Code::BadYaml, "the file to import is not UTF-8")
            .at_line(file, line)
            .fix("save it as UTF-8")
    })
}
