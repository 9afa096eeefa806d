//! The number of threads changes no bit, whatever shape a micro-batch has.
//!
//! Alone in its process: the math library reads its environment once, before its first call.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "golden/weights.rs"]
#[allow(dead_code)]
mod weights;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use shared::config::{RunConfig, load};
use shared::model::{ModelConfig, expected_tensors};
use worker::device::{DeviceRequest, open, reexec_with_environment};
use worker::train::{IGNORED, MicroBatch, Segment, Trainer};

/// Rows and length of the micro-batches that are tried.
const SHAPES: [(usize, usize); 10] = [
    (1, 2),
    (1, 3),
    (1, 9),
    (1, 17),
    (1, 21),
    (1, 34),
    (1, 70),
    (2, 13),
    (3, 5),
    (5, 30),
];
/// Lengths of samples that are packed behind each other.
const PACKED: [&[usize]; 4] = [&[1, 2], &[9, 21, 3], &[34, 5, 5, 70, 1], &[17, 300]];
const RANKS: [u32; 4] = [1, 4, 12, 32];
const THREADS: [usize; 3] = [1, 2, 4];

fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-law")
}

fn config(folder: &Path, precision: &str, rank: u32) -> RunConfig {
    config_of(folder, &base(), "all-linear", precision, rank)
}

fn config_of(folder: &Path, base: &Path, targets: &str, precision: &str, rank: u32) -> RunConfig {
    let text = format!(
        "train_data_dir: {}\noutput_dir: out\nbase_model: {}\ntarget_modules: {targets}\nlora_rank: {}\n{precision}\n",
        folder.display(),
        base.display(),
        rank
    );
    let file = folder.join("run.yaml");
    std::fs::write(&file, text).unwrap();
    load(&file, &[], folder).unwrap().config
}

/// Samples of these lengths; the last half of each is learned.
fn batch(lengths: &[usize]) -> MicroBatch {
    let tokens = (0..lengths.iter().sum::<usize>()).map(|i| i * 7919 + lengths[0] * 31);
    let tokens: Vec<i64> = tokens
        .map(|token| i64::try_from(token % 2500).unwrap() + 4)
        .collect();
    let learned = lengths
        .iter()
        .flat_map(|&length| (0..length).map(move |i| i >= length / 2));
    let labels = tokens.iter().zip(learned);
    let labels = labels.map(|(t, learned)| if learned { *t } else { IGNORED });
    MicroBatch {
        segments: (0u32..)
            .zip(lengths)
            .map(|(position, &length)| Segment { position, length })
            .collect(),
        labels: labels.collect(),
        tokens,
        step: 1,
        step_loss_units: 50,
        loss_scale: 1.0,
    }
}

