//! Every key there is, one row each: what it means, its type and range, its default, an example, and
//! whether it decides the adapter.
//!
//! Out: [`RunConfig`] and its groups, [`ROWS`] in the order of `resolved.yaml`, and [`read`]. Loading,
//! errors, the JSON schema, `docs/reference/configuration.md`, `resolved.yaml` and the identity of a run are all
//! made from these rows. Not here: rules over several keys (see `rules`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::adapter::{AdapterKind, BiasMode, LoraInit, TargetModules};
use super::choices::{
    Checkpointing, DeviceClassPolicy, Dialogue, LossOn, LrSchedulerType, OnNonFinite, Overflow,
    Precision, Quantization, SpecialTokensInText, TaskType,
};
use super::field::Field;
use super::formats::{DataForm, DataSource, Mixing, Named, PARTS, Preference, ROLES, TextEncoding};
use super::key::{ANY, Key, Kind, at_least, between, whole};
use super::privacy::{PrivacyKind, PrivacyMode, PrivacyRule};
use super::row::Decides::{Always, ByDigest, Never, UnlessDefault, When, WhenNotDefault};
use super::row::Pace::{Other, Same};
use super::row::{Row, Take, keys};
use crate::numerics::LARGEST_LOSS_SCALE;

/// The row of this name.
pub(super) fn row(name: &str) -> Option<&'static Row<RunConfig>> {
    ROWS.iter().find(|row| row.key.name == name)
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    row(name).map(|row| &row.key)
}

/// Whether there is a key of this name, for what lists keys that may come later.
#[must_use]
pub fn is_key(name: &str) -> bool {
    find(name).is_some()
}

/// Every key, in the order of the files this program writes.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    ROWS.iter().map(|row| &row.key)
}

/// Keys of evaluation decide where a run may stop early.
fn stops_early(config: &RunConfig) -> bool {
    config.evaluation.patience.is_some()
}

/// An eighth of the global batch, from 1 to `batch_size`.
fn eighth((batch_size, accumulation): (u32, u32)) -> u32 {
    let eighth = u64::from(batch_size) * u64::from(accumulation) / 8;
    u32::try_from(eighth)
        .unwrap_or(batch_size)
        .clamp(1, batch_size.max(1))
}

