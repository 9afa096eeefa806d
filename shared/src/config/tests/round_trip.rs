//! What is written as `resolved.yaml` loads to the same configuration.

use std::path::{Path, PathBuf};

use proptest::option::of;
use proptest::prelude::*;

use super::super::document::Source;
use super::super::load::resolve;
use super::super::*;
use super::{load_text, with};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_/.]{1,12}",
        "[ -~]{1,12}",
        "\\PC{1,8}",
        any::<String>().prop_filter("not empty", |text| !text.is_empty()),
        Just("null".to_owned()),
        Just("yes".to_owned()),
        Just("1e-4".to_owned()),
        Just("律师：# a: b".to_owned()),
    ]
}

fn path() -> impl Strategy<Value = PathBuf> {
    text()
        .prop_filter("an address", |text| !text.contains("://"))
        .prop_map(|text| {
            Path::new("/p")
                .join(text.trim_start_matches('/'))
                .components()
                .collect()
        })
}

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![
        1e-300..1e300_f64,
        1e-6..1.0_f64,
        (1u32..1000).prop_map(f64::from)
    ]
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1.0_f64, Just(0.0), Just(1e-9)]
}

fn modules() -> impl Strategy<Value = TargetModules> {
    prop_oneof![
        Just(TargetModules::AllLinear),
        Just(TargetModules::Attention),
        Just(TargetModules::Mlp),
        Just(TargetModules::Regex(r".*\.(q|v)_proj".into())),
        proptest::collection::btree_set("[A-Za-z0-9_.-]{1,8}", 1..4)
            .prop_filter("the word for all", |names| [
                "all-linear",
                "attention",
                "mlp"
            ]
            .iter()
            .all(|word| !names.contains(*word)))
            .prop_map(|names| TargetModules::Names(names.into_iter().collect())),
    ]
}

prop_compose! {
    fn adapters()(
        (dora, gaussian, bias) in (any::<bool>(), any::<bool>(), any::<bool>()),
        ranks in proptest::collection::btree_map("[a-z_.]{1,6}x", 1u32..=65_536, 0..3),
        alphas in proptest::collection::btree_map("[a-z_.]{1,6}x", positive(), 0..3),
        layers in of(proptest::collection::btree_set(0u32..100, 1..4)),
        whole in proptest::collection::btree_set("[a-z_]{1,6}x", 0..3),
        (ratio, rate) in (of(1.5..100.0_f64), of(1e-5..1.0_f64)),
    ) -> AdapterConfig {
        AdapterConfig {
            use_dora: dora,
            init: if gaussian { LoraInit::Gaussian } else { LoraInit::Default },
            rank_pattern: ranks.into_iter().collect(),
            alpha_pattern: alphas.into_iter().collect(),
            layers: layers.map(|layers| layers.into_iter().collect()),
            modules_to_save: whole.into_iter().collect(),
            bias: if bias { BiasMode::LoraOnly } else { BiasMode::None },
            loraplus_lr_ratio: ratio,
            loraplus_lr_embedding: rate,
            feedforward_modules: None,
        }
    }
}

prop_compose! {
    fn where_it_lies()(
        train_data_dir in path(),
        base_model in path(),
        output_dir in path(),
        metadata_path in of(path()),
        (start, parent, parent_optimizer) in (of(path()), any::<bool>(), any::<bool>()),
        resume in of(path()),
        latest in any::<bool>(),
        columns in of((text(), text())).prop_filter("equal", |c| c.as_ref().is_none_or(|(q, a)| q != a)),
    ) -> RunConfig {
        let resume = resume.and_then(|path| path.to_str().map(str::to_owned));
        let mut config = super::minimal();
        config.train_data_dir = train_data_dir;
        config.base_model = base_model;
        config.output_dir = output_dir;
        config.metadata_path = metadata_path;
        (config.parent, config.init_adapter) = if parent { (start, None) } else { (None, start) };
        config.parent_optimizer = parent_optimizer;
        config.resume_from_checkpoint = if latest { Some("latest".into()) } else { resume };
        config.csv_columns = columns;
        config
    }
}

