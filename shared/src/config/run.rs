//! The resolved configuration: every value present and within its range.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::adapter::{AdapterConfig, Checkpointing};
use super::evaluation::EvaluationConfig;
use super::formats::FormatConfig;
use super::privacy::PrivacyConfig;
use super::quantization::QuantizationConfig;
use super::stability::StabilityConfig;

/// Everything that describes a run. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Folder or file with the training data.
    pub train_data_dir: PathBuf,
    /// CSV or JSONL whose rows are the samples.
    pub metadata_path: Option<PathBuf>,
    /// Hugging Face folder of the base model.
    pub base_model: PathBuf,
    /// What is trained.
    pub task_type: TaskType,
    /// Where everything is written.
    pub output_dir: PathBuf,
    /// Rank of the adapter's matrices.
    pub lora_rank: u32,
    /// Numerator of the scaling.
    pub lora_alpha: f64,
    /// Dropout on the input of A, `0.0..1.0`.
    pub lora_dropout: f64,
    /// Which linears are adapted.
    pub target_modules: TargetModules,
    /// Scaling is alpha / sqrt(rank) instead of alpha / rank.
    pub use_rslora: bool,
    /// What kind of adapter it is; an older run's is plain LoRA.
    #[serde(default)]
    pub adapter: AdapterConfig,
    /// PEFT folder to start from.
    pub init_adapter: Option<PathBuf>,
    /// Checkpoint or finished output folder of the run whose adapter is trained on.
    pub parent: Option<PathBuf>,
    /// The optimizer's moments of `parent` are kept.
    pub parent_optimizer: bool,
    /// Samples per batch; times `gradient_accumulation_steps` it is the global batch.
    pub batch_size: u32,
    /// Batches per optimizer step.
    pub gradient_accumulation_steps: u32,
    /// Samples per unit of work.
    pub micro_batch_size: u32,
    /// Passes over the data.
    pub epochs: u32,
    /// Optimizer steps, overriding `epochs`.
    pub max_steps: Option<u64>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the schedule.
    pub lr_scheduler_type: LrSchedulerType,
    /// Steps of warm-up; 0 leaves it to `warmup_ratio`.
    pub warmup_steps: u64,
    /// Share of all steps used for warm-up when `warmup_steps` is 0.
    pub warmup_ratio: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Clip at this L2 norm; 0 means never.
    pub max_grad_norm: f64,
    /// Seed of order, first adapter and dropout.
    pub seed: u64,
    /// Data type of the base model in compute.
    pub precision: Precision,
    /// How the frozen linears are held; an older run held them as they lie.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// Whether activations are kept or computed again; no byte of the adapter depends on it.
    #[serde(default)]
    pub activation_checkpointing: Checkpointing,
    /// What happens to values that are not finite; an older run has the defaults.
    #[serde(default)]
    pub stability: StabilityConfig,
    /// Longest row in tokens.
    pub max_seq_length: u32,
    /// What happens to longer rows.
    pub overflow: Overflow,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Steps between checkpoints.
    pub save_steps: u64,
    /// How many checkpoints are kept.
    pub save_total_limit: Option<u32>,
    /// Steps between entries of `log_history`.
    pub logging_steps: u64,
    /// Evaluations during the run.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// Permute each epoch.
    pub shuffle: bool,
    /// Samples of like length come into the same step; an older run did not.
    #[serde(default)]
    pub group_by_length: bool,
    /// The samples of a micro-batch lie behind each other, without padding; an older run's did not.
    #[serde(default)]
    pub packing: bool,
    /// Loss on the whole sequence.
    pub train_on_inputs: bool,
    /// What is learned; [`RunConfig::learned`] joins it with `train_on_inputs`, which older runs
    /// have alone.
    #[serde(default)]
    pub loss_on: LossOn,
    /// `latest` or a checkpoint folder.
    pub resume_from_checkpoint: Option<String>,
    /// The run pauses below this many workers.
    pub min_workers: u32,
    /// No more than this many count at a time; more wait as spares.
    pub max_workers: Option<u32>,
    /// Seconds of silence after which a worker is evicted.
    pub failure_detection: f64,
    /// Seconds a worker holds what it has while the coordinator is away.
    pub ride_through: f64,
    /// Whether workers of unlike device classes may take part.
    pub device_class: DeviceClassPolicy,
    /// Share of micro-batches that a second worker computes again, `0.0..=1.0`.
    pub audit_rate: f64,
    /// How plain-text dialogues are cut into samples.
    pub dialogue: Dialogue,
    /// Names of the question and answer columns of CSV files.
    pub csv_columns: Option<(String, String)>,
    /// What is done about personal data; nothing where an older run does not say.
    #[serde(default)]
    pub privacy: PrivacyConfig,
    /// What the data is made of; an older run reads all of `train_data_dir` under known names.
    #[serde(default)]
    pub formats: FormatConfig,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskType {
    /// PEFT's `CAUSAL_LM`.
    #[serde(rename = "text-generation")]
    TextGeneration,
}

/// Which linears are adapted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetModules {
    /// Exact name or suffix after a dot, sorted and without repeats.
    Names(Vec<String>),
    /// Every linear but the output head.
    AllLinear,
    /// Every linear of the attention blocks.
    Attention,
    /// Every linear of the MLP blocks.
    Mlp,
    /// Those whose whole path this regular expression fits.
    Regex(String),
}

/// Shape of the learning rate schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedulerType {
    /// Down to 0 on a line.
    Linear,
    /// Down to 0 on half a cosine.
    Cosine,
    /// Never changes, no warm-up.
    Constant,
    /// Never changes after warm-up.
    ConstantWithWarmup,
}

/// Data type of the base model in compute; adapters are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Neither flag.
    F32,
    /// `bf16: true`.
    Bf16,
    /// `fp16: true`, with a loss scale.
    Fp16,
}

/// What happens to rows longer than `max_seq_length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// Cut the end and report.
    Truncate,
    /// Leave the row out and report.
    Drop,
    /// Stop.
    Error,
}

/// Which tokens of a conversation are learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossOn {
    /// Every answer.
    #[default]
    Response,
    /// The whole sequence.
    All,
    /// The last answer.
    Last,
}

/// Whether workers of unlike device classes may take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClassPolicy {
    /// They may.
    Mixed,
    /// All must be of one class.
    Strict,
}

/// How plain-text dialogues are cut into samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialogue {
    /// A line of the asking role starts a sample.
    Turns,
    /// The turns between blank lines are one conversation.
    Blocks,
}

impl RunConfig {
    /// Samples per optimizer step; never multiplied by workers.
    #[must_use]
    pub fn global_batch(&self) -> u64 {
        u64::from(self.batch_size) * u64::from(self.gradient_accumulation_steps)
    }

    /// What is learned, whichever key says it.
    #[must_use]
    pub fn learned(&self) -> LossOn {
        if self.train_on_inputs {
            LossOn::All
        } else {
            self.loss_on
        }
    }
}