/// The number of threads is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What a family has that Llama has not: windows, soft caps, norms behind, fused linears, experts, layers
/// without rotary positions.
fn families() -> [(&'static str, &'static str, Value); 8] {
    let window = json!({"sliding_window": 16, "use_sliding_window": true, "max_window_layers": 1,
        "no_rope_layer_interval": 2});
    let experts =
        json!({"num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 96});
    let long = json!({"rope_scaling": {"type": "longrope", "short_factor": vec![1.0; 16],
        "long_factor": vec![4.0; 16]}, "original_max_position_embeddings": 40});
    [
        ("MistralForCausalLM", "all-linear", window.clone()),
        ("Qwen2ForCausalLM", "all-linear", window.clone()),
        ("Gemma2ForCausalLM", "all-linear", window.clone()),
        ("Gemma3ForCausalLM", "all-linear", window.clone()),
        ("SmolLM3ForCausalLM", "all-linear", window),
        ("Phi3ForCausalLM", "all-linear", long),
        ("MixtralForCausalLM", "attention", experts.clone()),
        ("Qwen3MoeForCausalLM", "attention", experts),
    ]
}

/// A base model of the family with hashed weights.
fn base_of(folder: &Path, architecture: &str, more: &Value) -> PathBuf {
    let mut config = json!({"architectures": [architecture], "vocab_size": 2560, "hidden_size": 192,
        "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 6,
        "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 1024});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    let base = folder.join(architecture);
    std::fs::create_dir(&base).unwrap();
    std::fs::write(base.join("config.json"), config.to_string()).unwrap();
    let center = f64::from(u8::from(!architecture.starts_with("Gemma")));
    let tensors = expected_tensors(&ModelConfig::load(&base).unwrap());
    weights::write_as(
        &base.join("model.safetensors"),
        &tensors,
        center,
        Dtype::F32,
    );
    base
}

#[test]
fn one_to_four_threads_give_equal_bits_for_every_family() {
    reexec_with_environment().unwrap();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut differ = Vec::new();
    for (architecture, targets, more) in families() {
        let base = base_of(folder.path(), architecture, &more);
        for precision in ["bf16: false", "bf16: true"] {
            let config = config_of(folder.path(), &base, targets, precision, 4);
            let device = open(DeviceRequest::Cpu, 1).unwrap();
            let mut trainer = Trainer::load(&config, &base, device).unwrap();
            let adapter = weights::weight("lora_any", trainer.layout().len(), 1.0);
            trainer.set_adapter(&adapter).unwrap();
            for lengths in [
                &[9][..],
                &[21],
                &[70],
                &[30; 5],
                &[34, 5, 5, 70, 1],
                &[17, 300],
            ] {
                let batch = batch(lengths);
                let one = bits(&mut trainer, &batch, 1);
                for threads in THREADS {
                    if bits(&mut trainer, &batch, threads) != one {
                        differ.push(format!(
                            "{architecture}, {precision}, {lengths:?}, {threads} threads"
                        ));
                    }
                }
            }
        }
    }
    assert!(differ.is_empty(), "{} differ: {differ:#?}", differ.len());
}

#[test]
fn one_to_four_threads_give_equal_bits_for_every_shape() {
    reexec_with_environment().unwrap();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut differ = Vec::new();
    for (precision, rank) in ["bf16: false", "bf16: true"]
        .iter()
        .flat_map(|p| RANKS.map(|r| (p, r)))
    {
        let config = config(folder.path(), precision, rank);
        let device = open(DeviceRequest::Cpu, 1).unwrap();
        let mut trainer = Trainer::load(&config, &base(), device).unwrap();
        let adapter = weights::weight("lora_any", trainer.layout().len(), 1.0);
        trainer.set_adapter(&adapter).unwrap();
        let rows = SHAPES.map(|(rows, length)| vec![length; rows]);
        let packed = PACKED.map(<[usize]>::to_vec);
        for lengths in rows.into_iter().chain(packed) {
            let batch = batch(&lengths);
            let one = bits(&mut trainer, &batch, 1);
            for threads in THREADS {
                if bits(&mut trainer, &batch, threads) != one {
                    differ.push(format!(
                        "{precision}, rank {rank}, {lengths:?}, {threads} threads"
                    ));
                }
            }
        }
    }
    assert!(differ.is_empty(), "{} differ: {differ:#?}", differ.len());
}

/// Sums of a thousand products and more, and more elements than one thread is given by libtorch: where its
/// threads, and how many they are, would show.
#[test]
fn any_number_of_threads_gives_equal_bits_at_the_width_of_real_models() {
    reexec_with_environment().unwrap();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let wide = json!({"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 1,
        "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 128, "attention_bias": true});
    let [llama, gemma] = ["LlamaForCausalLM", "Gemma2ForCausalLM"]
        .map(|architecture| base_of(folder.path(), architecture, &wide));
    let kinds = [
        (&llama, "bf16: false"),
        (&llama, "bf16: true"),
        (&llama, "fp16: true"),
        (&llama, "quantization: nf4\nbf16: true\nlora_dropout: 0.1"),
        (&llama, "quantization: int8"),
        (&llama, "use_dora: true\nlora_dropout: 0.1"),
        (&llama, "adapter_type: ia3"),
        (
            &llama,
            "modules_to_save: [norm, embed_tokens, lm_head]\nbias: all",
        ),
        (&gemma, "bf16: false"),
        (&gemma, "bf16: true"),
    ];
    let mut differ = Vec::new();
    for (base, lines) in kinds {
        let config = config_of(folder.path(), base, "all-linear", lines, 8);
        let mut found = Vec::new();
        for threads in [1, 2, 3, 5] {
            // Loading counts too: what is quantized or made longer there.
            let device = open(DeviceRequest::Cpu, threads).unwrap();
            let mut trainer = Trainer::load(&config, base, device).unwrap();
            let adapter = weights::weight("lora_any", trainer.layout().len(), 1.0);
            trainer.set_adapter(&adapter).unwrap();
            let batches = [vec![83; 3], vec![501]];
            let all = batches.map(|lengths| bits(&mut trainer, &batch(&lengths), threads));
            found.push((threads, all));
        }
        for (threads, all) in &found[1..] {
            if *all != found[0].1 {
                differ.push(format!("{}, {lines}, {threads} threads", base.display()));
            }
        }
    }
    assert!(differ.is_empty(), "{} differ: {differ:#?}", differ.len());
}

/// Gradient and losses, bit for bit.
fn bits(trainer: &mut Trainer, batch: &MicroBatch, threads: usize) -> Vec<u32> {
    open(DeviceRequest::Cpu, threads).unwrap();
    let mut gradient = vec![0f32; trainer.layout().len()];
    let mut losses = Vec::new();
    trainer
        .micro_batch(batch, &mut gradient, &mut losses)
        .unwrap();
    gradient
        .iter()
        .chain(&losses)
        .map(|v| v.to_bits())
        .collect()
}