// Three kinds of sections. `run`: the field of `RunConfig` is called as the key. `joined`: some keys
// say one field together. `group`: a struct of its own, `key = field`.
//
// A row: its meaning, `key: type as range, default, example, verdict;`. The default is `required`, YAML,
// or `[from, rule, value]` where it is derived from keys above it.
keys! {
    run {
        /// folder or file with the training data
        train_data_dir: PathBuf, required, "./data/law_train", ByDigest(Other);
        /// CSV or JSONL whose rows are the samples; relative files in it point into
        /// `train_data_dir`
        metadata_path: Option<PathBuf>, "null", "./data/metadata.csv", ByDigest(Other);
        /// Hugging Face folder of the base model
        base_model: PathBuf, required, "./models/tiny-law", ByDigest(Same);
        /// what is trained; PEFT's `CAUSAL_LM`
        task_type: TaskType, "text-generation", "text-generation", Always(Other);
        /// folder for the adapter, checkpoints, logs and the resolved configuration
        output_dir: PathBuf, required, "./output/law_lora", Never;
        /// rank of the adapter's matrices
        lora_rank: u32 as whole(1, 65_536), "8", "16", Always(Other);
        /// the adapter is scaled by `lora_alpha / lora_rank`
        lora_alpha: f64 as between(0.0, false, f64::INFINITY, false),
            ["lora_rank", "2 * lora_rank", lora_rank.map(|rank| 2.0 * f64::from(rank))],
            "32", Always(Same);
        /// share of the adapter's inputs that is dropped in training
        lora_dropout: f64 as between(0.0, true, 1.0, false), "0", "0.1", Always(Other);
        /// what is laid over a linear: two thin matrices, or one vector that scales (IA3)
        adapter_type: AdapterKind, "lora", "ia3", UnlessDefault(Other);
        /// modules that get an adapter: names, `attention`, `mlp`, `all-linear` for every linear
        /// but the output head, or `re:` and a regular expression that fits whole module paths
        target_modules: TargetModules,
            ["adapter_type", "[q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3", adapter_type.map(TargetModules::usual)],
            "[q_proj, v_proj]", Always(Other);
        /// scale by `lora_alpha / sqrt(lora_rank)` instead
        use_rslora: bool, "false", "true", Always(Same);
    }
    group adapter: AdapterConfig [Default], "What an adapter has beyond rank, alpha and where it lies; the default is plain LoRA." {
        /// learn directions, and beside them a magnitude per output (DoRA)
        use_dora = use_dora: bool, "false", "true", UnlessDefault(Other);
        /// where the matrices start: PEFT's uniform draw, a normal one (`gaussian`), or the base's
        /// largest singular values (`pissa`)
        init_lora_weights = init: LoraInit, "default", "pissa", UnlessDefault(Other);
        /// other ranks for some modules, by name or end of path; the first that fits counts
        rank_pattern = rank_pattern: Vec<(String, u32)>,
            "[]", "['o_proj=16', 'layers.0.self_attn.q_proj=4']", UnlessDefault(Other);
        /// other alphas for some modules, by name or end of path; the first that fits counts
        alpha_pattern = alpha_pattern: Vec<(String, f64)>, "[]", "['o_proj=32']",
            UnlessDefault(Other);
        /// numbers of the layers that are adapted, from 0; nothing means all
        layers_to_transform = layers: Option<Vec<u32>>, "null", "[0, 1, 2]", UnlessDefault(Other);
        /// whole modules that are trained and saved beside the adapter, by the end of their path as
        /// PEFT has it, such as `embed_tokens`, `lm_head` or `model.norm`
        modules_to_save = modules_to_save: Vec<String>, "[]", "[lm_head]", UnlessDefault(Other);
        /// which biases of the base model learn: none, all, or those of adapted linears
        bias = bias: BiasMode, "none", "lora_only", UnlessDefault(Other);
        /// the learning rate of B is that of A times this (LoRA+); 1 is plain LoRA
        loraplus_lr_ratio = loraplus_lr_ratio: Option<f64> as between(0.0, false, 1_000_000.0, true),
            "1", "16", UnlessDefault(Other);
        /// learning rate of an adapted embedding when `loraplus_lr_ratio` is not 1
        loraplus_lr_embedding = loraplus_lr_embedding: Option<f64> as between(0.0, false, 1.0, true),
            "1.0e-6", "1.0e-5", When(Other, |c| c.adapter.loraplus_lr_ratio.is_some());
        /// IA3: which of `target_modules` are scaled at their input instead of their output;
        /// nothing means the MLP's last
        feedforward_modules = feedforward_modules: Option<Vec<String>>, "null", "[down_proj]",
            UnlessDefault(Other);
    }
    run {
        /// PEFT folder to start from; without it the first adapter is drawn from `seed`
        init_adapter: Option<PathBuf>, "null", "./output/law_lora", ByDigest(Same);
        /// checkpoint folder (or finished output folder) of an earlier run whose adapter this run
        /// goes on training, with other or added data; cursor and schedule begin anew
        parent: Option<PathBuf>, "null", "./output/law_lora", ByDigest(Same);
        /// keep the optimizer's moments of `parent`; false starts them at zero
        parent_optimizer: bool, "true", "false", When(Same, |c| c.parent.is_some());
        /// samples per batch; times `gradient_accumulation_steps` it is the global batch, however
        /// many workers there are
        batch_size: u32 as whole(1, 65_536), "4", "4", Always(Other);
        /// batches per optimizer step
        gradient_accumulation_steps: u32 as whole(1, 65_536), "1", "4", Always(Other);
        /// samples per unit of work given to a worker, at most `batch_size`
        micro_batch_size: u32 as whole(1, 65_536),
            ["batch_size and gradient_accumulation_steps", "an eighth of the global batch, from 1 to batch_size", batch_size.zip(gradient_accumulation_steps).map(eighth)],
            "1", Always(Other);
        /// passes over the data
        epochs: u32 as whole(1, 1_000_000), "3", "15", Always(Same);
        /// optimizer steps, overriding `epochs`; -1 means nothing
        max_steps: Option<u64> as Kind::OptionalWhole { least: 1, most: ANY, minus_one: true },
            "null", "100", Always(Same);
        /// peak learning rate
        learning_rate: f64 as between(0.0, false, 1.0, true), "2.0e-4", "1.5e-4", Always(Same);
        /// shape of the learning rate after warm-up
        lr_scheduler_type: LrSchedulerType, "linear", "cosine", Always(Same);
        /// steps of warm-up; 0 leaves it to `warmup_ratio`
        warmup_steps: u64 as whole(0, ANY), "0", "10", Always(Same);
        /// share of all steps used for warm-up when `warmup_steps` is 0
        warmup_ratio: f64 as between(0.0, true, 1.0, true), "0", "0.03", Always(Same);
        /// decoupled weight decay
        weight_decay: f64 as at_least(0.0), "0", "0.01", Always(Same);
        /// gradients are clipped at this L2 norm; 0 means never
        max_grad_norm: f64 as at_least(0.0), "1.0", "1.0", Always(Same);
        /// seed of the order of samples, the first adapter and dropout
        seed: u64 as whole(0, u32::MAX as u64), "42", "42", Always(Other);
    }
    joined precision: Precision, "Data type of the base model in compute, which `fp16` and `bf16` say together." {
        /// compute in float16, with a loss scale that finds its size by itself
        fp16: bool, "false", "false", Always(Other), |c| c.precision == Precision::Fp16;
        /// compute in bfloat16; neither `fp16` nor `bf16` means float32
        bf16: bool, "false", "true", Always(Other), |c| c.precision == Precision::Bf16;
    }
    group quantization: QuantizationConfig [Copy, Eq], "How the frozen linears are held." {
        /// how the base model's linears are held in memory: as they lie, in 4 bits (`nf4`, QLoRA),
        /// or in 8 bits (`int8`); they are made dense for each product
        quantization = form: Quantization, "none", "nf4", UnlessDefault(Other);
        /// with `nf4`, hold the scales of its blocks in 8 bits too
        quantization_double = double: bool, "true", "false",
            When(Other, |c| c.quantization.form == Quantization::Nf4);
    }
    run {
        /// compute activations again on the way back instead of keeping them: less memory, a third
        /// more work, the same bytes; `auto` does it where they would not fit
        activation_checkpointing: Checkpointing, "auto", "on", Never;
    }
    group stability: StabilityConfig [Eq], "What happens to values that are not finite, and the first loss scale of fp16." {
        /// what happens to a step with a loss or gradient that is not finite: left out and counted,
        /// or the run ends before it
        on_non_finite = on_non_finite: OnNonFinite, "skip", "fail", Never;
        /// so many skipped steps in a row end the run; overflows that only lower the loss scale of
        /// fp16 do not count
        max_skipped_steps = max_skipped_steps: u32 as whole(1, u32::MAX as u64), "10", "50", Never;
        /// loss scale of fp16 before step 1
        initial_loss_scale = initial_loss_scale: u64 as Kind::PowerOfTwo { most: LARGEST_LOSS_SCALE },
            "65536", "1024", WhenNotDefault(Other, |c| c.precision == Precision::Fp16);
    }
    run {
        /// longest row in tokens
        max_seq_length: u32 as whole(2, 1_048_576), "2048", "512", Always(Other);
        /// what happens to longer rows: cut and report, drop and report, or stop
        overflow: Overflow, "truncate", "truncate", Always(Other);
        /// where every worker computes; `auto` takes a GPU where there is one
        device: String, "auto", "cpu", Never;
        /// steps between checkpoints
        save_steps: u64 as whole(1, ANY), "500", "50", Never;
        /// how many checkpoints are kept; nothing keeps all
        save_total_limit: Option<u32>, "null", "3", Never;
        /// steps between entries of `log_history`
        logging_steps: u64 as whole(1, ANY), "1", "10", Never;
    }
    group evaluation: EvaluationConfig [Default], "Validation data, how often it is evaluated, and when that ends the run." {
        /// folder or file with data that is evaluated and never trained on
        validation_dir = dir: Option<PathBuf>, "null", "./data/law_validation", ByDigest(Other);
        /// share of the training data that is kept out and evaluated instead; equal rows stay on
        /// one side
        validation_split = split: f64 as between(0.0, true, 1.0, false), "0", "0.1",
            ByDigest(Other);
        /// steps between evaluations; nothing means once per epoch; the last step is always
        /// evaluated
        eval_steps = every: Option<u64>, "null", "50", When(Other, stops_early);
        /// so many evaluations in a row without a better one end the run, and the best adapter is
        /// the result; nothing never stops
        early_stopping_patience = patience: Option<u32>, "null", "3", When(Other, stops_early);
        /// an evaluation is better when its loss is lower by more than this
        early_stopping_threshold = threshold: f64 as at_least(0.0), "0", "0.01",
            When(Other, stops_early);
        /// questions that the model answers at each evaluation; the answers stand side by side in
        /// `eval_prompts.md`
        eval_prompts = prompts: Vec<String> as Kind::Texts, "[]", "['What is a lease?', '什么是押金？']",
            Never;
        /// longest answer to one of `eval_prompts`, tokens
        eval_max_new_tokens = max_new_tokens: u32 as whole(1, 1024), "128", "256", Never;
    }
    run {
        /// a new order of samples in every epoch, as Trainer draws it; false keeps the files' order
        shuffle: bool, "true", "false", Always(Other);
        /// put samples of like length into the same step, as Trainer's `LengthGroupedSampler` does:
        /// another order, less padding
        group_by_length: bool, "false", "true", UnlessDefault(Other);
        /// put the samples of a micro-batch behind each other instead of padding them; the samples
        /// of every step stay the same, and so does its loss
        packing: bool, "false", "true", UnlessDefault(Other);
        /// learn the whole sequence instead of the answers only; the same as `loss_on: all`
        train_on_inputs: bool, "false", "true", Always(Other);
    }
    joined loss_on: LossOn, "What is learned; [`RunConfig::learned`] joins it with `train_on_inputs`." {
        /// what is learned: every answer (`response`), the whole sequence (`all`), or a
        /// conversation's last answer (`last`)
        loss_on: LossOn,
            ["train_on_inputs", "response, or all with train_on_inputs", train_on_inputs.map(LossOn::of)],
            "last", When(Other, |c| c.learned() == LossOn::Last), |c| c.learned();
    }
    run {
        /// `latest` or a checkpoint folder to continue from
        resume_from_checkpoint: Option<String>, "null", "latest", Never;
        /// the run pauses below this many workers
        min_workers: u32 as whole(1, 65_536), "1", "2", Never;
        /// no more than this many workers count at a time; more wait as spares
        max_workers: Option<u32> as Kind::OptionalWhole { least: 1, most: 65_536, minus_one: false },
            "null", "16", Never;
        /// seconds of silence after which a worker is evicted; every other time of the cluster is
        /// derived from it
        failure_detection: f64 as between(0.2, true, 3600.0, true), "8", "2", Never;
        /// seconds a worker holds what it has while the coordinator is away
        ride_through: f64 as between(0.0, true, 86_400.0, true), "60", "300", Never;
        /// whether workers of unlike device classes may take part
        device_class: DeviceClassPolicy, "mixed", "strict", Never;
        /// share of micro-batches that a second worker computes again and compares
        audit_rate: f64 as between(0.0, true, 1.0, true), "0", "0.01", Never;
        /// how plain-text dialogues are cut: a sample per question, or per block between blank
        /// lines
        dialogue: Dialogue, "turns", "blocks", ByDigest(Other);
        /// names of the question and the answer column of CSV files
        csv_columns: Option<(String, String)>, "null", "[question, answer]", ByDigest(Other);
    }
    group privacy: PrivacyConfig [Default, Eq], "What is done about personal data in the training texts." {
        /// what happens to personal data in the texts: nothing, a count in the report, or
        /// placeholders such as `[PHONE_1]`
        privacy = mode: PrivacyMode, "off", "mask", ByDigest(Other);
        /// kinds of personal data looked for; nothing stands for all but `amounts`
        privacy_kinds = kinds: Option<Vec<PrivacyKind>>, "null", "[ids, phones, names]",
            ByDigest(Other);
        /// what else counts as personal data: the placeholder's word and a regular expression
        privacy_rules = rules: Vec<PrivacyRule>, "[]", "['CONTRACT=HT-[0-9]{6}']", ByDigest(Other);
    }
    group formats: FormatConfig [Default, Eq], "Which files a run learns from, and how their fields are called." {
        /// files and folders with weights, below `train_data_dir`; none means all that lies there,
        /// unweighted
        data_sources = sources: Vec<DataSource>, "[]", "['law_train=3', 'general.jsonl=1']",
            ByDigest(Other);
        /// how the weights of `data_sources` are kept: rows of scarce sources come again
        /// (`repeat`), some of plentiful ones stay out (`subsample`), or not at all: every row is
        /// there once (`concatenate`)
        data_mixing = mixing: Mixing, "repeat", "subsample", ByDigest(Other);
        /// what those text files are encoded in that are not UTF-8; `utf-8` refuses them
        data_encoding = encoding: TextEncoding, "utf-8", "gb18030", ByDigest(Other);
        /// which sheets of `.xlsx`, `.xls` and `.ods` files are read; none means the only one with
        /// cells
        data_sheets = sheets: Vec<String> as Kind::Texts, "[]", "['Questions 2026']", ByDigest(Other);
        /// what the fields of a sample are called in tables, JSON and Parquet
        columns = columns: Vec<Named> as Kind::Named(PARTS),
            "[]", "['question=frage', 'answer=antwort']", ByDigest(Other);
        /// what `<|im_end|>` and its like are in a text of the data: text like any other (`plain`), or the
        /// special token, as transformers reads it (`keep`)
        special_tokens_in_text = special_tokens: SpecialTokensInText, "plain", "keep", ByDigest(Other);
        /// who speaks under which name in dialogues and lists of turns, `*` standing for any characters
        roles = roles: Vec<Named> as Kind::Named(ROLES), "[]", "['user=甲', 'assistant=乙']",
            ByDigest(Other);
        /// what becomes of preference data (better and worse answers, KTO labels): refused by
        /// name, or only the better answers learned
        preference = preference: Preference, "refuse", "chosen", ByDigest(Other);
        /// what the files are: conversations in the form each has (`auto`), or plain text that is
        /// learned whole (`text`), as in continued pretraining
        data_form = form: DataForm, "auto", "text", ByDigest(Other);
    }

    then |reader| {
        let precision = reader.precision(fp16, bf16);
        let (train_on_inputs, loss_on) = reader.learned(train_on_inputs, loss_on).unzip();
        let formats: Option<FormatConfig> = formats.filter(|formats| {
            let columns = matches!(csv_columns, Some(Some(_))) && !formats.columns.is_empty();
            let sources = matches!(metadata_path, Some(Some(_))) && !formats.sources.is_empty();
            reader.said_once(&[
                ("csv_columns", "columns", columns),
                ("metadata_path", "data_sources", sources),
            ])
        });
    }
}
