//! Names of other tools: read as ours, with a notice, and never beside ours.

use proptest::prelude::*;

use super::super::aliases::{ALIASES, Alias, Reads};
use super::super::key::Fallback;
use super::super::keys::{find, keys};
use super::super::{Quantization, TargetModules, identity_fields, resolved_yaml};
use super::{MINIMAL, bad, load_text, said, said_of_set, with};

/// The required keys but this one, then these lines.
fn without(key: &str, lines: &str) -> String {
    let kept = MINIMAL
        .lines()
        .filter(|line| !line.starts_with(&format!("{key}:")));
    kept.map(|line| format!("{line}\n")).collect::<String>() + lines
}

#[test]
fn every_alias_means_a_key_and_hides_none() {
    for (at, alias) in ALIASES.iter().enumerate() {
        assert!(find(alias.key).is_some(), "{alias:?}");
        assert!(find(alias.name).is_none(), "{alias:?}");
        assert_ne!(alias.name, "micro_batch_size");
        let again = ALIASES[at + 1..].iter().any(|a| a.name == alias.name);
        assert!(!again, "{alias:?} stands twice");
    }
}

/// A value that the key takes, as YAML.
fn value(key: &'static str) -> BoxedStrategy<String> {
    match key {
        "lora_rank" | "batch_size" | "epochs" | "max_steps" => {
            (1u32..=65_536).prop_map(|n| n.to_string()).boxed()
        }
        "max_seq_length" => (2u32..=1_048_576).prop_map(|n| n.to_string()).boxed(),
        "lora_alpha" => (0.5..64.0_f64).prop_map(|n| format!("{n:?}")).boxed(),
        "use_rslora" | "use_dora" | "train_on_inputs" | "quantization_double" => {
            any::<bool>().prop_map(|b| b.to_string()).boxed()
        }
        "quantization" => prop_oneof![Just("nf4".to_owned()), Just("int8".to_owned())].boxed(),
        "lr_scheduler_type" => {
            prop_oneof![Just("cosine".to_owned()), Just("linear".to_owned())].boxed()
        }
        "activation_checkpointing" => any::<bool>()
            .prop_map(|on| if on { "on" } else { "off" }.to_owned())
            .boxed(),
        "layers_to_transform" => (0u32..100).prop_map(|layer| format!("[{layer}]")).boxed(),
        "target_modules" | "modules_to_save" => proptest::collection::vec("[a-z]{1,4}_proj", 1..4)
            .prop_map(|names| format!("[{}]", names.join(", ")))
            .boxed(),
        "base_model" | "init_adapter" => "[a-z]{1,8}(/[a-z]{1,8})?"
            .prop_map(|path| format!("./{path}"))
            .boxed(),
        other => panic!("no values for {other}"),
    }
}

/// The same as written under the alias.
fn theirs(alias: &Alias, value: &str) -> String {
    match (alias.reads, value) {
        (Reads::Switch, "on") => "true".into(),
        (Reads::Switch, _) => "false".into(),
        _ => value.into(),
    }
}