fn formats() -> impl Strategy<Value = FormatConfig> {
    let source = ("[a-z]{1,8}(/[a-z=]{1,4}x)?", 1..=1_000_000_000_000_u64);
    let sources = proptest::collection::btree_map(source.0, source.1, 0..4);
    let name = |part: &str, name: String| Named {
        part: part.to_owned(),
        name,
    };
    let columns = of("[a-z问=]{1,6}x").prop_map(move |n| n.map(|n| name("question", n)));
    let roles = of("[a-z甲]{1,6}x").prop_map(move |n| n.map(|n| name("assistant", n)));
    let encoding = prop_oneof![Just(TextEncoding::Utf8), Just(TextEncoding::Gb18030)];
    let all = (
        sources,
        any::<bool>(),
        any::<bool>(),
        columns,
        roles,
        encoding,
        of("[a-z法]{1,6}x"),
    );
    all.prop_map(
        |(sources, repeat, keep, columns, roles, encoding, sheets)| {
            let sources = sources.into_iter();
            FormatConfig {
                sources: sources
                    .map(|(path, weight)| DataSource { path, weight })
                    .collect(),
                mixing: if repeat {
                    Mixing::Repeat
                } else {
                    Mixing::Subsample
                },
                special_tokens: if keep {
                    SpecialTokensInText::Keep
                } else {
                    SpecialTokensInText::Plain
                },
                columns: columns.into_iter().collect(),
                roles: roles.into_iter().collect(),
                form: if repeat {
                    DataForm::Auto
                } else {
                    DataForm::Text
                },
                preference: if repeat {
                    Preference::Refuse
                } else {
                    Preference::Chosen
                },
                encoding,
                sheets: sheets.into_iter().collect(),
            }
        },
    )
}

fn privacy() -> impl Strategy<Value = PrivacyConfig> {
    let modes = [PrivacyMode::Off, PrivacyMode::Scan, PrivacyMode::Mask];
    let kinds = proptest::sample::subsequence(PrivacyKind::ALL.to_vec(), 1..10);
    let pattern = prop_oneof![
        text().prop_map(|text| regex::escape(&text)),
        Just(r"\d+-[A-Z]".into())
    ];
    let rules = of(pattern).prop_map(|pattern| {
        let rule = |pattern| PrivacyRule {
            name: "CONTRACT_1".into(),
            pattern,
        };
        pattern.into_iter().map(rule).collect()
    });
    (proptest::sample::select(modes.to_vec()), of(kinds), rules)
        .prop_map(|(mode, kinds, rules)| PrivacyConfig { mode, kinds, rules })
}

prop_compose! {
    fn how_it_learns()(
        config in where_it_lies(),
        (lora_rank, lora_alpha, lora_dropout) in (1u32..=65_536, positive(), share()),
        (target_modules, use_rslora, adapter) in (modules(), any::<bool>(), adapters()),
        (batch_size, accumulation, micro) in (1u32..=65_536, 1u32..=65_536, 1u32..=65_536),
        (epochs, max_steps, learning_rate) in (1u32..=1_000_000, of(1u64..1 << 62), 1e-12..=1.0_f64),
        schedule in prop_oneof![
            Just(LrSchedulerType::Linear), Just(LrSchedulerType::Cosine),
            Just(LrSchedulerType::Constant), Just(LrSchedulerType::ConstantWithWarmup),
        ],
        (warmup_steps, warmup_ratio) in (0u64..1 << 62, share()),
        (weight_decay, max_grad_norm, seed) in (share(), positive(), any::<u32>()),
        precision in prop_oneof![Just(Precision::F32), Just(Precision::Bf16), Just(Precision::Fp16)],
        (fails, max_skipped_steps, scale) in (any::<bool>(), 1u32.., 0u32..=62),
    ) -> RunConfig {
        RunConfig {
            lora_rank, lora_alpha, lora_dropout, target_modules, use_rslora, adapter, batch_size,
            gradient_accumulation_steps: accumulation,
            micro_batch_size: micro.min(batch_size),
            epochs, max_steps, learning_rate, lr_scheduler_type: schedule, warmup_steps,
            warmup_ratio, weight_decay, max_grad_norm, seed: seed.into(), precision,
            stability: StabilityConfig {
                on_non_finite: if fails { OnNonFinite::Fail } else { OnNonFinite::Skip },
                max_skipped_steps,
                initial_loss_scale: 1 << scale,
            },
            ..config
        }
    }
}

