//! Every key there is: name, kind, default, meaning. The one table.
//!
//! In: nothing. Out: [`KEYS`] in the order of `resolved.yaml`; loading, errors, the JSON schema and
//! `docs/reference/configuration.md` are all made from it.
//! Keeps: a default is written as in a file and read by the same code as a file.
//! Not here: rules over several keys (see `rules`).

use crate::numerics::LARGEST_LOSS_SCALE;

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A path that must be given.
    Path,
    /// A path, or nothing.
    OptionalPath,
    /// A whole number.
    Whole { least: u64, most: u64 },
    /// A whole number, or nothing; -1 is nothing too where `minus_one` says so.
    OptionalWhole {
        least: u64,
        most: u64,
        minus_one: bool,
    },
    /// A power of two.
    PowerOfTwo { most: u64 },
    /// A number.
    Real(Range),
    /// `true` or `false`.
    Flag,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// What is trained.
    Task,
    /// Which linears are adapted.
    Modules,
    /// Names of modules, perhaps none.
    Names,
    /// Names of modules, or nothing.
    OptionalNames,
    /// Numbers of layers, or nothing.
    Layers,
    /// Modules with ranks, `NAME=RANK`.
    Ranks,
    /// Modules with alphas, `NAME=ALPHA`.
    Alphas,
    /// Two column names, or nothing.
    Columns,
    /// Some of some words, or nothing.
    OptionalWords(&'static [&'static str]),
    /// Rules `NAME=REGEX`.
    Rules,
    /// Texts.
    Texts,
    /// Paths with weights, `PATH=WEIGHT`.
    Sources,
    /// Names of some parts, `PART=NAME`.
    Named(&'static [&'static str]),
    /// Where it computes.
    Device,
    /// `latest`, a checkpoint folder, or nothing.
    Resume,
}

/// Bounds of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    /// Lower bound.
    pub low: f64,
    /// The lower bound itself is allowed.
    pub low_included: bool,
    /// Upper bound, infinite when there is none.
    pub high: f64,
    /// The upper bound itself is allowed.
    pub high_included: bool,
}

/// What holds when nobody writes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    /// It must be written.
    Required,
    /// This, as YAML.
    Value(&'static str),
    /// Computed from these keys, by this rule.
    Derived {
        from: &'static str,
        rule: &'static str,
    },
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// What holds when it is not written.
    pub default: Fallback,
    /// A value for "write it as in".
    pub example: &'static str,
    /// What it means, one sentence without a final stop.
    pub about: &'static str,
}

/// No practical upper bound.
pub(super) const ANY: u64 = i64::MAX as u64;
/// Any finite number.
pub(super) const UNBOUNDED: Range = Range {
    low: f64::MIN,
    low_included: true,
    high: f64::MAX,
    high_included: true,
};
pub(super) use super::words::*;

const fn key(
    name: &'static str,
    kind: Kind,
    default: Fallback,
    example: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        example,
        about,
    }
}

const fn whole(least: u64, most: u64) -> Kind {
    Kind::Whole { least, most }
}

const fn at_least(low: f64) -> Kind {
    Kind::Real(Range {
        low,
        low_included: true,
        high: f64::INFINITY,
        high_included: false,
    })
}

const fn between(low: f64, low_included: bool, high: f64, high_included: bool) -> Kind {
    Kind::Real(Range {
        low,
        low_included,
        high,
        high_included,
    })
}

use Fallback::{Derived, Required, Value};
use Kind::{
    Alphas, Choice, Columns, Device, Flag, Layers, Modules, Names, OptionalNames, OptionalPath,
    OptionalWhole, OptionalWords, Path, Ranks, Resume, Rules, Sources, Task, Texts,
};

