//! A model of two layers with drawn weights: cached reading against reading all again.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;
use shared::config::{AdapterKind, BiasMode, TargetModules};
use shared::model::{AdapterSpec, expected_tensors};

use super::*;

fn write_base(folder: &Path) {
    let config = json!({"model_type": "llama", "vocab_size": 48, "hidden_size": 32,
        "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "tie_word_embeddings": true});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let shape = ModelConfig::from_json(&config).unwrap();
    let mut state = 1u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = expected_tensors(&shape)
        .into_iter()
        .map(|(name, shape)| {
            let count = shape.iter().product::<usize>();
            let bytes = (0..count).flat_map(|_| draw().to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

fn answer(model: &GreedyModel, prompt: &[u32], count: usize, stop: &[u32]) -> Vec<u32> {
    let mut ids = Vec::new();
    model
        .generate(prompt, count, stop, |id| {
            ids.push(id);
            Ok(true)
        })
        .unwrap();
    ids
}

#[test]
fn reading_with_the_cache_writes_what_reading_all_again_writes() {
    let folder = tempfile::tempdir().unwrap();
    write_base(folder.path());
    let model = GreedyModel::load(folder.path(), None, Device::Cpu).unwrap();
    let prompt = [3, 14, 15, 9, 26];
    let cached = answer(&model, &prompt, 20, &[]);
    let mut again = prompt.to_vec();
    for _ in 0..20 {
        let next = answer(&model, &again, 1, &[]);
        again.extend(next);
    }
    assert_eq!(cached, again[prompt.len()..]);
}

#[test]
fn every_stop_id_ends_the_text_and_is_not_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    write_base(folder.path());
    let model = GreedyModel::load(folder.path(), None, Device::Cpu).unwrap();
    let whole = answer(&model, &[1, 2, 3], 12, &[]);
    let stop = whole[5];
    let place = whole.iter().position(|&id| id == stop).unwrap();
    assert_eq!(answer(&model, &[1, 2, 3], 12, &[47, stop]), whole[..place]);
}

#[test]
fn an_empty_or_strange_prompt_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_base(folder.path());
    let model = GreedyModel::load(folder.path(), None, Device::Cpu).unwrap();
    let code = |model: &GreedyModel, prompt: &[u32]| {
        model
            .generate(prompt, 1, &[], |_| Ok(true))
            .unwrap_err()
            .code
    };
    assert_eq!(code(&model, &[]), Code::Usage);
    assert_eq!(code(&model, &[48]), Code::BadTokenizer);
}

/// A LoRA adapter of every query projection, whose values are drawn from a state.
fn drawn_adapter(config: &ModelConfig, mut state: u32) -> PeftAdapter {
    let spec = AdapterSpec {
        kind: AdapterKind::Lora,
        use_dora: true,
        rank: 2,
        alpha: 16.0,
        use_rslora: false,
        rank_pattern: Vec::new(),
        alpha_pattern: Vec::new(),
        targets: TargetModules::Names(vec!["q_proj".into(), "o_proj".into()]),
        layers: None,
        modules_to_save: vec!["norm".into()],
        bias: BiasMode::None,
        feedforward: None,
    };
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 + 0.5
    };
    let layout = AdapterLayout::new(&AdapterShape::new(&spec, config).unwrap());
    let tensors = layout.tensors.iter().map(|tensor| {
        let values = (0..tensor.elements()).map(|_| draw()).collect();
        (tensor.key.clone(), (tensor.shape.clone(), values))
    });
    PeftAdapter {
        tensors: tensors.collect(),
        spec,
        file: "adapter".into(),
    }
}

#[test]
fn one_frozen_base_carries_several_adapters() {
    let folder = tempfile::tempdir().unwrap();
    write_base(folder.path());
    let base = GreedyModel::load(folder.path(), None, Device::Cpu).unwrap();
    let adapters = [1, 2].map(|state| drawn_adapter(base.config(), state));
    let alone = adapters.each_ref().map(|adapter| {
        let model = GreedyModel::load(folder.path(), Some(adapter), Device::Cpu).unwrap();
        answer(&model, &[3, 14, 15], 16, &[])
    });
    let plain = answer(&base, &[3, 14, 15], 16, &[]);
    assert!(alone[0] != alone[1] && !alone.contains(&plain));
    let overlays =
        adapters.map(|adapter| overlays_of(&adapter, &base.decoder, Device::Cpu).unwrap());
    for _ in 0..2 {
        for (overlays, expected) in overlays.iter().zip(&alone) {
            let mut found = Vec::new();
            let adapted = (&base.decoder, overlays);
            generate_greedy(adapted, Device::Cpu, &[3, 14, 15], 16, &[], |id| {
                found.push(id);
                Ok(true)
            })
            .unwrap();
            assert_eq!(found, *expected);
        }
        assert_eq!(answer(&base, &[3, 14, 15], 16, &[]), plain);
    }
}
