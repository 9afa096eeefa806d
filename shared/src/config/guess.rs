//! What somebody meant by a key nobody knows.
//!
//! In: the key as written. Out: the key of the table that comes nearest, and how sure that is.
//! Names that resemble ours, or mean more than one thing elsewhere, are known only to point at ours;
//! those that mean exactly one key are accepted (see `aliases`), and pointed at where they are misspelt.

use super::aliases::find_alias;
use super::keys::{find, keys};
use super::look_alike;
use super::words::nearest;

/// A guess at what was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// This key, but for characters that look alike or cannot be seen.
    Same(&'static str),
    /// Another tool's name for this key.
    Alias(&'static str),
    /// Very likely a slip.
    Likely(&'static str),
    /// Only the nearest of all.
    Nearest(&'static str),
}

/// Other tools' names and ours.
const ALIASES: &[(&str, &str)] = &[
    ("rank", "lora_rank"),
    ("lora_dim", "lora_rank"),
    ("alpha", "lora_alpha"),
    ("dropout", "lora_dropout"),
    ("network_dropout", "lora_dropout"),
    ("lora_modules", "target_modules"),
    ("rslora", "use_rslora"),
    ("train_batch_size", "batch_size"),
    ("per_device_batch_size", "batch_size"),
    ("gradient_accumulation", "gradient_accumulation_steps"),
    ("grad_accumulation_steps", "gradient_accumulation_steps"),
    ("accumulation_steps", "gradient_accumulation_steps"),
    ("train_epochs", "epochs"),
    ("num_train_steps", "max_steps"),
    ("lr", "learning_rate"),
    ("scheduler", "lr_scheduler_type"),
    ("lr_warmup_steps", "warmup_steps"),
    ("num_warmup_steps", "warmup_steps"),
    ("clip_grad_norm", "max_grad_norm"),
    ("gradient_clipping", "max_grad_norm"),
    ("sequence_length", "max_seq_length"),
    ("seq_length", "max_seq_length"),
    ("max_seq_len", "max_seq_length"),
    ("model", "base_model"),
    ("model_name", "base_model"),
    ("model_path", "base_model"),
    ("dataset", "train_data_dir"),
    ("dataset_path", "train_data_dir"),
    ("data_dir", "train_data_dir"),
    ("data_path", "train_data_dir"),
    ("train_data", "train_data_dir"),
    ("train_file", "train_data_dir"),
    ("output", "output_dir"),
    ("output_path", "output_dir"),
    ("task", "task_type"),
    ("half_precision", "fp16"),
    ("bfloat16", "bf16"),
    ("random_seed", "seed"),
    ("device_type", "device"),
    ("save_every", "save_steps"),
    ("save_every_n_steps", "save_steps"),
    ("log_steps", "logging_steps"),
    ("log_every", "logging_steps"),
    ("max_checkpoints", "save_total_limit"),
    ("resume", "resume_from_checkpoint"),
    ("adapter_name_or_path", "init_adapter"),
    ("datasets", "data_sources"),
    ("interleave_probs", "data_sources"),
    ("mix_strategy", "data_mixing"),
];

impl Guess {
    /// The key that was probably meant.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Same(key) | Self::Alias(key) | Self::Likely(key) | Self::Nearest(key) => key,
        }
    }

    /// Sure enough to say what happens without the key.
    pub(super) fn is_likely(self) -> bool {
        !matches!(self, Self::Nearest(_))
    }
}

/// Guesses what was meant.
pub(super) fn guess(written: &str) -> Guess {
    let meant = look_alike::meant(written);
    if meant != written
        && let Some(key) = find(meant.trim())
    {
        return Guess::Same(key.name);
    }
    let name = meant.trim().to_lowercase().replace(['-', ' '], "_");
    if let Some((_, key)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Guess::Alias(key);
    }
    if let Some(alias) = find_alias(&name) {
        return Guess::Alias(alias.key);
    }
    let (key, likeness) = nearest(&name, keys().map(|key| key.name)).unwrap_or(("", 0.0));
    if likeness >= 0.7 {
        Guess::Likely(key)
    } else {
        Guess::Nearest(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key() {
        for (written, key) in [
            ("lora_rnak", "lora_rank"),
            ("learnin_rate", "learning_rate"),
            ("Batch-Size", "batch_size"),
            ("targetmodules", "target_modules"),
            ("base_modle", "base_model"),
            ("output-dir", "output_dir"),
        ] {
            assert_eq!(guess(written), Guess::Likely(key), "{written}");
        }
    }

    #[test]
    fn the_names_of_other_tools_point_at_ours() {
        assert_eq!(guess("Num-Train-Epochs"), Guess::Alias("epochs"));
        assert_eq!(guess("train_epochs"), Guess::Alias("epochs"));
        assert_eq!(guess("LR"), Guess::Alias("learning_rate"));
        assert_eq!(guess("per_device_batch_size"), Guess::Alias("batch_size"));
    }

    #[test]
    fn a_key_with_characters_that_look_alike_is_that_key() {
        for written in [
            "lora_rank\u{200b}",
            "lоra_rank",
            "ｌora_rank",
            "lora\u{ff3f}rank",
            "\u{3000}lora_rank",
        ] {
            assert_eq!(guess(written), Guess::Same("lora_rank"), "{written}");
        }
    }

    #[test]
    fn a_strange_key_is_only_nearest_to_something() {
        assert!(!guess("gradient_offloading").is_likely());
        assert!(!guess("x").is_likely());
    }

    #[test]
    fn every_alias_points_at_a_key_and_hides_none() {
        for (alias, key) in ALIASES {
            assert!(super::super::keys::find(key).is_some(), "{key}");
            assert!(super::super::keys::find(alias).is_none(), "{alias}");
            assert!(find_alias(alias).is_none(), "{alias}");
        }
    }
}
