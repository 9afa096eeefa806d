//! Rules over several keys: what contradicts, what is worth a word, what is not built yet.
//!
//! In: the values, and where they were written. Out: errors, notices, refusals; one function per
//! rule. Keeps: a notice never stops a run.

use super::adapter::{AdapterKind, BiasMode, LoraInit};
use super::choices::{LrSchedulerType, Precision, Quantization};
use super::keys::RunConfig;
use super::layers::Layers;
use super::loaded::Origins;
use super::resolved::value;
use crate::error::{Code, Error};

/// Rules that a configuration must keep.
pub(super) fn contradictions(config: &RunConfig, layers: &mut Layers) {
    if config.micro_batch_size > config.batch_size {
        let error = micro_batch_over_batch(config, layers);
        layers.problems.push(error);
    }
    let found = [
        max_workers_under_min(config, layers),
        ride_through_under_failure_detection(config, layers),
        parent_and_init_adapter(config, layers),
        grouped_in_the_files_order(config, layers),
        validation_given_twice(config, layers),
        kinds_that_do_not_go_together(config, layers),
    ];
    layers.problems.extend(found.into_iter().flatten());
}

fn max_workers_under_min(config: &RunConfig, layers: &Layers) -> Option<Error> {
    let (least, most) = (config.min_workers, config.max_workers?);
    (most < least).then(|| {
        let (first, second) = layers.in_writing_order("min_workers", "max_workers");
        let what =
            format!("`max_workers` must be at least `min_workers`, got {most} under {least}");
        Error::new(Code::Contradiction, what)
            .at(layers.place_of(second))
            .why(stands(config, layers, first))
            .why(format!(
                "the run pauses below {least} workers, and no more than {most} would count"
            ))
            .fix(format!("--set max_workers={least}, or more"))
            .fix(format!("--set min_workers={most}, or fewer"))
    })
}

fn ride_through_under_failure_detection(config: &RunConfig, layers: &Layers) -> Option<Error> {
    let (ride, detection) = (config.ride_through, config.failure_detection);
    (ride < detection).then(|| {
        let (first, second) = layers.in_writing_order("failure_detection", "ride_through");
        let what = format!(
            "`ride_through` must be at least `failure_detection`, got {ride} s under {detection} s"
        );
        Error::new(Code::Contradiction, what)
            .at(layers.place_of(second))
            .why(stands(config, layers, first))
            .why("a worker would give up before it can know that the coordinator is away")
            .fix(format!(
                "--set ride_through={detection}, or more, or a smaller `failure_detection`"
            ))
    })
}

fn parent_and_init_adapter(config: &RunConfig, layers: &Layers) -> Option<Error> {
    (config.parent.is_some() && config.init_adapter.is_some()).then(|| {
        let (first, second) = layers.in_writing_order("init_adapter", "parent");
        let what = "`parent` and `init_adapter` are both given";
        Error::new(Code::Contradiction, what)
            .at(layers.place_of(second))
            .why(stands(config, layers, first))
            .why("a run starts from one adapter")
            .fix("--set init_adapter= goes on from `parent`")
            .fix("--set parent= starts from `init_adapter`")
    })
}

fn grouped_in_the_files_order(config: &RunConfig, layers: &Layers) -> Option<Error> {
    (config.group_by_length && !config.shuffle).then(|| {
        let (first, second) = layers.in_writing_order("shuffle", "group_by_length");
        let what = "`group_by_length` is true and `shuffle` is false";
        Error::new(Code::Contradiction, what)
            .at(layers.place_of(second))
            .why(stands(config, layers, first))
            .why("the samples have one order: by length, or that of the files")
            .fix("--set group_by_length=false keeps the files' order")
            .fix("--set shuffle=true groups by length")
    })
}

