//! Names by which other tools call our keys, accepted with a notice.
//!
//! In: a key as it is written in a file or behind `--set`. Out: the [`Alias`], its value as ours,
//! and the notice that names our key.
//! Keeps: an alias means exactly one key of the table, with the same values or with values that
//! translate without loss; what was written under an alias is the same configuration, with the same
//! identity, as written under our key. `micro_batch_size` is ours and never an alias.
//! Not here: names that only resemble ours (see `guess`), whole files of other tools (see the
//! coordinator's `import`).

use super::adapter::ALL_LINEAR;
use super::document::{Item, Node};

/// How a value under an alias is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// The value is read as under our key.
    Same,
    /// `true` is a word of ours, `false` is `none`.
    FlagOf(&'static str),
    /// 4 is `nf4`, 8 is `int8`.
    Bits,
    /// `all` is `all-linear`, and commas separate names.
    ModulesInText,
    /// `true` is `on`, `false` is `off`.
    Switch,
}

/// A key of another tool that is read as one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alias {
    /// Name of the key in that tool.
    pub name: &'static str,
    /// Our key that the alias stands for.
    pub key: &'static str,
    /// The tool that has this name.
    pub of: &'static str,
    /// How its value is read.
    pub reads: Reads,
    /// What else the notice says.
    pub note: &'static str,
}

const fn alias(name: &'static str, key: &'static str, of: &'static str) -> Alias {
    Alias {
        name,
        key,
        of,
        reads: Reads::Same,
        note: "",
    }
}

/// Every accepted name, in the order of our keys.
pub(super) const ALIASES: &[Alias] = &[
    alias("model_name_or_path", "base_model", "LLaMA-Factory, Trainer"),
    alias(
        "pretrained_model_name_or_path",
        "base_model",
        "transformers, diffusers",
    ),
    alias("base_model_name_or_path", "base_model", "PEFT"),
    alias("r", "lora_rank", "PEFT"),
    alias("lora_r", "lora_rank", "Axolotl"),
    alias("network_dim", "lora_rank", "kohya"),
    alias("network_alpha", "lora_alpha", "kohya"),
    Alias {
        reads: Reads::ModulesInText,
        note: "`all` is `all-linear` here, and names stand in a list",
        ..alias("lora_target", "target_modules", "LLaMA-Factory")
    },
    alias("lora_target_modules", "target_modules", "Axolotl"),
    alias("peft_use_rslora", "use_rslora", "Axolotl"),
    alias("lora_model_dir", "init_adapter", "Axolotl"),
    Alias {
        note: "samples per batch, however many workers there are; not per device",
        ..alias(
            "per_device_train_batch_size",
            "batch_size",
            "LLaMA-Factory, Trainer",
        )
    },
    alias("num_train_epochs", "epochs", "LLaMA-Factory, Trainer"),
    alias("num_epochs", "epochs", "Axolotl"),
    alias("max_train_epochs", "epochs", "kohya"),
    alias("max_train_steps", "max_steps", "kohya, diffusers"),
    alias("lr_scheduler", "lr_scheduler_type", "Axolotl"),
    Alias {
        reads: Reads::FlagOf("nf4"),
        note: "always NF4, in blocks of 64",
        ..alias("load_in_4bit", "quantization", "transformers, Axolotl")
    },
    Alias {
        reads: Reads::FlagOf("int8"),
        note: "inputs stay as they are",
        ..alias("load_in_8bit", "quantization", "transformers, Axolotl")
    },
    Alias {
        reads: Reads::Bits,
        note: "4 is `nf4`, 8 is `int8`",
        ..alias("quantization_bit", "quantization", "LLaMA-Factory")
    },
    alias(
        "bnb_4bit_use_double_quant",
        "quantization_double",
        "transformers",
    ),
    alias(
        "double_quantization",
        "quantization_double",
        "LLaMA-Factory",
    ),
    alias("cutoff_len", "max_seq_length", "LLaMA-Factory"),
    alias("sequence_len", "max_seq_length", "Axolotl"),
    alias("max_length", "max_seq_length", "TRL"),
    Alias {
        reads: Reads::Switch,
        note: "`true` is `on` here",
        ..alias(
            "gradient_checkpointing",
            "activation_checkpointing",
            "Trainer, LLaMA-Factory, Axolotl, kohya",
        )
    },
    alias("peft_use_dora", "use_dora", "Axolotl"),
    alias("lora_modules_to_save", "modules_to_save", "Axolotl"),
    alias("additional_target", "modules_to_save", "LLaMA-Factory"),
    alias("peft_layers_to_transform", "layers_to_transform", "Axolotl"),
    alias("train_on_prompt", "train_on_inputs", "LLaMA-Factory"),
];

/// The alias of this name.
pub(super) fn find_alias(name: &str) -> Option<&'static Alias> {
    ALIASES.iter().find(|alias| alias.name == name)
}

impl Alias {
    /// The value as it would be written under our key; its place stays.
    pub(super) fn translate(&self, value: Item) -> Item {
        match (self.reads, &value.node) {
            (Reads::ModulesInText, Node::Text(text)) => Item {
                node: modules_in_text(text, value.mark),
                mark: value.mark,
            },
            (Reads::FlagOf(word), Node::Flag(on)) => Item {
                node: Node::Text(if *on { word } else { "none" }.into()),
                mark: value.mark,
            },
            (Reads::Bits, Node::Whole(bits @ (4 | 8))) => Item {
                node: Node::Text(if *bits == 4 { "nf4" } else { "int8" }.into()),
                mark: value.mark,
            },
            (Reads::Switch, Node::Flag(flag)) => Item {
                node: Node::Text(if *flag { "on" } else { "off" }.into()),
                mark: value.mark,
            },
            _ => value,
        }
    }

    /// What is said when it is met at `origin`.
    pub(super) fn notice(&self, origin: &str) -> String {
        let note = if self.note.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.note)
        };
        format!(
            "`{}` ({origin}) is read as `{}`; write `{}`{note}",
            self.name, self.key, self.key
        )
    }
}

fn modules_in_text(text: &str, mark: super::document::Mark) -> Node {
    if text.trim() == "all" {
        return Node::Text(ALL_LINEAR.into());
    }
    if !text.contains(',') {
        return Node::Text(text.trim().into());
    }
    let name = |part: &str| Item {
        node: Node::Text(part.trim().into()),
        mark,
    };
    Node::List(text.split(',').map(name).collect())
}
