//! Keys that belong together, read into one value each.
//!
//! Keeps: every key of a group is read before any value is asked for, so that all problems are found.

use super::super::adapted;
use super::super::adapter::{AdapterConfig, AdapterKind, EMBEDDING_RATE};
use super::super::evaluation::EvaluationConfig;
use super::super::formatted;
use super::super::privacy::{PrivacyConfig, PrivacyMode};
use super::super::private;
use super::super::quantization::QuantizationConfig;
use super::super::run::{LrSchedulerType, TargetModules};
use super::super::stability::{OnNonFinite, StabilityConfig};
use super::super::value;
use super::Reader;

/// Peak, shape, steps and share of warm-up.
type Schedule = (
    Option<f64>,
    Option<LrSchedulerType>,
    Option<u64>,
    Option<f64>,
);

impl Reader<'_> {
    pub(super) fn privacy(&mut self) -> Option<PrivacyConfig> {
        let mode = self.choice::<PrivacyMode>("privacy");
        let kinds = self.take("privacy_kinds", private::kinds);
        let rules = self.take("privacy_rules", private::rules);
        Some(PrivacyConfig {
            mode: mode?,
            kinds: kinds?,
            rules: rules?,
        })
    }

    pub(super) fn evaluation(&mut self) -> Option<EvaluationConfig> {
        let dir = self.optional_path("validation_dir");
        let split = self.real("validation_split");
        let every = self.optional_whole("eval_steps");
        let patience = self.optional_small("early_stopping_patience");
        let threshold = self.real("early_stopping_threshold");
        let prompts = self.take("eval_prompts", formatted::texts);
        let max_new_tokens = self.small("eval_max_new_tokens");
        Some(EvaluationConfig {
            dir: dir?,
            split: split?,
            every: every?,
            patience: patience?,
            threshold: threshold?,
            prompts: prompts?,
            max_new_tokens: max_new_tokens?,
        })
    }

    pub(super) fn adapter(&mut self) -> Option<AdapterConfig> {
        let kind = self.choice::<AdapterKind>("adapter_type");
        let use_dora = self.flag("use_dora");
        let init = self.choice("init_lora_weights");
        let rank_pattern = self.take("rank_pattern", adapted::ranks);
        let alpha_pattern = self.take("alpha_pattern", adapted::alphas);
        let layers = self.take("layers_to_transform", adapted::layers);
        let modules_to_save = self.take("modules_to_save", adapted::names);
        let bias = self.choice("bias");
        let ratio = self.real("loraplus_lr_ratio");
        let embedding = self.real("loraplus_lr_embedding");
        let feedforward_modules = self.take("feedforward_modules", adapted::optional_names);
        let plus = ratio.is_some_and(|ratio| (ratio - 1.0).abs() > 0.0);
        Some(AdapterConfig {
            kind: kind?,
            use_dora: use_dora?,
            init: init?,
            rank_pattern: rank_pattern?,
            alpha_pattern: alpha_pattern?,
            layers: layers?,
            modules_to_save: modules_to_save?,
            bias: bias?,
            loraplus_lr_ratio: plus.then_some(ratio?),
            loraplus_lr_embedding: Some(embedding?)
                .filter(|rate| (rate - EMBEDDING_RATE).abs() > 0.0),
            feedforward_modules: feedforward_modules?,
        })
    }

    /// Names that PEFT takes for the kind of adapter, unless others are written.
    pub(super) fn target_modules(
        &mut self,
        adapter: Option<&AdapterConfig>,
    ) -> Option<TargetModules> {
        let names: &[&str] = match adapter.map(|adapter| adapter.kind) {
            Some(AdapterKind::Ia3) => &["down_proj", "k_proj", "v_proj"],
            _ => &["q_proj", "v_proj"],
        };
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let derived = Some(TargetModules::Names(names));
        self.take_or("target_modules", adapted::modules, derived)
    }

    /// The learning rate's peak, shape and warm-up.
    pub(super) fn schedule(&mut self) -> Schedule {
        (
            self.real("learning_rate"),
            self.choice("lr_scheduler_type"),
            self.whole("warmup_steps"),
            self.real("warmup_ratio"),
        )
    }

    pub(super) fn stability(&mut self) -> Option<StabilityConfig> {
        let on_non_finite = self.choice::<OnNonFinite>("on_non_finite");
        let max_skipped_steps = self.small("max_skipped_steps");
        let initial_loss_scale = self.take("initial_loss_scale", value::power_of_two);
        Some(StabilityConfig {
            on_non_finite: on_non_finite?,
            max_skipped_steps: max_skipped_steps?,
            initial_loss_scale: initial_loss_scale?,
        })
    }

    pub(super) fn quantization(&mut self) -> Option<QuantizationConfig> {
        let form = self.choice("quantization");
        let double = self.flag("quantization_double");
        Some(QuantizationConfig {
            form: form?,
            double: double?,
        })
    }
}
