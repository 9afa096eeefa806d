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
    self, ADAPTER_FILE, ExpectedTensor, Found, Manifest, OPTIMIZER_FILE, verify_adapter,
};
use shared::storage::{Folder, Objects};

/// What must be equal, or its weights mean something else.
const SAME: &[&str] = &["base_model", "lora_rank", "lora_alpha", "use_rslora"];

/// The checkpoint that `parent` names.
pub(super) struct Earlier {
    /// Folder of the parent's checkpoint.
    pub(super) folder: PathBuf,
    /// What the ledger says of it.
    pub(super) parent: Parent,
    /// Newer ones of the same run that cannot be used, with the reason.
    pub(super) skipped: Vec<Error>,
}

/// The checkpoint that `parent` names, when it fits `identity` and holds the `expected` tensors.
///
/// # Errors
/// [`Code::NoCheckpoint`], [`Code::DigestDiffers`], [`Code::ParentDiffers`] with the difference.
pub(super) fn find(
    config: &RunConfig,
    identity: &BTreeMap<String, String>,
    expected: &[ExpectedTensor],
) -> Result<Option<Earlier>> {
    let Some(named) = &config.parent else {
        return Ok(None);
    };
    let Found {
        folder,
        manifest: found,
        skipped,
        ..
    } = checkpoint(named)?;
    compare(&folder, &found.identity, identity)?;
    verify_adapter(&Folder::new(&folder), ADAPTER_FILE, expected).map_err(|error| {
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
    Ok(Some(Earlier {
        folder,
        parent,
        skipped,
    }))
}

/// The folder itself, or the newest checkpoint in it that verifies.
fn checkpoint(named: &Path) -> Result<Found> {
    let here = Folder::new(named);
    if here.has(OPTIMIZER_FILE) {
        let found = Manifest::read(&here)?;
        found.verify(&here)?;
        found.verify_state(&here, &[], &mut |_| ())?;
        return Ok(Found {
            folder: named.to_path_buf(),
            manifest: found,
            skipped: Vec::new(),
            damaged: Vec::new(),
        });
    }
    match manifest::newest(&here)? {
        Some(found) => Ok(found),
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

/// For people: what was passed over, and what is trained on from.
pub(super) fn words(earlier: &Earlier) -> Vec<String> {
    let Earlier {
        folder,
        parent,
        skipped,
    } = earlier;
    let optimizer = if parent.optimizer_kept {
        "weights and optimizer are kept"
    } else {
        "weights are kept, the optimizer begins at zero"
    };
    let passed_over = |error| format!("`parent`: skipped: {}", shared::error::render(error));
    let mut words: Vec<_> = skipped.iter().map(passed_over).collect();
    words.push(format!(
        "training on from step {} of run {} ({}): {optimizer}; data cursor and learning-rate \
         schedule begin anew",
        parent.step,
        parent.run_id,
        folder.display()
    ));
    words
}

#[cfg(test)]
mod tests {
    use shared::ids::Step;

    use super::*;
    use crate::driver::samples::{self, Damage};

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
    fn a_parent_whose_newest_checkpoint_is_damaged_is_named_and_one_of_another_state_refused() {
        let output = tempfile::tempdir().unwrap();
        samples::checkpoint(output.path(), 5, Damage::None);
        let bad = samples::checkpoint(output.path(), 10, Damage::OtherState);
        let found = checkpoint(output.path()).unwrap();
        assert_eq!(found.manifest.step, Step(5));
        let words = words(&Earlier {
            folder: found.folder,
            parent: Parent::default(),
            skipped: found.skipped,
        });
        assert!(words[0].contains("checkpoint-10"), "{words:?}");
        assert!(words[1].starts_with("training on"), "{words:?}");
        // Its files are as listed, and hold another state than the manifest says.
        let refused = checkpoint(Path::new(&bad.folder)).unwrap_err();
        assert_eq!(refused.code, Code::DigestDiffers);
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
