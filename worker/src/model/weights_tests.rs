//! Values of a checkpoint that the type of compute, or four bits, cannot hold.

use safetensors::SafeTensors;

use super::*;

const BF16_MILLION: [u8; 2] = 0x4974_u16.to_le_bytes();
const BF16_INFINITE: [u8; 2] = 0x7f80_u16.to_le_bytes();

/// The small model, with another first value in one tensor.
fn changed(tensor: &str, value: [u8; 2]) -> (tempfile::TempDir, ModelConfig) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-law");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("config.json"), folder.path().join("config.json")).unwrap();
    let mut bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let at = {
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let found = tensors.tensor(tensor).unwrap();
        assert_eq!(found.dtype(), Dtype::BF16);
        found.data().as_ptr() as usize - bytes.as_ptr() as usize
    };
    bytes[at..at + 2].copy_from_slice(&value);
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let config = ModelConfig::load(folder.path()).unwrap();
    (folder, config)
}

fn open(folder: &tempfile::TempDir, config: &ModelConfig, kind: Kind) -> BaseWeights {
    BaseWeights::open(folder.path(), config, Device::Cpu, kind).unwrap()
}

#[test]
fn a_value_beyond_fp16_is_an_error_there_and_a_value_elsewhere() {
    let (folder, config) = changed("model.norm.weight", BF16_MILLION);
    let name = "model.norm.weight";
    let error = open(&folder, &config, Kind::Half).tensor(name).unwrap_err();
    assert_eq!(error.code, Code::BadWeights);
    assert!(error.what.contains(name), "{error:?}");
    for kind in [Kind::Float, Kind::BFloat16] {
        let weights = open(&folder, &config, kind);
        let loaded = weights.tensor(name).unwrap();
        assert!((loaded.double_value(&[0]) - 999_424.0).abs() < 1.0);
    }
    let sound = open(&folder, &config, Kind::Half);
    assert!(sound.tensor("model.embed_tokens.weight").is_ok());
}

#[test]
fn an_infinite_value_is_not_quantized() {
    let module = "model.layers.0.self_attn.q_proj";
    let (folder, config) = changed(&format!("{module}.weight"), BF16_INFINITE);
    for form in [Quantization::Nf4, Quantization::Int8] {
        let asked = QuantizationConfig {
            form,
            ..QuantizationConfig::default()
        };
        let weights = open(&folder, &config, Kind::Float).held(asked).unwrap();
        let error = weights.frozen(module).unwrap_err();
        assert_eq!(error.code, Code::BadWeights, "{form:?}");
        assert!(weights.frozen("model.layers.0.self_attn.k_proj").is_ok());
    }
}
