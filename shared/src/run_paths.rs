//! Every name in a run's output folder, once.
//!
//! In: the output folder. Out: where each of its files and folders lies, as a [`RunPaths`]. A checkpoint and
//! the finished output folder hold the same names, so these are constants beside it. Pure: nothing is
//! looked at, so the engine may use it.

use std::path::{Path, PathBuf};

use crate::ids::{Step, WorkerId};

/// The adapter's tensors, in a checkpoint and in the result.
pub const ADAPTER_FILE: &str = "adapter_model.safetensors";
/// What PEFT needs to know about the adapter's tensors.
pub const ADAPTER_CONFIG_FILE: &str = "adapter_config.json";
/// The same bytes as [`ADAPTER_FILE`], under the name image tools use; in the result only.
pub const ADAPTER_COPY_FILE: &str = "pytorch_lora_weights.safetensors";
/// First and second moments per key, and the counters.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The pairs that PiSSA took out of the base model, beside the trained ones of a checkpoint.
pub const PISSA_FILE: &str = "pissa_initial.safetensors";
/// Every other file of a checkpoint or of the result, with its digest.
pub const MANIFEST: &str = "manifest.json";
/// The history of the run up to a checkpoint, in Trainer's form.
pub const TRAINER_STATE: &str = "trainer_state.json";
/// The run's ledger.
pub const LEDGER: &str = "ledger.jsonl";
/// The answers to fixed prompts, a line for each evaluation.
pub const ANSWER_LINES: &str = "eval_prompts.jsonl";
/// The answers of [`ANSWER_LINES`] side by side, for people.
pub const ANSWER_PAGE: &str = "eval_prompts.md";

const CHECKPOINT: &str = "checkpoint-";
const CLUSTER_LOG: &str = "cluster.jsonl";
const COORDINATOR_LOG: &str = "coordinator.log";
const LOCK: &str = ".lock";
const LOGS: &str = "logs";
const METRICS: &str = "metrics.jsonl";
const PREPARED: &str = "prepared";
/// The configuration with every default.
pub const RESOLVED: &str = "resolved.yaml";
/// Where workers write checkpoints that have no name yet, each try in a group of its own.
pub const STAGING: &str = ".staging";

/// Folder name of a step's checkpoint.
#[must_use]
pub fn checkpoint_name(step: Step) -> String {
    format!("{CHECKPOINT}{step}")
}

/// The step whose checkpoint has this name, if it is the name of one.
#[must_use]
pub fn checkpoint_step(name: &str) -> Option<Step> {
    name.strip_prefix(CHECKPOINT)?.parse().ok().map(Step)
}

/// Names of the damaged checkpoints of a step that are kept: the first, the second, and so on.
pub fn damaged_names(step: Step) -> impl Iterator<Item = String> {
    let name = checkpoint_name(step);
    (1..u32::MAX).map(move |number| match number {
        1 => format!("{name}.damaged"),
        number => format!("{name}.damaged.{number}"),
    })
}

/// End of the hidden name of a file that has no name of its own yet.
pub const UNNAMED: &str = "export";

/// Name of a file of the result before it has its own.
#[must_use]
pub fn unnamed_result(name: &str) -> String {
    format!(".{name}.{UNNAMED}")
}

/// Folder name of one try of a worker to write a step's checkpoint.
#[must_use]
pub fn staging_name(step: Step, writer: &WorkerId, number: u64) -> String {
    format!("{}.{writer}.{number}", checkpoint_name(step))
}

/// File of what a worker that the coordinator started says, in the folder of logs.
#[must_use]
pub fn worker_log(number: u32) -> String {
    format!("worker-{number}.log")
}

/// File of the dataset of this digest in the folder of prepared ones.
#[must_use]
pub fn dataset_file(prepared: &Path, digest: &str) -> PathBuf {
    prepared.join(format!("{digest}.safetensors"))
}

/// Where everything of a run lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunPaths {
    output_dir: PathBuf,
}

impl RunPaths {
    /// The paths of the run in an output folder.
    pub fn new(output_dir: impl Into<PathBuf>) -> Self {
        Self {
            output_dir: output_dir.into(),
        }
    }