/// What only LoRA has, beside IA3; what starts elsewhere, beside PiSSA.
fn kinds_that_do_not_go_together(config: &RunConfig, layers: &Layers) -> Option<Error> {
    let adapter = &config.adapter;
    let against = |one: &'static str, keys: &[(&'static str, bool)], why: &str| {
        let (other, _) = keys.iter().find(|(_, set)| *set)?;
        let (first, second) = layers.in_writing_order(one, other);
        let what = format!("`{one}` and `{other}` do not go together");
        Some(
            Error::new(Code::Contradiction, what)
                .at(layers.place_of(second))
                .why(stands(config, layers, first))
                .why(stands(config, layers, second))
                .why(why)
                .fix("remove one of the two"),
        )
    };
    let pissa = adapter.init == LoraInit::Pissa;
    let only_lora = [
        ("use_rslora", config.use_rslora),
        ("use_dora", adapter.use_dora),
        ("init_lora_weights", adapter.init != LoraInit::Default),
        ("rank_pattern", !adapter.rank_pattern.is_empty()),
        ("alpha_pattern", !adapter.alpha_pattern.is_empty()),
        ("loraplus_lr_ratio", adapter.loraplus_lr_ratio.is_some()),
        ("lora_dropout", config.lora_dropout > 0.0),
        ("bias", adapter.bias != BiasMode::None),
    ];
    let elsewhere = [
        ("init_adapter", config.init_adapter.is_some()),
        ("parent", config.parent.is_some()),
        ("use_dora", adapter.use_dora),
        ("bias", adapter.bias != BiasMode::None),
        ("modules_to_save", !adapter.modules_to_save.is_empty()),
    ];
    match config.adapter_type {
        AdapterKind::Ia3 => against("adapter_type", &only_lora, "IA3 has one vector per module"),
        AdapterKind::Lora if pissa => against(
            "init_lora_weights",
            &elsewhere,
            "PiSSA takes the first adapter out of the base model",
        ),
        AdapterKind::Lora => None,
    }
}

/// What a key is and by whom, as in "`ride_through` is 60 by default".
fn stands(config: &RunConfig, layers: &Layers, key: &str) -> String {
    let value = value(config, key).unwrap_or_default();
    format!("`{key}` is {value} by {}", layers.origin_of(key))
}

fn micro_batch_over_batch(config: &RunConfig, layers: &Layers) -> Error {
    let (micro, batch) = (config.micro_batch_size, config.batch_size);
    Error::new(
        Code::OutOfRange,
        format!("`micro_batch_size` must be at most `batch_size`, got {micro} over {batch}"),
    )
    .at(layers.place_of("micro_batch_size"))
    .why("a micro-batch is cut from a batch")
    .fix(format!("write at most {batch}, or remove the key"))
}

