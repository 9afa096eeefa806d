//! What is written reads back, the same state gives the same bytes, and damage is named.

use std::path::PathBuf;

use safetensors::SafeTensors;
use shared::config::{RunConfig, TargetModules, testing};
use shared::error::Code;
use shared::ids::Step;
use shared::manifest::{Manifest, verify_adapter};
use shared::model::{AdapterShape, AdapterTensor, Part, Role};
use shared::numerics::{AdapterState, LossScale, state_digest};
use shared::storage::Folder;

use super::*;
use crate::adapter::{AdapterLayout, PeftAdapter};
use crate::progress::Counters;

fn config() -> RunConfig {
    let lines = "lora_rank: 2\nlora_alpha: 32\nlora_dropout: 0.1\nepochs: 1\nlearning_rate: 1e-4\n\
                 max_seq_length: 512\ndevice: cpu\nsave_steps: 50\n";
    RunConfig {
        base_model: "/models/tiny".into(),
        target_modules: TargetModules::Names(vec!["v_proj".into(), "q_proj".into()]),
        ..testing::config(lines).unwrap()
    }
}

/// Twelve layers, so that an order by number and one by text differ.
fn shape() -> AdapterShape {
    let tensor = |layer: usize, part: &str, end: &str, shape: [usize; 2], role| AdapterTensor {
        key: format!("base_model.model.model.layers.{layer}.self_attn.{part}.{end}.weight"),
        shape: shape.to_vec(),
        module: format!("model.layers.{layer}.self_attn.{part}"),
        part: Part::Layer(layer),
        role,
    };
    let pair = |layer: usize, part: &str, outputs: usize| {
        [
            tensor(layer, part, "lora_A", [2, 5], Role::LoraA),
            tensor(layer, part, "lora_B", [outputs, 2], Role::LoraB),
        ]
    };
    let of_layer = |layer| [pair(layer, "q_proj", 6), pair(layer, "v_proj", 3)].concat();
    AdapterShape {
        tensors: (0..12).flat_map(of_layer).collect(),
        adapted: Vec::new(),
    }
}

fn layout() -> AdapterLayout {
    AdapterLayout::new(&shape())
}

fn state() -> AdapterState {
    let elements = layout().len();
    let values = |seed: usize| {
        (0..elements)
            .map(|i| ((i * 37 + seed) as f32).sin())
            .collect()
    };
    let v = (0..elements).map(|i| 1e-9 * i as f32).collect();
    AdapterState {
        params: values(1),
        m: values(2),
        v,
        step: Step(50),
        optimizer_steps: 49,
        loss_scale: None,
    }
}

#[test]
fn a_checkpoint_reads_back_as_the_state_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let staging = folder.path().join("deep/staging");
    let files = write_checkpoint(
        &staging,
        &config(),
        &layout(),
        &state(),
        None,
        &Counters::default(),
    )
    .unwrap();
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, [ADAPTER_CONFIG_FILE, ADAPTER_FILE, OPTIMIZER_FILE]);
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 3);
    Manifest {
        files,
        ..Manifest::default()
    }
    .verify(&Folder::new(&staging))
    .unwrap();
    let back = read_checkpoint(&staging, &layout(), &Counters::default()).unwrap();
    assert_eq!(state_digest(&back), state_digest(&state()));

    let expected = shape().expected();
    verify_adapter(&Folder::new(&staging), ADAPTER_FILE, &expected).unwrap();
    let read = PeftAdapter::load(&staging).unwrap();
    assert_eq!((read.spec.rank, read.spec.scaling_of("any")), (2, 16.0));
    assert_eq!(read.tensors.len(), 48);
}

#[test]
fn equal_states_give_equal_bytes_with_the_header_that_loaders_ask_for() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = folders.each_ref().map(|folder| {
        write_checkpoint(
            folder.path(),
            &config(),
            &layout(),
            &state(),
            None,
            &Counters::default(),
        )
        .unwrap()
    });
    assert_eq!(first, second);
    for name in [ADAPTER_FILE, OPTIMIZER_FILE] {
        let bytes = std::fs::read(folders[0].path().join(name)).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let header = metadata.metadata().as_ref().unwrap();
        assert_eq!(
            header.iter().collect::<Vec<_>>(),
            [(&"format".into(), &"pt".into())]
        );
    }
}

#[test]
fn adapter_config_holds_the_stable_keys_in_order() {
    let text = peft_config(&config(), &layout());
    assert!(text.starts_with("{\n  \"alpha_pattern\": {},\n  \"base_model_name_or_path\""));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    assert!(keys.is_sorted() && keys.len() == 19);
    assert!(text.contains("\"lora_alpha\": 32,\n") && text.contains("\"lora_dropout\": 0.1,\n"));
    assert_eq!(
        value["target_modules"],
        serde_json::json!(["q_proj", "v_proj"])
    );

    let all = RunConfig {
        target_modules: TargetModules::AllLinear,
        lora_alpha: 1.5,
        ..config()
    };
    let text = peft_config(&all, &layout());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value["target_modules"],
        serde_json::json!(["q_proj", "v_proj"])
    );
    assert_eq!(value["lora_alpha"], serde_json::json!(1.5));
}