    /// The output folder itself.
    #[must_use]
    pub fn output_dir(&self) -> &Path {
        &self.output_dir
    }

    /// The name of what lies at a path below the output folder, `None` for any other path and for one that is no text.
    #[must_use]
    pub fn name_of(&self, path: &Path) -> Option<String> {
        let name = path.strip_prefix(&self.output_dir).ok()?;
        Some(name.to_str()?.to_owned())
    }

    fn of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.output_dir.join(name)
    }

    /// The lock of whoever leads here.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.of(LOCK)
    }

    /// What the run did, chained.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.of(LEDGER)
    }

    /// The configuration with every default.
    #[must_use]
    pub fn resolved(&self) -> PathBuf {
        self.of(RESOLVED)
    }

    /// The prepared datasets.
    #[must_use]
    pub fn prepared(&self) -> PathBuf {
        self.of(PREPARED)
    }

    /// The prepared dataset of this digest.
    #[must_use]
    pub fn dataset(&self, digest: &str) -> PathBuf {
        dataset_file(&self.prepared(), digest)
    }

    /// The checkpoint of a step.
    #[must_use]
    pub fn checkpoint(&self, step: Step) -> PathBuf {
        self.of(checkpoint_name(step))
    }

    /// Where workers write checkpoints that have no name yet, each try in a folder of its own.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.of(STAGING)
    }

    /// The adapter that is the result.
    #[must_use]
    pub fn adapter(&self) -> PathBuf {
        self.of(ADAPTER_FILE)
    }

    /// One line per committed step.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.of(METRICS)
    }

    /// Logs and TensorBoard's events.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.of(LOGS)
    }

    /// The log of who did what in each step.
    #[must_use]
    pub fn cluster_log(&self) -> PathBuf {
        self.logs().join(CLUSTER_LOG)
    }

    /// The text log of the coordinator.
    #[must_use]
    pub fn coordinator_log(&self) -> PathBuf {
        self.logs().join(COORDINATOR_LOG)
    }

    /// Whatever a run leaves but its checkpoints, whose names depend on its steps, and its prepared
    /// datasets, which another run may use.
    #[must_use]
    pub fn left_by_a_run(&self) -> [PathBuf; 12] {
        [
            ADAPTER_CONFIG_FILE,
            ADAPTER_FILE,
            ANSWER_LINES,
            ANSWER_PAGE,
            ADAPTER_COPY_FILE,
            MANIFEST,
            METRICS,
            RESOLVED,
            TRAINER_STATE,
            LEDGER,
            LOGS,
            STAGING,
        ]
        .map(|name| self.of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_checkpoint_has_the_name_of_one() {
        let step = Step(120);
        assert_eq!(checkpoint_step(&checkpoint_name(step)), Some(step));
        let staged = staging_name(step, &WorkerId("w-1".into()), 3);
        assert_eq!(staged, "checkpoint-120.w-1.3");
        let damaged: Vec<_> = damaged_names(step).take(2).collect();
        assert_eq!(damaged[1], "checkpoint-120.damaged.2");
        for name in damaged.iter().chain([&staged]) {
            assert_eq!(checkpoint_step(name), None, "{name}");
        }
    }

    #[test]
    fn only_what_lies_in_the_output_folder_has_a_name_there() {
        let paths = RunPaths::new("/out");
        let staged = paths.staging().join("checkpoint-5.w.1");
        assert_eq!(paths.name_of(&staged).unwrap(), ".staging/checkpoint-5.w.1");
        assert_eq!(paths.name_of(Path::new("/other/checkpoint-5")), None);
    }

    #[test]
    fn what_a_run_leaves_is_in_its_folder_and_is_neither_data_nor_lock() {
        let paths = RunPaths::new("/out");
        let left = paths.left_by_a_run();
        for path in [
            paths.ledger(),
            paths.metrics(),
            paths.logs(),
            paths.adapter(),
        ] {
            assert!(left.contains(&path), "{path:?}");
        }
        for path in [paths.prepared(), paths.lock(), paths.checkpoint(Step(1))] {
            assert!(!left.contains(&path), "{path:?}");
        }
    }
}
