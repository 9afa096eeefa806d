//! The output folder: what lies there, whether it may be written to, what `--overwrite` removes.

use std::path::{Path, PathBuf};

use shared::config::RunConfig;
use shared::error::{Code, Error, Result};
use shared::ledger::State;
use shared::manifest::checkpoints;
use shared::run_paths::RunPaths;
use shared::storage::{Folder, Objects};

use crate::store::Existing;

/// What lies in the folder, whose ledger folds to `state`.
pub(super) fn existing<'a>(paths: &RunPaths, state: Option<&'a State>) -> Existing<'a> {
    match state {
        Some(state) => Existing::Run(state),
        None if paths.adapter().exists() => Existing::ForeignAdapter,
        None => Existing::Nothing,
    }
}

/// Finds out, without a trace, whether the folder or its nearest parent may be written to.
///
/// # Errors
/// [`Code::Unwritable`].
pub fn check_writable(output_dir: &Path) -> Result<()> {
    let nearest = output_dir
        .ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"));
    let refused = |why: String| {
        Error::new(Code::Unwritable, "output_dir cannot be written")
            .in_file(output_dir)
            .why(why)
            .fix("--set output_dir=FOLDER that you may write to")
    };
    if !nearest.is_dir() {
        return Err(refused(format!("{} is not a folder", nearest.display())));
    }
    let probe = nearest.join(format!(".probe-{}", std::process::id()));
    std::fs::File::create(&probe).map_err(|e| refused(format!("{}: {e}", nearest.display())))?;
    std::fs::remove_file(&probe).map_err(|e| refused(e.to_string()))
}

/// What a run left that is removed with it: everything but prepared data.
fn of_run(output_dir: &Path) -> Result<Vec<PathBuf>> {
    let left = RunPaths::new(output_dir).left_by_a_run();
    let objects = Folder::new(output_dir);
    let checkpoints = checkpoints(&objects)?
        .into_iter()
        .map(|(_, name)| objects.place(&name));
    let all = left.into_iter().chain(checkpoints);
    Ok(all.filter(|path| path.exists()).collect())
}

/// What a run begins from must not be among what `--overwrite` removes.
///
/// # Errors
/// [`Code::Contradiction`], and [`Code::Io`] when the checkpoints cannot be listed.
pub(super) fn survives_overwrite(config: &RunConfig) -> Result<()> {
    let begins = [
        ("parent", &config.parent),
        ("init_adapter", &config.init_adapter),
    ];
    let removed = of_run(&config.output_dir)?;
    for (key, path) in begins {
        let Some(path) = path else { continue };
        let goes = |r: &PathBuf| r.starts_with(path) || path.starts_with(r);
        if let Some(first) = removed.iter().find(|r| goes(r)) {
            return Err(Error::new(
                Code::Contradiction,
                format!("--overwrite would remove what `{key}` names"),
            )
            .in_file(path)
            .why(format!(
                "{} is part of the run in output_dir",
                first.display()
            ))
            .fix("--set output_dir=ANOTHER"));
        }
    }
    Ok(())
}

/// Removes what a run left, except prepared data.
pub(super) fn remove_run(output_dir: &Path) -> std::io::Result<()> {
    for path in of_run(output_dir).map_err(std::io::Error::other)? {
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