/// The table, in the order of the files this program writes.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("train_data_dir", Path, Required, "./data/law_train",
        "folder or file with the training data"),
    key("metadata_path", OptionalPath, Value("null"), "./data/metadata.csv",
        "CSV or JSONL whose rows are the samples; relative files in it point into `train_data_dir`"),
    key("base_model", Path, Required, "./models/tiny-law",
        "Hugging Face folder of the base model"),
    key("task_type", Task, Value("text-generation"), "text-generation",
        "what is trained; PEFT's `CAUSAL_LM`"),
    key("output_dir", Path, Required, "./output/law_lora",
        "folder for the adapter, checkpoints, logs and the resolved configuration"),
    key("lora_rank", whole(1, 65_536), Value("8"), "16",
        "rank of the adapter's matrices"),
    key("lora_alpha", between(0.0, false, f64::INFINITY, false),
        Derived { from: "lora_rank", rule: "2 * lora_rank" }, "32",
        "the adapter is scaled by `lora_alpha / lora_rank`"),
    key("lora_dropout", between(0.0, true, 1.0, false), Value("0"), "0.1",
        "share of the adapter's inputs that is dropped in training"),
    key("adapter_type", Choice(ADAPTERS), Value("lora"), "ia3",
        "what is laid over a linear: two thin matrices, or one vector that scales (IA3)"),
    key("target_modules", Modules,
        Derived { from: "adapter_type", rule: "[q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3" }, "[q_proj, v_proj]",
        "modules that get an adapter: names, `attention`, `mlp`, `all-linear` for every linear but the output head, or `re:` and a regular expression that fits whole module paths"),
    key("use_rslora", Flag, Value("false"), "true",
        "scale by `lora_alpha / sqrt(lora_rank)` instead"),
    key("use_dora", Flag, Value("false"), "true",
        "learn directions, and beside them a magnitude per output (DoRA)"),
    key("init_lora_weights", Choice(INITS), Value("default"), "pissa",
        "where the matrices start: PEFT's uniform draw, a normal one (`gaussian`), or the base's largest singular values (`pissa`)"),
    key("rank_pattern", Ranks, Value("[]"), "['o_proj=16', 'layers.0.self_attn.q_proj=4']",
        "other ranks for some modules, by name or end of path; the first that fits counts"),
    key("alpha_pattern", Alphas, Value("[]"), "['o_proj=32']",
        "other alphas for some modules, by name or end of path; the first that fits counts"),
    key("layers_to_transform", Layers, Value("null"), "[0, 1, 2]",
        "numbers of the layers that are adapted, from 0; nothing means all"),
    key("modules_to_save", Names, Value("[]"), "[lm_head]",
        "whole modules that are trained and saved beside the adapter, by the end of their path as PEFT has it, such as `embed_tokens`, `lm_head` or `model.norm`"),
    key("bias", Choice(BIASES), Value("none"), "lora_only",
        "which biases of the base model learn: none, all, or those of adapted linears"),
    key("loraplus_lr_ratio", between(0.0, false, 1_000_000.0, true), Value("1"), "16",
        "the learning rate of B is that of A times this (LoRA+); 1 is plain LoRA"),
    key("loraplus_lr_embedding", between(0.0, false, 1.0, true), Value("1.0e-6"), "1.0e-5",
        "learning rate of an adapted embedding when `loraplus_lr_ratio` is not 1"),
    key("feedforward_modules", OptionalNames, Value("null"), "[down_proj]",
        "IA3: which of `target_modules` are scaled at their input instead of their output; nothing means the MLP's last"),
    key("init_adapter", OptionalPath, Value("null"), "./output/law_lora",
        "PEFT folder to start from; without it the first adapter is drawn from `seed`"),
    key("parent", OptionalPath, Value("null"), "./output/law_lora",
        "checkpoint folder (or finished output folder) of an earlier run whose adapter this run goes on training, with other or added data; cursor and schedule begin anew"),
    key("parent_optimizer", Flag, Value("true"), "false",
        "keep the optimizer's moments of `parent`; false starts them at zero"),
    key("batch_size", whole(1, 65_536), Value("4"), "4",
        "samples per batch; times `gradient_accumulation_steps` it is the global batch, however many workers there are"),
    key("gradient_accumulation_steps", whole(1, 65_536), Value("1"), "4",
        "batches per optimizer step"),
    key("micro_batch_size", whole(1, 65_536),
        Derived { from: "batch_size and gradient_accumulation_steps", rule: "an eighth of the global batch, from 1 to batch_size" }, "1",
        "samples per unit of work given to a worker, at most `batch_size`"),
    key("epochs", whole(1, 1_000_000), Value("3"), "15",
        "passes over the data"),
    key("max_steps", OptionalWhole { least: 1, most: ANY, minus_one: true }, Value("null"), "100",
        "optimizer steps, overriding `epochs`; -1 means nothing"),
    key("learning_rate", between(0.0, false, 1.0, true), Value("2.0e-4"), "1.5e-4",
        "peak learning rate"),
    key("lr_scheduler_type", Choice(SCHEDULES), Value("linear"), "cosine",
        "shape of the learning rate after warm-up"),
    key("warmup_steps", whole(0, ANY), Value("0"), "10",
        "steps of warm-up; 0 leaves it to `warmup_ratio`"),
    key("warmup_ratio", between(0.0, true, 1.0, true), Value("0"), "0.03",
        "share of all steps used for warm-up when `warmup_steps` is 0"),
    key("weight_decay", at_least(0.0), Value("0"), "0.01",
        "decoupled weight decay"),
    key("max_grad_norm", at_least(0.0), Value("1.0"), "1.0",
        "gradients are clipped at this L2 norm; 0 means never"),
    key("seed", whole(0, u32::MAX as u64), Value("42"), "42",
        "seed of the order of samples, the first adapter and dropout"),
    key("fp16", Flag, Value("false"), "false",
        "compute in float16, with a loss scale that finds its size by itself"),
    key("bf16", Flag, Value("false"), "true",
        "compute in bfloat16; neither `fp16` nor `bf16` means float32"),
    key("quantization", Choice(QUANTIZATIONS), Value("none"), "nf4",
        "how the base model's linears are held in memory: as they lie, in 4 bits (`nf4`, QLoRA), or in 8 bits (`int8`); they are made dense for each product"),
    key("quantization_double", Flag, Value("true"), "false",
        "with `nf4`, hold the scales of its blocks in 8 bits too"),
    key("activation_checkpointing", Choice(CHECKPOINTINGS), Value("auto"), "on",
        "compute activations again on the way back instead of keeping them: less memory, a third more work, the same bytes; `auto` does it where they would not fit"),
    key("on_non_finite", Choice(NON_FINITES), Value("skip"), "fail",
        "what happens to a step with a loss or gradient that is not finite: left out and counted, or the run ends before it"),
    key("max_skipped_steps", whole(1, u32::MAX as u64), Value("10"), "50",
        "so many skipped steps in a row end the run; overflows that only lower the loss scale of fp16 do not count"),
    key("initial_loss_scale", Kind::PowerOfTwo { most: LARGEST_LOSS_SCALE }, Value("65536"), "1024",
        "loss scale of fp16 before step 1"),
    key("max_seq_length", whole(2, 1_048_576), Value("2048"), "512",
        "longest row in tokens"),
    key("overflow", Choice(OVERFLOWS), Value("truncate"), "truncate",
        "what happens to longer rows: cut and report, drop and report, or stop"),
    key("device", Device, Value("auto"), "cpu",
        "where every worker computes; `auto` takes a GPU where there is one"),
    key("save_steps", whole(1, ANY), Value("500"), "50",
        "steps between checkpoints"),
    key("save_total_limit", OptionalWhole { least: 1, most: u32::MAX as u64, minus_one: false },
        Value("null"), "3",
        "how many checkpoints are kept; nothing keeps all"),
    key("logging_steps", whole(1, ANY), Value("1"), "10",
        "steps between entries of `log_history`"),
    key("validation_dir", OptionalPath, Value("null"), "./data/law_validation",
        "folder or file with data that is evaluated and never trained on"),
    key("validation_split", between(0.0, true, 1.0, false), Value("0"), "0.1",
        "share of the training data that is kept out and evaluated instead; equal rows stay on one side"),
    key("eval_steps", OptionalWhole { least: 1, most: ANY, minus_one: false }, Value("null"), "50",
        "steps between evaluations; nothing means once per epoch; the last step is always evaluated"),
    key("early_stopping_patience", OptionalWhole { least: 1, most: u32::MAX as u64, minus_one: false },
        Value("null"), "3",
        "so many evaluations in a row without a better one end the run, and the best adapter is the result; nothing never stops"),
    key("early_stopping_threshold", at_least(0.0), Value("0"), "0.01",
        "an evaluation is better when its loss is lower by more than this"),
    key("eval_prompts", Texts, Value("[]"), "['What is a lease?', '什么是押金？']",
        "questions that the model answers at each evaluation; the answers stand side by side in `eval_prompts.md`"),
    key("eval_max_new_tokens", whole(1, 1024), Value("128"), "256",
        "longest answer to one of `eval_prompts`, tokens"),
    key("shuffle", Flag, Value("true"), "false",
        "a new order of samples in every epoch, as Trainer draws it; false keeps the files' order"),
    key("group_by_length", Flag, Value("false"), "true",
        "put samples of like length into the same step, as Trainer's `LengthGroupedSampler` does: another order, less padding"),
    key("packing", Flag, Value("false"), "true",
        "put the samples of a micro-batch behind each other instead of padding them; the samples of every step stay the same, and so does its loss"),
    key("train_on_inputs", Flag, Value("false"), "true",
        "learn the whole sequence instead of the answers only; the same as `loss_on: all`"),
    key("loss_on", Choice(LOSSES),
        Derived { from: "train_on_inputs", rule: "response, or all with train_on_inputs" }, "last",
        "what is learned: every answer (`response`), the whole sequence (`all`), or a conversation's last answer (`last`)"),
    key("resume_from_checkpoint", Resume, Value("null"), "latest",
        "`latest` or a checkpoint folder to continue from"),
    key("min_workers", whole(1, 65_536), Value("1"), "2",
        "the run pauses below this many workers"),
    key("max_workers", OptionalWhole { least: 1, most: 65_536, minus_one: false }, Value("null"), "16",
        "no more than this many workers count at a time; more wait as spares"),
    key("failure_detection", between(0.2, true, 3600.0, true), Value("8"), "2",
        "seconds of silence after which a worker is evicted; every other time of the cluster is derived from it"),
    key("ride_through", between(0.0, true, 86_400.0, true), Value("60"), "300",
        "seconds a worker holds what it has while the coordinator is away"),
    key("device_class", Choice(DEVICE_CLASSES), Value("mixed"), "strict",
        "whether workers of unlike device classes may take part"),
    key("audit_rate", between(0.0, true, 1.0, true), Value("0"), "0.01",
        "share of micro-batches that a second worker computes again and compares"),
    key("dialogue", Choice(DIALOGUES), Value("turns"), "blocks",
        "how plain-text dialogues are cut: a sample per question, or per block between blank lines"),
    key("csv_columns", Columns, Value("null"), "[question, answer]",
        "names of the question and the answer column of CSV files"),
    key("privacy", Choice(PRIVACIES), Value("off"), "mask",
        "what happens to personal data in the texts: nothing, a count in the report, or placeholders such as `[PHONE_1]`"),
    key("privacy_kinds", OptionalWords(PRIVACY_KINDS), Value("null"), "[ids, phones, names]",
        "kinds of personal data looked for; nothing stands for all but `amounts`"),
    key("privacy_rules", Rules, Value("[]"), "['CONTRACT=HT-[0-9]{6}']",
        "what else counts as personal data: the placeholder's word and a regular expression"),
    key("data_sources", Sources, Value("[]"), "['law_train=3', 'general.jsonl=1']",
        "files and folders with weights, below `train_data_dir`; none means all that lies there, unweighted"),
    key("data_mixing", Choice(MIXINGS), Value("repeat"), "subsample",
        "how the weights of `data_sources` are kept: rows of scarce sources come again (`repeat`), or some of plentiful ones stay out (`subsample`)"),
    key("columns", Kind::Named(PARTS), Value("[]"), "['question=frage', 'answer=antwort']",
        "what the fields of a sample are called in tables, JSON and Parquet"),
    key("roles", Kind::Named(ROLES), Value("[]"), "['user=甲', 'assistant=乙']",
        "who speaks under which name in dialogues and lists of turns"),
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether there is a key of this name, for what lists keys that may come later.
#[must_use]
pub fn is_key(name: &str) -> bool {
    find(name).is_some()
}