#[test]
fn what_does_not_fit_is_refused_with_the_file_and_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |what: &str| {
        let failure = read_checkpoint(folder.path(), &layout(), &Counters::default()).unwrap_err();
        assert_eq!(failure.code, Code::NoCheckpoint);
        let text = shared::error::render(&failure);
        assert!(text.contains(what), "{text}");
    };
    refused(ADAPTER_FILE);
    let other = |change: fn(&mut AdapterShape)| {
        let mut shape = shape();
        change(&mut shape);
        let layout = AdapterLayout::new(&shape);
        write_checkpoint(
            folder.path(),
            &config(),
            &layout,
            &state(),
            None,
            &Counters::default(),
        )
        .unwrap();
    };
    other(|shape| shape.tensors[0].shape.reverse());
    refused("layers.0.self_attn.q_proj.lora_A.weight is F32 [5, 2], expected F32 [2, 5]");
    other(|shape| shape.tensors[5].key = "stranger".into());
    refused("layers.1.self_attn.q_proj.lora_B.weight is missing");
    other(|shape| {
        let extra = AdapterTensor {
            key: "extra".into(),
            shape: vec![0, 5],
            ..shape.tensors[0].clone()
        };
        shape.tensors.insert(0, extra);
    });
    refused("1 tensors too many, such as extra");

    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    write_checkpoint(
        folder.path(),
        &config(),
        &layout(),
        &state(),
        None,
        &Counters::default(),
    )
    .unwrap();
    let whole = std::fs::read(path(OPTIMIZER_FILE)).unwrap();
    std::fs::write(path(OPTIMIZER_FILE), &whole[..whole.len() - 1]).unwrap();
    refused(OPTIMIZER_FILE);
    let mut broken = whole;
    let end = broken.len();
    broken[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(path(OPTIMIZER_FILE), broken).unwrap();
    refused("not finite");
}

#[test]
fn a_state_that_is_not_finite_or_does_not_fit_is_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let staging = folder.path().join("staging");
    for change in [
        (|state| state.params[7] = f32::INFINITY) as fn(&mut AdapterState),
        |state| state.v[0] = f32::NAN,
    ] {
        let mut state = state();
        change(&mut state);
        let failure = write_checkpoint(
            &staging,
            &config(),
            &layout(),
            &state,
            None,
            &Counters::default(),
        )
        .unwrap_err();
        assert_eq!(failure.code, Code::NotFinite);
        assert_eq!(encode_snapshot(&state).unwrap_err().code, Code::NotFinite);
    }
    let mut short = state();
    short.m.pop();
    let failure = write_checkpoint(
        &staging,
        &config(),
        &layout(),
        &short,
        None,
        &Counters::default(),
    )
    .unwrap_err();
    assert_eq!(failure.code, Code::Internal);
    assert!(!staging.exists());
}

#[test]
fn the_loss_scale_of_fp16_is_written_and_read_with_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let scale = LossScale {
        scale: 1 << 62,
        good_steps: 1999,
        skipped_steps: 7,
    };
    let scaled = AdapterState {
        loss_scale: Some(scale),
        ..state()
    };
    let write = |state: &AdapterState| {
        write_checkpoint(
            folder.path(),
            &config(),
            &layout(),
            state,
            None,
            &Counters::default(),
        )
        .unwrap();
        read_checkpoint(folder.path(), &layout(), &Counters::default())
    };
    assert_eq!(write(&scaled).unwrap(), scaled);
    let snapshot = encode_snapshot(&scaled).unwrap();
    assert_eq!(decode_snapshot(&snapshot).unwrap(), scaled);
    let mut odd = scaled;
    odd.loss_scale = Some(LossScale { scale: 3, ..scale });
    let refused = shared::error::render(&write(&odd).unwrap_err());
    assert!(
        refused.contains("loss_scale is 3, no power of two"),
        "{refused}"
    );
}

#[test]
fn a_snapshot_is_the_state_and_a_damaged_one_is_refused() {
    let bytes = encode_snapshot(&state()).unwrap();
    assert_eq!(decode_snapshot(&bytes).unwrap(), state());
    let empty = AdapterState::default();
    assert_eq!(
        decode_snapshot(&encode_snapshot(&empty).unwrap()).unwrap(),
        empty
    );
    let mut uneven = state();
    uneven.v.push(1.0);
    for damaged in [
        bytes.slice(1..),
        bytes.slice(..bytes.len() - 1),
        encode_snapshot(&uneven).unwrap(),
    ] {
        assert_eq!(
            decode_snapshot(&damaged).unwrap_err().code,
            Code::DigestDiffers
        );
    }
}

#[test]
fn every_byte_that_is_written_hashed_or_read_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (wrote, read) = (Counters::default(), Counters::default());
    let files =
        write_checkpoint(folder.path(), &config(), &layout(), &state(), None, &wrote).unwrap();
    let bytes = |name: &str| -> u64 {
        let listed = files.iter().filter(|file| file.name == name);
        listed.map(|file| file.bytes).sum()
    };
    let tensors = bytes(ADAPTER_FILE) + bytes(OPTIMIZER_FILE);
    let hashed = tensors + bytes(ADAPTER_CONFIG_FILE);
    assert_eq!(wrote.read().stored, tensors + hashed);
    read_checkpoint(folder.path(), &layout(), &read).unwrap();
    assert_eq!(read.read().stored, tensors);
}

#[test]
fn damage_on_purpose_changes_one_bit_that_only_a_digest_tells() {
    let (whole, damaged) = (state(), damage(&state()));
    assert_ne!(state_digest(&damaged), state_digest(&whole));
    let bits = whole.params.iter().zip(&damaged.params);
    let flipped: u32 = bits
        .map(|(a, b)| (a.to_bits() ^ b.to_bits()).count_ones())
        .sum();
    assert_eq!(flipped, 1);
    assert_eq!((&damaged.m, &damaged.v), (&whole.m, &whole.v));
    let folder = tempfile::tempdir().unwrap();
    let none = Counters::default();
    write_checkpoint(folder.path(), &config(), &layout(), &damaged, None, &none).unwrap();
    let back = read_checkpoint(folder.path(), &layout(), &none).unwrap();
    assert_eq!(back, damaged, "such a file is written like any other");
}