/// Advice on values that are allowed and unusual.
pub(super) fn notices(config: &RunConfig, origins: &Origins) -> Vec<String> {
    let chosen = |key: &str| origins.get(key).is_some_and(|origin| origin != "default");
    [
        unusual_learning_rate(config),
        unusual_lora_rank(config),
        loss_scale_without_fp16(config, chosen("initial_loss_scale")),
        max_steps_over_epochs(config, chosen("epochs")),
        warmup_given_twice(config),
        warmup_of_a_constant(config),
        no_pieces_to_share(config),
        nothing_to_pack(config),
        no_scales_in_eight_bits(config),
        evaluates_nothing(config),
        keys_that_the_kind_does_not_know(config),
        patience_without_validation(config),
        prompts_without_validation(config),
        optimizer_without_parent(config, chosen("parent_optimizer") && !chosen("parent")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn unusual_learning_rate(config: &RunConfig) -> Option<String> {
    let rate = config.learning_rate;
    if config.adapter_type == AdapterKind::Ia3 {
        return (!(1e-3..=1e-2).contains(&rate)).then(|| {
            format!("learning_rate {rate:?} is outside 1e-3..1e-2, where IA3 is mostly trained")
        });
    }
    (!(1e-5..=3e-4).contains(&rate)).then(|| {
        format!(
            "learning_rate {rate:?} is outside 1e-5..3e-4, where most adapters are trained; \
             small data and models can need more"
        )
    })
}

fn keys_that_the_kind_does_not_know(config: &RunConfig) -> Option<String> {
    let adapter = &config.adapter;
    (config.adapter_type == AdapterKind::Lora && adapter.feedforward_modules.is_some())
        .then(|| "feedforward_modules says nothing without adapter_type: ia3".to_owned())
}

fn unusual_lora_rank(config: &RunConfig) -> Option<String> {
    let rank = config.lora_rank;
    (config.adapter_type == AdapterKind::Lora && !(4..=64).contains(&rank))
        .then(|| format!("lora_rank {rank} is outside 4..64, where most adapters lie"))
}

fn loss_scale_without_fp16(config: &RunConfig, chosen: bool) -> Option<String> {
    (chosen && config.precision != Precision::Fp16)
        .then(|| "initial_loss_scale is not used: only fp16 has a loss scale".into())
}

fn max_steps_over_epochs(config: &RunConfig, epochs_written: bool) -> Option<String> {
    let steps = config.max_steps?;
    epochs_written.then(|| {
        format!(
            "max_steps {steps} decides the length; epochs {} is not used",
            config.epochs
        )
    })
}

fn warmup_given_twice(config: &RunConfig) -> Option<String> {
    (config.warmup_steps > 0 && config.warmup_ratio > 0.0).then(|| {
        format!(
            "warmup_steps {} decides the warm-up; warmup_ratio {} is not used",
            config.warmup_steps, config.warmup_ratio
        )
    })
}

fn warmup_of_a_constant(config: &RunConfig) -> Option<String> {
    let warmup = config.warmup_steps > 0 || config.warmup_ratio > 0.0;
    (warmup && config.lr_scheduler_type == LrSchedulerType::Constant)
        .then(|| "lr_scheduler_type constant has no warm-up; constant_with_warmup has".to_owned())
}

fn no_pieces_to_share(config: &RunConfig) -> Option<String> {
    let pieces = micro_batches_per_step(config);
    (u64::from(config.min_workers) > pieces).then(|| {
        format!(
            "min_workers {} is more than the {pieces} micro-batches of a step: some will idle; a \
             larger batch_size or a smaller micro_batch_size would use them",
            config.min_workers
        )
    })
}

fn nothing_to_pack(config: &RunConfig) -> Option<String> {
    (config.packing && config.micro_batch_size == 1).then(|| {
        "packing changes nothing: micro_batch_size is 1, and one sample alone has no padding"
            .to_owned()
    })
}

fn no_scales_in_eight_bits(config: &RunConfig) -> Option<String> {
    let quantization = &config.quantization;
    (!quantization.double && quantization.form != Quantization::Nf4).then(|| {
        "quantization_double false is not used: only `quantization: nf4` has blocks with scales"
            .to_owned()
    })
}

fn validation_given_twice(config: &RunConfig, layers: &Layers) -> Option<Error> {
    (config.evaluation.dir.is_some() && config.evaluation.split > 0.0).then(|| {
        let (first, second) = layers.in_writing_order("validation_dir", "validation_split");
        let what = "`validation_dir` and `validation_split` are both given";
        Error::new(Code::Contradiction, what)
            .at(layers.place_of(second))
            .why(stands(config, layers, first))
            .why(
                "the validation data is either a folder of its own or a share of the training data",
            )
            .fix("--set validation_split=0 evaluates `validation_dir`")
            .fix("--set validation_dir= keeps a share out of the training data")
    })
}

fn prompts_without_validation(config: &RunConfig) -> Option<String> {
    let evaluation = &config.evaluation;
    (!evaluation.prompts.is_empty() && !evaluation.is_on()).then(|| {
        "eval_prompts are not asked: nothing is evaluated without `validation_dir` or \
         `validation_split`"
            .to_owned()
    })
}

fn patience_without_validation(config: &RunConfig) -> Option<String> {
    let patience = config.evaluation.patience?;
    (!config.evaluation.is_on()).then(|| {
        format!(
            "early_stopping_patience {patience} is not used: nothing is evaluated without \
             `validation_dir` or `validation_split`"
        )
    })
}

fn evaluates_nothing(config: &RunConfig) -> Option<String> {
    let every = config.evaluation.every?;
    (!config.evaluation.is_on()).then(|| {
        format!(
            "eval_steps {every} is not used: there is no `validation_dir` or `validation_split`"
        )
    })
}

/// Where `parent` is written as nothing, as in `resolved.yaml`, nobody forgot it.
fn optimizer_without_parent(config: &RunConfig, written_alone: bool) -> Option<String> {
    (config.parent.is_none() && written_alone).then(|| {
        format!(
            "parent_optimizer {} is not used: there is no `parent`",
            config.parent_optimizer
        )
    })
}

/// Micro-batches in a whole optimizer step: the global batch cut by `micro_batch_size`.
#[must_use]
pub fn micro_batches_per_step(config: &RunConfig) -> u64 {
    config
        .global_batch()
        .div_ceil(u64::from(config.micro_batch_size.max(1)))
}
