//! What a checkpoint costs the thread that computes: an adapter of 10M parameters, saved every 10
//! steps, on a random Llama of 27M parameters.
//!
//! Two ways. By the worker's clock: how much longer the apply after a save takes, because the old
//! state's memory is still being read and cannot be used again. From outside: the step after a save
//! against all others; all that a save blocks is in there, and the noise of the machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use cluster_tests::{Finished, Run, repository};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::spread::Spread;

const HIDDEN: usize = 512;
const INNER: usize = 1408;
const LAYERS: usize = 8;
const VOCABULARY: usize = 2560;
const STEPS: u64 = 220;
const EVERY: u64 = 10;

pub(crate) fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    random_llama(&base);
    let (steps, every) = (STEPS.to_string(), EVERY.to_string());
    let base = base.display().to_string();
    let lines = [
        ("base_model", base.as_str()),
        ("lora_rank", "128"),
        ("target_modules", "all-linear"),
        ("batch_size", "4"),
        ("micro_batch_size", "1"),
        ("max_seq_length", "64"),
        ("max_steps", &steps),
        ("save_steps", &every),
        ("save_total_limit", "2"),
    ];
    let config = Run::config(folder.path(), &lines);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "1"]);
    let worker = run.worker(&["--threads", "1"]);
    run.event("step");
    let started = Instant::now();
    let mut last = started;
    let (mut after, mut others) = (Vec::new(), Vec::new());
    for step in 2..=STEPS {
        run.event("step");
        let took = last.elapsed().as_secs_f64() * 1000.0;
        last = Instant::now();
        if step % EVERY == 1 {
            after.push(took);
        } else {
            others.push(took);
        }
    }
    let wall = started.elapsed().as_secs_f64() * 1000.0;
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    drop(worker);
    let saves = finished.events("checkpoint").len();
    println!(
        "{saves} saves of {} parameters in {STEPS} steps, wall {wall:.0} ms",
        parameters(&finished)
    );
    let (after, others) = (Spread::of(after), Spread::of(others));
    println!("step after a save, ms: {after}; other steps, ms: {others}");
    let outside = (after.median() - others.median()) * saves as f64 / wall;
    println!("seen from outside: {:.2} % of wall", outside * 100.0);
    println!(
        "by the worker's clock: {:.2} % of wall",
        inside(&finished) / wall * 100.0
    );
}

fn parameters(finished: &Finished) -> usize {
    let bytes = std::fs::read(finished.output.join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().iter().map(|(_, t)| t.data().len() / 4).sum()
}

/// Milliseconds of all saves: the apply after each, over the usual apply.
fn inside(finished: &Finished) -> f64 {
    let lines = finished.lines("logs/cluster.jsonl");
    let applies: BTreeMap<u64, f64> = lines
        .iter()
        .filter_map(|l| Some((l["step"].as_u64()?, l["apply_us"].as_f64()?)))
        .collect();
    let usual = Spread::of(
        applies
            .iter()
            .filter(|(s, _)| *s % EVERY != 1)
            .map(|(_, v)| *v),
    )
    .median();
    let longer = applies
        .iter()
        .filter(|(s, _)| *s % EVERY == 1 && **s > 1)
        .map(|(_, v)| v - usual);
    longer.sum::<f64>() / 1000.0
}

fn random_llama(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let shipped = repository().join("models/tiny-law");
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        std::fs::copy(shipped.join(name), folder.join(name)).unwrap();
    }
    let text = std::fs::read_to_string(shipped.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in [
        ("hidden_size", HIDDEN),
        ("intermediate_size", INNER),
        ("num_hidden_layers", LAYERS),
        ("num_attention_heads", 8),
        ("num_key_value_heads", 8),
        ("head_dim", HIDDEN / 8),
    ] {
        config[key] = json!(value);
    }
    config["dtype"] = json!("float32");
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut seed = 1_u64;
    let mut add = |name: String, shape: Vec<usize>| {
        let count: usize = shape.iter().product();
        let norm = shape.len() == 1;
        let mut value = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let unit = (seed >> 40) as f32 / (1_u32 << 24) as f32 - 0.5;
            if norm { 1.0 } else { unit * 0.1 }
        };
        let bytes = (0..count).flat_map(|_| value().to_le_bytes()).collect();
        tensors.push((name, shape, bytes));
    };
    add("model.embed_tokens.weight".into(), vec![VOCABULARY, HIDDEN]);
    add("model.norm.weight".into(), vec![HIDDEN]);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(name(&format!("self_attn.{part}")), vec![HIDDEN, HIDDEN]);
        }
        add(name("mlp.gate_proj"), vec![INNER, HIDDEN]);
        add(name("mlp.up_proj"), vec![INNER, HIDDEN]);
        add(name("mlp.down_proj"), vec![HIDDEN, INNER]);
        add(name("input_layernorm"), vec![HIDDEN]);
        add(name("post_attention_layernorm"), vec![HIDDEN]);
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}
