//! The table of all keys of LLaMA-Factory and Axolotl, and what becomes of each.
//!
//! In: a key of a file. Out: a line, a remark, or a call of the function that reads it.
//! Keeps: a key that is not in the table becomes a remark too. The table may name a key of ours that this version does
//! not have; `work` then makes a remark.
//! Not here: the functions for keys that need more than their own value (see `llama_factory`, `axolotl`, `values`).

use shared::config::{Item, Node};
use shared::error::Result;

use super::work::{SourceKey, Work};
use super::{Outcome, Tool, axolotl, axolotl_data, llama_factory as factory, values};

/// Which tools have the key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Factory,
    Axolotl,
    Both,
}

/// What becomes of a key.
enum Rule {
    /// The key of ours that takes the same value.
    Same(&'static str),
    /// The function that reads the key.
    Read(fn(&mut Work<'_>, SourceKey<'_>) -> Result<()>),
    /// The reasons why there is no counterpart, and what happens instead.
    Gone(&'static str, &'static str),
}

use Owner::{Axolotl, Both, Factory};
use Rule::{Gone, Read, Same};

const SPEED: &str = "it decides speed and memory, not the result";
const OWN: &str = "`coordinator` and `worker` do it their own way";
const TRACK: &str = "there is no upload to trackers";
const CURVES: &str =
    "curves are in trainer_state.json, metrics.jsonl and TensorBoard files in `output_dir`";
const MANY: &str = "how many devices take part is not configured";
const JOIN: &str = "every `worker join` adds one; the result does not depend on it";
const PLAIN: &str = "plain LoRA is trained";
const VARIANT: &str = "this variant of LoRA is not built";
const HUB: &str = "nothing is uploaded or downloaded";
const LOCAL: &str = "the adapter is in `output_dir`; models and data are local folders";
const CACHE: &str = "prepared data is kept and reused by its content";
const NOTHING_TO_SET: &str = "there is nothing to set";
const MODEL: &str = "the model is chosen by its config.json";
const MEDIA: &str = "only text is trained";
const NO_EVAL: &str = "there is no counterpart for how evaluation is done";
const EVAL_OFF: &str = "see the keys of validation in docs/reference/configuration.md";
const TOKENS: &str = "the tokenizer is used as it is in `base_model`";
const ALL_ROWS: &str = "all rows are read";

/// Every known key of both tools, with what becomes of it.
#[rustfmt::skip]
const RULES: &[(&str, Owner, Rule)] = &[
    // Model.
    ("model_name_or_path", Factory, Read(values::base_model)),
    ("base_model", Axolotl, Read(values::base_model)),
    ("adapter_name_or_path", Factory, Read(factory::adapter)),
    ("lora_model_dir", Axolotl, Same("init_adapter")),
    ("trust_remote_code", Both, Gone("no code of a model is run", MODEL)),
    ("model_type", Axolotl, Gone(NOTHING_TO_SET, MODEL)),
    ("tokenizer_type", Axolotl, Gone(NOTHING_TO_SET, TOKENS)),
    ("is_llama_derived_model", Axolotl, Gone(NOTHING_TO_SET, MODEL)),
    ("is_mistral_derived_model", Axolotl, Gone(NOTHING_TO_SET, MODEL)),
    ("tokenizer_use_fast", Axolotl, Gone(NOTHING_TO_SET, TOKENS)),
    ("use_fast_tokenizer", Factory, Gone(NOTHING_TO_SET, TOKENS)),
    ("special_tokens", Axolotl, Gone("tokens are not added or changed", TOKENS)),
    ("tokens", Axolotl, Gone("tokens are not added or changed", TOKENS)),
    ("add_tokens", Factory, Gone("tokens are not added or changed", TOKENS)),
    ("add_special_tokens", Factory, Gone("tokens are not added or changed", TOKENS)),
    ("resize_vocab", Factory, Gone("tokens are not added or changed", TOKENS)),
    ("model_revision", Factory, Gone(HUB, LOCAL)),
    ("cache_dir", Factory, Gone(HUB, LOCAL)),
    ("rope_scaling", Factory, Gone("positions are scaled as config.json says", MODEL)),
    ("load_in_4bit", Axolotl, Read(axolotl::load_in_4bit)),
    ("load_in_8bit", Axolotl, Read(axolotl::load_in_8bit)),
    ("quantization_bit", Factory, Read(factory::quantization_bit)),
    ("quantization_method", Factory, Read(factory::quantization_method)),
    ("quantization_type", Factory, Read(factory::quantization_type)),
    ("double_quantization", Factory, Same("quantization_double")),
    // Method.
    ("stage", Factory, Read(factory::stage)),
    ("do_train", Factory, Read(factory::do_train)),
    ("finetuning_type", Factory, Read(factory::finetuning_type)),
    ("adapter", Axolotl, Read(axolotl::adapter)),
    ("rl", Axolotl, Read(axolotl::rl)),
    ("lora_rank", Factory, Same("lora_rank")),
    ("lora_r", Axolotl, Same("lora_rank")),
    ("lora_alpha", Both, Same("lora_alpha")),
    ("lora_dropout", Both, Same("lora_dropout")),
    ("lora_target", Factory, Read(factory::lora_target)),
    ("lora_target_modules", Axolotl, Read(axolotl::target_modules)),
    ("lora_target_linear", Axolotl, Read(axolotl::target_linear)),
    ("lora_fan_in_fan_out", Axolotl, Gone(VARIANT, PLAIN)),
    ("use_rslora", Factory, Same("use_rslora")),
    ("peft_use_rslora", Axolotl, Same("use_rslora")),
    ("use_dora", Factory, Same("use_dora")),
    ("peft_use_dora", Axolotl, Same("use_dora")),
    ("pissa_init", Factory, Read(values::pissa)),
    ("loftq_config", Axolotl, Gone(VARIANT, PLAIN)),
    ("loraplus_lr_ratio", Both, Same("loraplus_lr_ratio")),
    ("loraplus_lr_embedding", Both, Same("loraplus_lr_embedding")),
    ("peft_layers_to_transform", Axolotl, Same("layers_to_transform")),
    ("additional_target", Factory, Read(values::whole_modules)),
    ("lora_modules_to_save", Axolotl, Read(values::whole_modules)),
    ("create_new_adapter", Factory, Gone("two adapters are not stacked", "with `init_adapter` that adapter is trained on")),
    // Data.
    ("dataset", Factory, Read(factory::dataset)),
    ("dataset_dir", Factory, Read(factory::dataset_dir)),
    ("datasets", Axolotl, Read(axolotl_data::datasets)),
    ("pretraining_dataset", Axolotl, Read(axolotl::pretraining)),
    ("excess_length_strategy", Axolotl, Read(axolotl::too_long)),
    ("shuffle_merged_datasets", Axolotl, Gone("the order of rows is drawn from `seed` in every epoch", "see `shuffle`")),
    ("dataset_exact_deduplication", Axolotl, Gone("rows that are equal stay", "`coordinator data check` names them")),
    ("template", Factory, Read(values::template)),
    ("chat_template", Axolotl, Read(values::template)),
    ("default_system_message", Axolotl, Gone("no system message is added", "write it into the data")),
    ("default_system", Factory, Gone("no system message is added", "write it into the data")),
    ("cutoff_len", Factory, Same("max_seq_length")),
    ("sequence_len", Axolotl, Same("max_seq_length")),
    ("max_samples", Factory, Gone("rows are not left out", ALL_ROWS)),
    ("train_on_prompt", Factory, Same("train_on_inputs")),
    ("train_on_inputs", Axolotl, Same("train_on_inputs")),
    ("mask_history", Factory, Read(factory::mask_history)),
    ("packing", Factory, Read(values::packing)),
    ("neat_packing", Factory, Read(factory::neat_packing)),
    ("sample_packing", Axolotl, Read(values::packing)),
    ("pad_to_sequence_len", Axolotl, Gone(SPEED, "rows are padded to the longest of their micro-batch")),
    ("eval_sample_packing", Axolotl, Gone(SPEED, OWN)),
    ("group_by_length", Both, Same("group_by_length")),
    ("mix_strategy", Factory, Read(factory::mix_strategy)),
    ("interleave_probs", Factory, Read(factory::interleave_probs)),
    ("streaming", Factory, Gone("data is prepared once, before the first step", CACHE)),
    ("overwrite_cache", Factory, Gone(CACHE, NOTHING_TO_SET)),
    ("tokenized_path", Factory, Gone(CACHE, NOTHING_TO_SET)),
    ("dataset_prepared_path", Axolotl, Gone(CACHE, NOTHING_TO_SET)),
    ("preprocessing_num_workers", Factory, Gone(SPEED, OWN)),
    ("dataset_processes", Axolotl, Gone(SPEED, OWN)),
    ("dataloader_num_workers", Both, Gone(SPEED, OWN)),
    ("media_dir", Factory, Gone(MEDIA, ALL_ROWS)),
    ("image_max_pixels", Factory, Gone(MEDIA, ALL_ROWS)),
    ("video_max_pixels", Factory, Gone(MEDIA, ALL_ROWS)),
    // Batches and length.
    ("per_device_train_batch_size", Factory, Read(values::batch_size)),
    ("micro_batch_size", Axolotl, Read(values::batch_size)),
    ("batch_size", Axolotl, Read(axolotl::batch_size)),
    ("gradient_accumulation_steps", Both, Same("gradient_accumulation_steps")),
    ("num_train_epochs", Factory, Same("epochs")),
    ("num_epochs", Axolotl, Same("epochs")),
    ("max_steps", Both, Same("max_steps")),
    // Optimizer.
    ("learning_rate", Both, Same("learning_rate")),
    ("lr_scheduler_type", Factory, Same("lr_scheduler_type")),
    ("lr_scheduler", Axolotl, Same("lr_scheduler_type")),
    ("warmup_steps", Both, Read(values::warmup_steps)),
    ("warmup_ratio", Both, Same("warmup_ratio")),
    ("weight_decay", Both, Same("weight_decay")),
    ("max_grad_norm", Both, Same("max_grad_norm")),
    ("optim", Factory, Read(values::optimizer)),
    ("optimizer", Axolotl, Read(values::optimizer)),
    ("adam_beta1", Both, Read(values::beta1)),
    ("adam_beta2", Both, Read(values::beta2)),
    ("adam_epsilon", Both, Read(values::epsilon)),
    ("neftune_noise_alpha", Both, Gone("no noise is added to embeddings", "it is trained without")),
    ("label_smoothing_factor", Factory, Gone("labels are not smoothed", "it is trained without")),
    ("seed", Both, Same("seed")),
    ("data_seed", Factory, Gone("there is one seed", "`seed` decides the order too")),
    // Precision, memory, speed.
    ("bf16", Both, Read(values::bf16)),
    ("pure_bf16", Factory, Read(values::bf16)),
    ("fp16", Both, Read(values::fp16)),
    ("tf32", Both, Gone("TF32 is always off, so that bytes repeat", "float32 and bf16 stay as they are")),
    ("gradient_checkpointing", Both, Read(values::checkpointing)),
    ("gradient_checkpointing_kwargs", Both, Gone(SPEED, OWN)),
    ("disable_gradient_checkpointing", Factory, Gone(SPEED, OWN)),
    ("flash_attn", Factory, Gone(SPEED, OWN)),
    ("flash_attention", Axolotl, Gone(SPEED, OWN)),
    ("sdp_attention", Axolotl, Gone(SPEED, OWN)),
    ("xformers_attention", Axolotl, Gone(SPEED, OWN)),
    ("enable_liger_kernel", Factory, Gone(SPEED, OWN)),
    ("use_unsloth", Factory, Gone(SPEED, OWN)),
    ("lora_mlp_kernel", Axolotl, Gone(SPEED, OWN)),
    ("lora_qkv_kernel", Axolotl, Gone(SPEED, OWN)),
    ("lora_o_kernel", Axolotl, Gone(SPEED, OWN)),
    ("plugins", Axolotl, Gone("plugins are not loaded", OWN)),
    ("torch_compile", Both, Gone(SPEED, OWN)),
    ("deepspeed", Both, Gone(MANY, JOIN)),
    ("fsdp", Both, Gone(MANY, JOIN)),
    ("fsdp_config", Both, Gone(MANY, JOIN)),
    ("ddp_timeout", Factory, Gone(MANY, "`failure_detection` is the one time to set")),
    ("local_rank", Axolotl, Gone(MANY, JOIN)),
    ("device_map", Axolotl, Gone(MANY, JOIN)),
    // Validation.
    ("val_size", Factory, Same("validation_split")),
    ("val_set_size", Axolotl, Same("validation_split")),
    ("eval_dataset", Factory, Gone("data for validation is not looked up by name", "point `validation_dir` at it, where `coordinator schema` lists that key")),
    ("test_datasets", Axolotl, Gone("data for validation is not looked up by name", "point `validation_dir` at it, where `coordinator schema` lists that key")),
    ("eval_steps", Both, Same("eval_steps")),
    ("early_stopping_patience", Axolotl, Same("early_stopping_patience")),
    ("early_stopping_steps", Factory, Same("early_stopping_patience")),
    ("eval_strategy", Both, Read(values::strategy)),
    ("evaluation_strategy", Both, Read(values::strategy)),
    ("evals_per_epoch", Axolotl, Gone("evaluations are counted in steps", EVAL_OFF)),
    ("per_device_eval_batch_size", Factory, Gone(NO_EVAL, EVAL_OFF)),
    ("eval_batch_size", Axolotl, Gone(NO_EVAL, EVAL_OFF)),
    ("eval_table_size", Axolotl, Gone(NO_EVAL, EVAL_OFF)),
    ("eval_max_new_tokens", Axolotl, Gone(NO_EVAL, EVAL_OFF)),
    ("load_best_model_at_end", Both, Gone(NO_EVAL, EVAL_OFF)),
    ("metric_for_best_model", Both, Gone(NO_EVAL, EVAL_OFF)),
    ("do_eval", Factory, Gone(NO_EVAL, EVAL_OFF)),
    ("do_predict", Factory, Gone("only training is imported", "`worker generate` answers")),
    // Output.
    ("output_dir", Both, Same("output_dir")),
    ("overwrite_output_dir", Factory, Gone("it is not a key", "`up --overwrite` starts anew")),
    ("logging_steps", Both, Same("logging_steps")),
    ("save_steps", Both, Same("save_steps")),
    ("save_strategy", Both, Read(values::strategy)),
    ("logging_strategy", Factory, Read(values::strategy)),
    ("saves_per_epoch", Axolotl, Gone("checkpoints are counted in steps", "`save_steps`, 500 unless you write it")),
    ("save_total_limit", Both, Same("save_total_limit")),
    ("save_only_model", Factory, Gone("a checkpoint always holds what a run needs to go on", NOTHING_TO_SET)),
    ("save_safetensors", Both, Gone("safetensors is the one format", NOTHING_TO_SET)),
    ("resume_from_checkpoint", Both, Gone("checkpoints of other tools cannot be continued", "the run begins at step 1; `init_adapter` starts from a PEFT folder")),
    ("auto_resume_from_checkpoints", Axolotl, Gone("an `output_dir` with an unfinished run always continues", NOTHING_TO_SET)),
    ("plot_loss", Factory, Gone("no picture is drawn", CURVES)),
    ("report_to", Both, Gone(TRACK, CURVES)),
    ("run_name", Both, Gone(TRACK, CURVES)),
    ("wandb_project", Axolotl, Gone(TRACK, CURVES)),
    ("wandb_entity", Axolotl, Gone(TRACK, CURVES)),
    ("wandb_watch", Axolotl, Gone(TRACK, CURVES)),
    ("wandb_name", Axolotl, Gone(TRACK, CURVES)),
    ("wandb_run_id", Axolotl, Gone(TRACK, CURVES)),
    ("wandb_log_model", Axolotl, Gone(TRACK, CURVES)),
    ("mlflow_experiment_name", Axolotl, Gone(TRACK, CURVES)),
    ("use_swanlab", Factory, Gone(TRACK, CURVES)),
    ("push_to_hub", Both, Gone(HUB, LOCAL)),
    ("hub_model_id", Both, Gone(HUB, LOCAL)),
    ("hub_strategy", Both, Gone(HUB, LOCAL)),
    ("include_num_input_tokens_seen", Factory, Gone("tokens are always counted", CURVES)),
    ("debug", Axolotl, Gone("`-v` on the command line tells more", OWN)),
    ("strict", Axolotl, Gone("an unknown key is always an error", NOTHING_TO_SET)),
];

/// The tool that alone has the key; `None` for a key of both or of neither.
pub(super) fn only_of(name: &str) -> Option<Tool> {
    RULES
        .iter()
        .find(|rule| rule.0 == name)
        .and_then(|rule| match rule.1 {
            Factory => Some(Tool::LlamaFactory),
            Axolotl => Some(Tool::Axolotl),
            Both => None,
        })
}

/// Applies the table's rule to one key: adds a line, a remark, or both.
pub(super) fn apply(work: &mut Work<'_>, name: &str, key: &Item, value: &Item) -> Result<()> {
    let at = SourceKey { name, key, value };
    let Some((_, owner, rule)) = RULES.iter().find(|rule| rule.0 == name) else {
        let why = format!("{} is not known here to have this key", work.tool.name());
        work.say(
            Outcome::Unknown,
            at,
            &why,
            "nothing of it is done; look up what it did",
        );
        return Ok(());
    };
    let mine = match owner {
        Both => true,
        Factory => work.tool == Tool::LlamaFactory,
        Axolotl => work.tool == Tool::Axolotl,
    };
    if !mine {
        let why = format!(
            "this is a key of the other tool, not of {}",
            work.tool.name()
        );
        work.say(Outcome::Unknown, at, &why, "nothing of it is done");
        return Ok(());
    }
    match rule {
        Read(read) => read(work, at)?,
        _ if value.node == Node::Null => work.nothing(at),
        Same(ours) => {
            work.put(ours, &value.node, at)?;
        }
        Gone(why, instead) => work.gone(at, why, instead),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_once_in_the_table() {
        for (at, rule) in RULES.iter().enumerate() {
            assert!(
                !RULES[at + 1..].iter().any(|other| other.0 == rule.0),
                "{}",
                rule.0
            );
        }
    }

    #[test]
    fn micro_batch_size_is_axolotls_batch_and_never_ours() {
        let ours = RULES
            .iter()
            .filter(|rule| matches!(rule.2, Same("micro_batch_size")));
        assert_eq!(ours.count(), 0);
    }
}
