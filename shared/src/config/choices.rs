//! What the keys of a run choose between.
//!
//! Not here: the adapter's choices (`adapter`), those of data (`formats`, `privacy`).

use serde::{Deserialize, Serialize};

use super::words::words;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskType {
    /// PEFT's `CAUSAL_LM`.
    #[serde(rename = "text-generation")]
    TextGeneration,
}

/// Values of `task_type`.
pub(super) const TASKS: &[&str] = &["text-generation"];

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

words! {
    /// Shape of the learning rate schedule.
    LrSchedulerType {
        /// Down to 0 on a line.
        Linear = "linear",
        /// Down to 0 on half a cosine.
        Cosine = "cosine",
        /// Never changes, no warm-up.
        Constant = "constant",
        /// Never changes after warm-up.
        ConstantWithWarmup = "constant_with_warmup",
    }
}

words! {
    /// What happens to rows longer than `max_seq_length`.
    Overflow {
        /// Cut the end and report.
        Truncate = "truncate",
        /// Leave the row out and report.
        Drop = "drop",
        /// Stop.
        Error = "error",
    }
}

words! {
    /// Which tokens of a conversation are learned.
    #[derive(Default)]
    LossOn {
        /// Every answer.
        #[default]
        Response = "response",
        /// The whole sequence.
        All = "all",
        /// The last answer.
        Last = "last",
    }
}

words! {
    /// Whether workers of unlike device classes may take part.
    DeviceClassPolicy {
        /// They may.
        Mixed = "mixed",
        /// All must be of one class.
        Strict = "strict",
    }
}

words! {
    /// How plain-text dialogues are cut into samples.
    Dialogue {
        /// A line of the asking role starts a sample.
        Turns = "turns",
        /// The turns between blank lines are one conversation.
        Blocks = "blocks",
    }
}

words! {
    /// Whether activations are computed again on the way back instead of being kept.
    #[derive(Default)]
    Checkpointing {
        /// Where they would not fit.
        #[default]
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}

words! {
    /// The form of a frozen weight.
    #[derive(Default)]
    Quantization {
        /// As the files hold it.
        #[default]
        None = "none",
        /// Four bits: bitsandbytes' NF4 in blocks of 64.
        Nf4 = "nf4",
        /// Eight bits: bitsandbytes' codes by row.
        Int8 = "int8",
    }
}

words! {
    /// What happens to a step with values that are not finite.
    #[derive(Default)]
    OnNonFinite {
        /// It is skipped and counted, on every worker alike.
        #[default]
        Skip = "skip",
        /// The run ends before it.
        Fail = "fail",
    }
}

impl LossOn {
    /// What `train_on_inputs` alone says.
    pub(super) fn of(train_on_inputs: bool) -> Self {
        if train_on_inputs {
            Self::All
        } else {
            Self::Response
        }
    }
}
