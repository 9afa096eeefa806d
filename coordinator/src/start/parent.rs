//! The earlier run that a run trains on from: found, verified, compared.
//!
//! In: the folder `parent` names, a checkpoint or the output folder of a run. Out: the checkpoint,
//! and what the ledger and every manifest say of it.
//! Policy: weights are kept, the optimizer's moments by choice; the data cursor and the schedule of
//! the learning rate begin anew, because they belong to the new data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shared::config::{RunConfig, difference};
use shared::error::{Code, Error, Result};
use shared::ledger::{Parent, Policy};
use shared::manifest::{
    self, ADAPTER_FILE, ExpectedTensor, Manifest, OPTIMIZER_FILE, verify_adapter,
};

/// What must be equal, or its weights mean something else.
const SAME: &[&str] = &["base_model", "lora_rank", "lora_alpha", "use_rslora"];

/// The checkpoint that `parent` names, when it fits `identity` and holds the `expected` tensors.
///
/// # Errors
/// [`Code::NoCheckpoint`], [`Code::DigestDiffers`], [`Code::ParentDiffers`] with the difference.
pub(super) fn find(
    config: &RunConfig,
    identity: &BTreeMap<String, String>,
    expected: &[ExpectedTensor],
) -> Result<Option<(PathBuf, Parent)>> {
    let Some(named) = &config.parent else {
        return Ok(None);
    };
    let (folder, found) = checkpoint(named)?;
    compare(&folder, &found.identity, identity)?;
    verify_adapter(&folder.join(ADAPTER_FILE), expected).map_err(|error| {
        let mut differs =
            Error::new(Code::ParentDiffers, "the parent adapts other linears").in_file(&folder);
        differs.why = error.why;
        differs.fix("set target_modules as the parent had it")
    })?;
    let parent = Parent {
        run_id: found.run_id,
        step: found.step,
        state_digest: found.state_digest,
        optimizer_kept: config.parent_optimizer,
        cursor: Policy::Restarts,
        schedule: Policy::Restarts,
    };
    Ok(Some((folder, parent)))
}

/// The folder itself, or the newest checkpoint in it that verifies.
fn checkpoint(named: &Path) -> Result<(PathBuf, Manifest)> {
    if named.join(OPTIMIZER_FILE).is_file() {
        let found = Manifest::read(named)?;
        found.verify(named)?;
        return Ok((named.to_path_buf(), found));
    }
    match manifest::newest(named)? {
        Some(found) => Ok((found.folder, found.manifest)),
        None => Err(
            Error::new(Code::NoCheckpoint, "`parent` holds no checkpoint")
                .in_file(named)
                .why("a checkpoint has the optimizer beside the adapter, and a manifest")
                .fix("name a checkpoint folder, or the output folder of a run")
                .fix(
                    "--set parent=null --set init_adapter=FOLDER takes over the weights of any \
                     PEFT adapter",
                ),
        ),
    }
}

fn compare(
    folder: &Path,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Result<()> {
    let of = |all: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let kept = all.iter().filter(|(key, _)| SAME.contains(&key.as_str()));
        kept.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let lines = difference(&of(old), &of(new));
    if lines.is_empty() {
        return Ok(());
    }
    let mut error = Error::new(
        Code::ParentDiffers,
        "the parent's weights do not fit this configuration",
    )
    .in_file(folder);
    for line in lines {
        error = error.why(line);
    }
    Err(error.fix("undo the difference, or begin without `parent`"))
}

/// One line for people.
pub(super) fn words(folder: &Path, parent: &Parent) -> String {
    let optimizer = if parent.optimizer_kept {
        "weights and optimizer are kept"
    } else {
        "weights are kept, the optimizer begins at zero"
    };
    format!(
        "training on from step {} of run {} ({}): {optimizer}; data cursor and learning-rate \
         schedule begin anew",
        parent.step,
        parent.run_id,
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_rank_is_refused_and_another_learning_rate_is_not() {
        let fields = |rank: &str, rate: &str| -> BTreeMap<String, String> {
            [("lora_rank", rank), ("learning_rate", rate)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into()
        };
        let folder = Path::new("parent");
        assert!(compare(folder, &fields("8", "1"), &fields("8", "2")).is_ok());
        let refused = compare(folder, &fields("8", "1"), &fields("16", "1")).unwrap_err();
        assert_eq!(refused.code, Code::ParentDiffers);
        assert_eq!(refused.why, ["lora_rank: was 8, now 16"]);
    }

    #[test]
    fn a_folder_without_a_checkpoint_says_what_one_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            checkpoint(folder.path()).unwrap_err().code,
            Code::NoCheckpoint
        );
    }
}