/// Words as "`a`, `b` or `c`".
pub(super) fn either(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

impl Kind {
    /// What a value must be, in words that fit behind "must be".
    pub(super) fn describe(self) -> String {
        match self {
            Path => "a path".into(),
            OptionalPath => "a path or nothing".into(),
            Self::Whole { least, most } => format!("a whole number {}", bounds(least, most)),
            OptionalWhole { least, most, .. } => {
                format!("a whole number {}, or nothing", bounds(least, most))
            }
            Self::PowerOfTwo { most } => format!("a power of two from 1 to 2^{}", most.ilog2()),
            Self::Real(range) => format!("a number {}", range.describe()),
            Flag => "`true` or `false`".into(),
            Choice(words) => either(words),
            Task => either(TASKS),
            Modules => format!(
                "a list of module names, one name, {}, or `{REGEX}` and a regular expression",
                either(GROUPS)
            ),
            Names => "a list of module names".into(),
            OptionalNames => "a list of module names, or nothing".into(),
            Layers => "a list of layers, from 0, or nothing".into(),
            Ranks => "a list of texts NAME=RANK, ranks from 1 to 65536".into(),
            Alphas => "a list of texts NAME=ALPHA, alphas above 0".into(),
            OptionalWords(words) => format!("a list of {}, or nothing", either(words)),
            Texts => "a list of texts, none empty, 64 at most".into(),
            Rules => "a list of texts NAME=REGEX".into(),
            Sources => "a list of texts PATH=WEIGHT".into(),
            Self::Named(parts) => format!("a list of texts PART=NAME, each part {}", either(parts)),
            Columns => "a list of two column names, or nothing".into(),
            Device => "`auto`, `cpu`, `cuda` or `cuda:N`".into(),
            Resume => "`latest`, a checkpoint folder, or nothing".into(),
        }
    }
}

fn bounds(least: u64, most: u64) -> String {
    if most == ANY {
        format!("of at least {least}")
    } else {
        format!("from {least} to {most}")
    }
}

impl Range {
    /// The number is inside.
    pub(super) fn holds(&self, value: f64) -> bool {
        let low = if self.low_included {
            value >= self.low
        } else {
            value > self.low
        };
        let high = if self.high_included {
            value <= self.high
        } else {
            value < self.high
        };
        value.is_finite() && low && high
    }

    fn describe(&self) -> String {
        let low = if self.low_included {
            "of at least"
        } else {
            "above"
        };
        let high = if self.high_included {
            "at most"
        } else {
            "below"
        };
        if self.high.is_infinite() {
            format!("{low} {}", self.low)
        } else {
            format!("{low} {} and {high} {}", self.low, self.high)
        }
    }
}

#[cfg(test)]
impl Fallback {
    /// In words, for the documents.
    pub(super) fn describe(&self) -> String {
        match self {
            Required => "required".into(),
            Value("null") => "nothing".into(),
            Value(text) => (*text).into(),
            Derived { rule, .. } => (*rule).into(),
        }
    }
}