fn any_alias() -> impl Strategy<Value = (&'static Alias, String)> {
    proptest::sample::select(ALIASES).prop_flat_map(|alias| {
        value(alias.key).prop_map(move |value| {
            (
                ALIASES.iter().find(|a| a.name == alias.name).unwrap(),
                value,
            )
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_alias_and_its_key_resolve_equal((alias, value) in any_alias(), by_set in any::<bool>()) {
        let (key, name) = (alias.key, alias.name);
        let base = without(key, "");
        let load = |name: &str, value: &str| if by_set {
            load_text(&base, &[&format!("{name}={value}")])
        } else {
            load_text(&format!("{base}{name}: {value}\n"), &[])
        };
        let (ours, theirs) = (load(key, &value).unwrap(), load(name, &theirs(alias, &value)).unwrap());
        prop_assert_eq!(&ours.config, &theirs.config);
        prop_assert_eq!(&ours.origins, &theirs.origins);
        prop_assert_eq!(resolved_yaml(&ours), resolved_yaml(&theirs));
        prop_assert_eq!(identity_fields(&ours.config), identity_fields(&theirs.config));
        let (first, rest) = theirs.notices.split_first().unwrap();
        let start = format!("`{name}` (");
        prop_assert!(first.starts_with(&start), "{}", first);
        prop_assert_eq!(rest, &ours.notices[..]);
    }
}

#[test]
fn a_notice_names_the_place_and_our_key() {
    let file = with("lora_r: 16\nper_device_train_batch_size: 2\n").unwrap();
    insta::assert_snapshot!(file.notices.join("\n"), @r#"
        `lora_r` (run.yaml:4) is read as `lora_rank`; write `lora_rank`
        `per_device_train_batch_size` (run.yaml:5) is read as `batch_size`; write `batch_size` (samples per batch, however many workers there are; not per device)
        "#);
    let set = load_text(MINIMAL, &["lora_r=16"]).unwrap();
    insta::assert_snapshot!(set.notices.join("\n"), @"`lora_r` (--set) is read as `lora_rank`; write `lora_rank`");
}

#[test]
fn lora_target_is_translated() {
    let modules = |value: &str| {
        let loaded = with(&format!("lora_target: {value}\n"));
        loaded.unwrap().config.target_modules
    };
    let names = |names: &[&str]| TargetModules::Names(names.iter().map(|&n| n.into()).collect());
    assert_eq!(modules("all"), TargetModules::AllLinear);
    assert_eq!(modules("q_proj"), names(&["q_proj"]));
    assert_eq!(modules("v_proj, q_proj"), names(&["q_proj", "v_proj"]));
    assert_eq!(modules("[q_proj]"), names(&["q_proj"]));
}

#[test]
fn flags_and_bits_become_a_form_of_weights() {
    let form = |line: &str| with(line).unwrap().config.quantization.form;
    assert_eq!(form("load_in_4bit: true\n"), Quantization::Nf4);
    assert_eq!(form("load_in_8bit: true\n"), Quantization::Int8);
    assert_eq!(form("load_in_4bit: false\n"), Quantization::None);
    assert_eq!(form("quantization_bit: 4\n"), Quantization::Nf4);
    assert_eq!(form("quantization_bit: 8\n"), Quantization::Int8);
    assert!(with("quantization_bit: 3\n").is_err());
    let single = with("bnb_4bit_use_double_quant: false\nload_in_4bit: true\n").unwrap();
    assert!(!single.config.quantization.double);
}

#[test]
fn set_lies_over_the_file_whichever_name_is_written() {
    let rank = |file: &str, set: &str| {
        let text = format!("{MINIMAL}{file}\n");
        load_text(&text, &[set]).unwrap().config.lora_rank
    };
    assert_eq!(rank("lora_r: 4", "lora_rank=16"), 16);
    assert_eq!(rank("lora_rank: 4", "r=16"), 16);
    assert_eq!(rank("lora_rank: 4", "lora_r=8"), 8);
}

#[test]
fn micro_batch_size_stays_ours() {
    let config = with("batch_size: 4\nmicro_batch_size: 2\n").unwrap().config;
    assert_eq!((config.batch_size, config.micro_batch_size), (4, 2));
    let key = keys().find(|key| key.name == "micro_batch_size");
    assert!(!matches!(key.unwrap().default, Fallback::Required));
}

bad! {
    a_key_beside_its_alias: said("lora_rank: 8\nseed: 1\nlora_r: 8\n") => @r#"
        E0105 `lora_rank` and `lora_r` are both written, and both mean `lora_rank`
          at run.yaml:6:1
           6 | lora_r: 8
             | ^^^^^^
          first in line 4
          nothing was started
          fix: keep one of the two lines, as `lora_rank`
        "#;
    two_aliases_of_one_key: said("num_epochs: 3\nnum_train_epochs: 3\n") => @r#"
        E0105 `num_epochs` and `num_train_epochs` are both written, and both mean `epochs`
          at run.yaml:5:1
           5 | num_train_epochs: 3
             | ^^^^^^^^^^^^^^^^
          first in line 4
          nothing was started
          fix: keep one of the two lines, as `epochs`
        "#;
    an_alias_written_twice: said("lora_r: 8\nlora_r: 16\n") => @r#"
        E0105 `lora_r` is written twice
          at run.yaml:5:1
           5 | lora_r: 16
             | ^^^^^^
          first in line 4
          nothing was started
          fix: keep one of the two lines
        "#;
    a_key_and_its_alias_by_set: said_of_set(&["lora_rank=8", "lora_r=16"]) => @r#"
        E0105 `lora_rank` and `lora_r` are both written, and both mean `lora_rank`
          at --set lora_r=16
          first in --set lora_rank=8
          nothing was started
          fix: keep one of the two, as `--set lora_rank=...`
        "#;
    a_bad_value_under_an_alias: said("lora_r: 0\n") => @r#"
        E0104 `lora_rank` must be a whole number from 1 to 65536, got the number 0
          at run.yaml:4:9
           4 | lora_r: 0
             |         ^
          without the key it would be its default, 8
          nothing was started
          fix: write it as in `lora_rank: 16`
        "#;
    a_pattern_under_lora_target: said("lora_target: '.*proj'\n") => @r#"
        E0104 `target_modules` must be a list of module names, one name, `all-linear`, `attention` or `mlp`, or `re:` and a regular expression, got the text `.*proj`
          at run.yaml:4:14
           4 | lora_target: '.*proj'
             |              ^^^^^^^^
          without the key it would be its default: [q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3
          nothing was started
          fix: a regular expression is written as in `target_modules: 're:.*proj'`
        "#;
    half_an_epoch_under_an_alias: said("num_train_epochs: 2.5\n") => @r#"
        E0103 `epochs` must be a whole number from 1 to 1000000, got the number 2.5
          at run.yaml:4:19
           4 | num_train_epochs: 2.5
             |                   ^^^
          without the key it would be its default, 3
          nothing was started
          fix: write it as in `epochs: 15`
        "#;
}
