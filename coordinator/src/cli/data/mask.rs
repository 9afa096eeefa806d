//! `coordinator data mask`: a clean copy of the data, to look at or to train with.
//!
//! In: the configuration. Out: one file in JSONL, `{"messages": [...]}` per sample with its tools and
//! weights, and a text that counts what was replaced. Keeps: the file is there whole or not at all, an older one is never
//! touched, and the base model is not needed. It masks whatever `privacy` says; kinds and rules
//! hold.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::config::{self, RunConfig};
use shared::error::{Code, Error, Result};
use shared::storage;

use crate::data::{self, DataConfig};

/// Options of `data mask`.
#[derive(Clone, Debug, clap::Args)]
pub struct MaskArgs {
    /// The run's YAML.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Override a key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The JSONL file to write; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Writes the copy; what was done, as text.
///
/// # Errors
/// `E01xx` and `E03xx` as for a run; [`Code::Usage`] when the file cannot be written there.
pub fn run(args: &MaskArgs, cwd: &Path) -> Result<String> {
    let config = config::load(&args.config, &args.set, cwd)?.config;
    let out: PathBuf = cwd.join(&args.out).components().collect();
    refuse(&out, &config)?;
    let data = DataConfig::from(&config);
    let mut count = 0_u64;
    let mut masked = None;
    let mut refused = None;
    let written = storage::write_atomic_with(&out, |file| {
        let found = data::masked(&data, &mut |conversation| {
            count += 1;
            writeln!(file, "{}", data::to_json(&conversation)).map_err(|e| {
                Error::new(Code::Io, "the copy cannot be written")
                    .in_file(&out)
                    .why(e.to_string())
            })
        });
        // Seen before the copy gets its name.
        match found.and_then(|found| refuse(&out, &config).map(|()| found)) {
            Ok(found) => masked = Some(found),
            Err(error) => {
                refused = Some(error);
                return Err(io::Error::other("refused"));
            }
        }
        Ok(())
    });
    if let Some(error) = refused {
        return Err(error);
    }
    written?;
    let masked = masked.ok_or_else(|| Error::new(Code::Internal, "nothing was masked"))?;
    let mut text = format!("{}\n", masked.privacy);
    for notice in &masked.notices {
        text.push_str(&format!("note: {notice}\n"));
    }
    text.push_str(&format!(
        "{count} samples written to {}\n",
        args.out.display()
    ));
    Ok(text)
}

/// A file that is there stays as it is, and no copy becomes training data by lying among it.
fn refuse(out: &Path, config: &RunConfig) -> Result<()> {
    if out.symlink_metadata().is_ok() {
        return Err(
            Error::new(Code::Usage, "the file for the copy is there already")
                .in_file(out)
                .why("`data mask` never overwrites")
                .fix("--out with another name, or move the file away"),
        );
    }
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = real(out.parent().unwrap_or(Path::new("/")));
    if config.train_data_dir.is_dir() && folder.starts_with(real(&config.train_data_dir)) {
        return Err(
            Error::new(Code::Usage, "the copy would lie in train_data_dir")
                .in_file(out)
                .why("the next run would learn from the data and its copy")
                .fix("--out in another folder"),
        );
    }
    Ok(())
}
