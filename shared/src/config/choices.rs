//! What the keys of a run choose between.
//!
//! Not here: the adapter's choices (`adapter`), those of data (`formats`, `privacy`).

use serde::{Deserialize, Serialize};

use super::words::words;

/// The task that the model is trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskType {
    /// Causal language modelling: each token is predicted from those before it (PEFT's `CAUSAL_LM`).
    #[serde(rename = "text-generation")]
    TextGeneration,
}

/// Values of `task_type`.
pub(super) const TASKS: &[&str] = &["text-generation"];

/// Data type of the base model in compute; adapters are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The base model computes in f32: neither `bf16` nor `fp16` is set.
    F32,
    /// The base model computes in bf16: `bf16: true`.
    Bf16,
    /// The base model computes in fp16, with a dynamic loss scale: `fp16: true`.
    Fp16,
}

words! {
    /// Shape of the learning rate schedule.
    LrSchedulerType {
        /// Down to 0 on a line.
        Linear = "linear",
        /// Down to 0 on half a cosine.
        Cosine = "cosine",
        /// The rate is the peak from the first step on, without warm-up.
        Constant = "constant",
        /// The rate is the peak once the warm-up is over.
        ConstantWithWarmup = "constant_with_warmup",
    }
}

words! {
    /// What happens to rows longer than `max_seq_length`.
    Overflow {
        /// The row is cut at its end, and reported.
        Truncate = "truncate",
        /// The row is left out, and reported.
        Drop = "drop",
        /// The start is refused as soon as one row is too long.
        Error = "error",
    }
}

words! {
    /// Tokens of a conversation that are learned.
    #[derive(Default)]
    LossOn {
        /// Every answer of the conversation is learned; prompts are context only.
        #[default]
        Response = "response",
        /// The whole sequence is learned.
        All = "all",
        /// Only the last answer is learned.
        Last = "last",
    }
}

words! {
    /// Whether workers of unlike device classes may take part.
    DeviceClassPolicy {
        /// Workers of several device classes may compute the same run.
        Mixed = "mixed",
        /// All workers must be of one device class.
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
        /// Activations are computed again only where the rehearsal before step 1 finds that they would not fit.
        #[default]
        Auto = "auto",
        /// Activations are computed again in every layer: slower, less memory, the same adapter.
        On = "on",
        /// Activations are kept in every layer, also where they do not fit.
        Off = "off",
    }
}

words! {
    /// The form of a frozen weight.
    #[derive(Default)]
    Quantization {
        /// The weight stays as the files hold it.
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
        /// The step is skipped and counted, on every worker alike.
        #[default]
        Skip = "skip",
        /// The run ends before it.
        Fail = "fail",
    }
}

words! {
    /// What the spelling of a special token in a text of the data is.
    #[derive(Default)]
    SpecialTokensInText {
        /// Text like any other, that no control token comes of.
        #[default]
        Plain = "plain",
        /// The special token, as transformers reads it.
        Keep = "keep",
    }
}

impl LossOn {
    /// What `train_on_inputs` alone says about `loss_on`.
    pub(super) fn of(train_on_inputs: bool) -> Self {
        if train_on_inputs {
            Self::All
        } else {
            Self::Response
        }
    }
}