prop_compose! {
    fn any_config()(
        config in how_it_learns(),
        max_seq_length in 2u32..=1_048_576,
        overflow in prop_oneof![Just(Overflow::Truncate), Just(Overflow::Drop), Just(Overflow::Error)],
        device in prop_oneof![
            Just("auto".to_owned()), Just("cpu".to_owned()), any::<u16>().prop_map(|n| format!("cuda:{n}")),
        ],
        (save_steps, save_total_limit, logging_steps) in (1u64..1 << 62, of(1u32..), 1u64..1 << 62),
        (shuffle, train_on_inputs) in any::<(bool, bool)>(),
        (min_workers, max_workers) in (1u32..=65_536, of(1u32..=65_536)),
        (failure_detection, ride_through) in (0.2..=3600.0_f64, 0.0..=86_400.0_f64),
        device_class in prop_oneof![Just(DeviceClassPolicy::Mixed), Just(DeviceClassPolicy::Strict)],
        audit_rate in prop_oneof![share(), Just(1.0)],
        dialogue in prop_oneof![Just(Dialogue::Turns), Just(Dialogue::Blocks)],
        (privacy, formats) in (privacy(), formats()),
        last in any::<bool>(),
    ) -> RunConfig {
        RunConfig {
            max_seq_length, overflow, device, save_steps, save_total_limit, logging_steps, shuffle,
            train_on_inputs, min_workers, dialogue, privacy, failure_detection, device_class, audit_rate,
            formats: FormatConfig {
                columns: if config.csv_columns.is_some() { Vec::new() } else { formats.columns },
                sources: if config.metadata_path.is_some() { Vec::new() } else { formats.sources },
                ..formats
            },
            loss_on: match (train_on_inputs, last) {
                (true, _) => LossOn::All,
                (false, true) => LossOn::Last,
                (false, false) => LossOn::Response,
            },
            max_workers: max_workers.map(|most| most.max(min_workers)),
            ride_through: ride_through.max(failure_detection),
            ..config
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_resolved_configuration_loads_again_from_any_folder(config in any_config(), origin in any::<String>()) {
        let origins = [("lora_rank".to_owned(), origin)].into();
        let loaded = Loaded { config, origins, notices: Vec::new() };
        let text = resolved_yaml(&loaded);
        let again = resolve(Source::new("resolved.yaml", &text), &[], Path::new("/elsewhere"));
        let again = again.map_err(|error| TestCaseError::fail(format!("{}\n{text}", crate::error::render(&error))))?;
        prop_assert_eq!(again.config, loaded.config);
    }
}

#[test]
fn resolved_yaml_lists_every_key_with_its_origin() {
    let text = format!("{}learning_rate: 1e-5\nlora_rank: 16\n", super::MINIMAL);
    let loaded = load_text(&text, &["output_dir=./my out", "bf16=true"]).unwrap();
    insta::assert_snapshot!(resolved_yaml(&loaded), @r#"
        # Every value of this run and where it came from.
        train_data_dir: /start/data       # run.yaml:1
        metadata_path: null               # default
        base_model: /start/base           # run.yaml:2
        task_type: text-generation        # default
        output_dir: "/start/my out"       # --set
        lora_rank: 16                     # run.yaml:5
        lora_alpha: 32                    # derived from lora_rank
        lora_dropout: 0                   # default
        adapter_type: lora                # default
        target_modules: [q_proj, v_proj]  # derived from adapter_type
        use_rslora: false                 # default
        use_dora: false                   # default
        init_lora_weights: default        # default
        rank_pattern: []                  # default
        alpha_pattern: []                 # default
        layers_to_transform: null         # default
        modules_to_save: []               # default
        bias: none                        # default
        loraplus_lr_ratio: 1              # default
        loraplus_lr_embedding: 1.0e-6     # default
        feedforward_modules: null         # default
        init_adapter: null                # default
        parent: null                      # default
        parent_optimizer: true            # default
        batch_size: 4                     # default
        gradient_accumulation_steps: 1    # default
        micro_batch_size: 1               # derived from batch_size and gradient_accumulation_steps
        epochs: 3                         # default
        max_steps: null                   # default
        learning_rate: 1.0e-5             # run.yaml:4
        lr_scheduler_type: linear         # default
        warmup_steps: 0                   # default
        warmup_ratio: 0                   # default
        weight_decay: 0                   # default
        max_grad_norm: 1                  # default
        seed: 42                          # default
        fp16: false                       # default
        bf16: true                        # --set
        quantization: none                # default
        quantization_double: true         # default
        activation_checkpointing: auto    # default
        on_non_finite: skip               # default
        max_skipped_steps: 10             # default
        initial_loss_scale: 65536         # default
        max_seq_length: 2048              # default
        overflow: truncate                # default
        device: auto                      # default
        save_steps: 500                   # default
        save_total_limit: null            # default
        logging_steps: 1                  # default
        validation_dir: null              # default
        validation_split: 0               # default
        eval_steps: null                  # default
        early_stopping_patience: null     # default
        early_stopping_threshold: 0       # default
        eval_prompts: []                  # default
        eval_max_new_tokens: 128          # default
        shuffle: true                     # default
        group_by_length: false            # default
        packing: false                    # default
        train_on_inputs: false            # default
        loss_on: response                 # derived from train_on_inputs
        resume_from_checkpoint: null      # default
        min_workers: 1                    # default
        max_workers: null                 # default
        failure_detection: 8              # default
        ride_through: 60                  # default
        device_class: mixed               # default
        audit_rate: 0                     # default
        dialogue: turns                   # default
        csv_columns: null                 # default
        privacy: "off"                    # default
        privacy_kinds: null               # default
        privacy_rules: []                 # default
        data_sources: []                  # default
        data_mixing: repeat               # default
        data_encoding: utf-8              # default
        data_sheets: []                   # default
        columns: []                       # default
        special_tokens_in_text: plain     # default
        roles: []                         # default
        preference: refuse                # default
        data_form: auto                   # default
        "#);
}

#[test]
fn another_reader_of_yaml_sees_numbers_not_text() {
    let loaded = with("learning_rate: 1e-5\nweight_decay: 1e22\n").unwrap();
    let text = resolved_yaml(&loaded);
    assert!(text.contains("learning_rate: 1.0e-5 "), "{text}");
    assert!(text.contains("weight_decay: 1.0e22 "), "{text}");
}

#[test]
fn json_values_have_the_types_of_the_keys() {
    let config = with("learning_rate: 1e-5\nmax_steps: 7\nbf16: true\n")
        .unwrap()
        .config;
    let values: std::collections::BTreeMap<_, _> = json_values(&config).into_iter().collect();
    assert_eq!(values["learning_rate"], 1e-5);
    assert_eq!(values["max_steps"], 7);
    assert_eq!(values["bf16"], true);
    assert_eq!(
        values["target_modules"],
        serde_json::json!(["q_proj", "v_proj"])
    );
    assert_eq!(values["metadata_path"], serde_json::Value::Null);
    assert_eq!(values["base_model"], "/start/base");
}
