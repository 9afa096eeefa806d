//! The words that keys take.
//!
//! One list per key, in the order in which they are shown. Not here: what they mean (see `run` and its
//! groups), names of other tools (see `aliases`).

/// Values of `lr_scheduler_type`.
pub(super) const SCHEDULES: &[&str] = &["linear", "cosine", "constant", "constant_with_warmup"];
/// Values of `on_non_finite`.
pub(super) const NON_FINITES: &[&str] = &["skip", "fail"];
/// Values of `overflow`.
pub(super) const OVERFLOWS: &[&str] = &["truncate", "drop", "error"];
/// Values of `quantization`.
pub(super) const QUANTIZATIONS: &[&str] = &["none", "nf4", "int8"];
/// Values of `device_class`.
pub(super) const DEVICE_CLASSES: &[&str] = &["mixed", "strict"];
/// Values of `dialogue`.
pub(super) const DIALOGUES: &[&str] = &["turns", "blocks"];
/// Values of `privacy`.
pub(super) const PRIVACIES: &[&str] = &["off", "scan", "mask"];
/// Values in `privacy_kinds`.
pub(super) const PRIVACY_KINDS: &[&str] = &[
    "ids",
    "passports",
    "phones",
    "bank_cards",
    "emails",
    "addresses",
    "plates",
    "names",
    "medical_records",
    "amounts",
];
/// Values of `data_mixing`.
pub(super) const MIXINGS: &[&str] = &["repeat", "subsample"];
/// Parts in `columns`.
pub(super) const PARTS: &[&str] = &[
    "question",
    "answer",
    "input",
    "system",
    "history",
    "messages",
    "role",
    "content",
    "tools",
    "input_ids",
    "labels",
    "attention_mask",
];
/// Parts in `roles`.
pub(super) const ROLES: &[&str] = &["user", "assistant", "system", "tool"];
/// Values of `loss_on`.
pub(super) const LOSSES: &[&str] = &["response", "all", "last"];
/// Values of `task_type`.
pub(super) const TASKS: &[&str] = &["text-generation"];
/// The value of `target_modules` that is not a name.
pub(super) const ALL_LINEAR: &str = "all-linear";
/// Values of `target_modules` that stand for several modules.
pub(super) const GROUPS: &[&str] = &[ALL_LINEAR, "attention", "mlp"];
/// What stands before a regular expression in `target_modules`.
pub(super) const REGEX: &str = "re:";
/// Values of `adapter_type`.
pub(super) const ADAPTERS: &[&str] = &["lora", "ia3"];
/// Values of `init_lora_weights`.
pub(super) const INITS: &[&str] = &["default", "gaussian", "pissa"];
/// Values of `bias`.
pub(super) const BIASES: &[&str] = &["none", "all", "lora_only"];
/// Values of `activation_checkpointing`.
pub(super) const CHECKPOINTINGS: &[&str] = &["auto", "on", "off"];
