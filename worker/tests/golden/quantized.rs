//! Quantized base models against bitsandbytes: codes and scales bit for bit, whole runs, and
//! checkpoints that transformers wrote.

use serde::Deserialize;
use serde_json::Value;
use shared::config::Quantization;
use tch::{Kind, Tensor};
use worker::device::{
    FrozenWeight, Int8, Nf4, nested_map, quantize_int8, quantize_nf4, set_threads,
};

use super::case::{Case, golden_folder};
use super::compare::base64;
use super::curve;
use super::training::{HONEST, train};
use super::weights::weight;

/// What bitsandbytes made of one weight; long tensors by their FNV-1a.
#[derive(Deserialize)]
struct Codes {
    name: String,
    shape: [i64; 2],
    dtype: String,
    packed: String,
    absmax: String,
    absmax_codes: String,
    nested_absmax: String,
    offset: String,
    single_values: String,
    double_values: String,
    int8: String,
    int8_scales: String,
    int8_values: String,
}

#[derive(Deserialize)]
struct AllCodes {
    quant_map: String,
    nested_quant_map: String,
    cases: Vec<Codes>,
}

fn stored<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let file = golden_folder().join(format!("quantized/{name}.json"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The bytes of a tensor, whatever its type.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.contiguous().view([-1]).view_dtype(Kind::Uint8);
    Vec::try_from(flat).unwrap()
}

/// FNV-1a of the bytes.
fn digest(tensor: &Tensor) -> String {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let mix = |h: u64, byte: &u8| (h ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes(tensor).iter().fold(start, mix))
}

/// The weight as make_quantized_golden.py has it.
fn hashed(case: &Codes, kind: Kind) -> Tensor {
    let [rows, columns] = case.shape;
    let all = weight(&case.name, (rows * columns) as usize, 1.0);
    let tensor = Tensor::from_slice(&all).view(case.shape);
    if case.shape == [96, 200] {
        let _ = tensor.narrow(0, 3, 9).zero_();
    }
    let row = Tensor::arange(rows, (Kind::Float, tch::Device::Cpu));
    let size = row.fmod(7.0) / 8.0 + 0.25;
    (tensor * size.unsqueeze(1)).to_kind(kind)
}

fn values(parts: &Nf4, kind: Kind) -> String {
    digest(
        &FrozenWeight::nf4(parts, kind, kind)
            .unwrap()
            .value()
            .unwrap(),
    )
}

#[test]
fn codes_scales_and_values_are_those_of_bitsandbytes() {
    let golden: AllCodes = stored("codes");
    assert_eq!(
        bytes(&nested_map().unwrap()),
        base64(&golden.nested_quant_map)
    );
    let map: Vec<u8> = shared::model::NF4_VALUES
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert_eq!(map, base64(&golden.quant_map));
    for case in &golden.cases {
        let what = format!("{:?} {}", case.shape, case.dtype);
        let kind = match case.dtype.as_str() {
            "bf16" => Kind::BFloat16,
            "f16" => Kind::Half,
            _ => Kind::Float,
        };
        let dense = hashed(case, kind);
        let single = quantize_nf4(&dense, false).unwrap().unwrap();
        let double = quantize_nf4(&dense, true).unwrap().unwrap();
        assert_eq!(digest(&single.packed), case.packed, "{what}: codes");
        assert_eq!(digest(&double.packed), case.packed, "{what}: codes");
        assert_eq!(
            bytes(&single.scales),
            base64(&case.absmax),
            "{what}: absmax"
        );
        assert_eq!(
            bytes(&double.scales),
            base64(&case.absmax_codes),
            "{what}: nested codes"
        );
        let nested = double.nested.as_ref().unwrap();
        assert_eq!(
            bytes(&nested.scales),
            base64(&case.nested_absmax),
            "{what}: nested absmax"
        );
        assert_eq!(
            nested.offset.to_le_bytes().to_vec(),
            base64(&case.offset),
            "{what}: offset"
        );
        assert_eq!(values(&single, kind), case.single_values, "{what}: values");
        assert_eq!(values(&double, kind), case.double_values, "{what}: values");
        let int8 = quantize_int8(&dense).unwrap().unwrap();
        assert_eq!(digest(&int8.codes_OI), case.int8, "{what}: int8 codes");
        assert_eq!(
            bytes(&int8.scales_O),
            base64(&case.int8_scales),
            "{what}: int8 scales"
        );
        let frozen = FrozenWeight::int8(&int8, Kind::Float).unwrap();
        assert_eq!(
            digest(&frozen.value().unwrap()),
            case.int8_values,
            "{what}: int8 values"
        );
    }
}

/// What a GPU runs gives the CPU kernel's bits, over several parts and a last block that is not full.
#[test]
fn operators_give_the_values_of_the_kernel() {
    for (rows, columns) in [(2100, 4100), (96, 200), (33, 7), (1, 64)] {
        let all = weight("operators.weight", rows * columns, 1.0);
        let dense = Tensor::from_slice(&all).view([rows as i64, columns as i64]);
        let int8 = quantize_int8(&dense).unwrap().unwrap();
        for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
            let mut all = vec![FrozenWeight::int8(&int8, kind).unwrap()];
            for double in [false, true] {
                let parts = quantize_nf4(&dense, double).unwrap().unwrap();
                all.push(FrozenWeight::nf4(&parts, kind, kind).unwrap());
                all.push(FrozenWeight::nf4(&parts, Kind::BFloat16, kind).unwrap());
            }
            for frozen in all {
                let (kernel, operators) = (frozen.value().unwrap(), frozen.value_by_operators());
                assert_eq!(kernel.kind(), kind);
                assert!(
                    bytes(&kernel) == bytes(&operators.unwrap()),
                    "{rows} {columns} {kind:?}"
                );
            }
        }
    }
}

/// Every part as bytes, to be compared between numbers of threads.
fn parts(dense: &Tensor) -> Vec<Vec<u8>> {
    let nf4 = quantize_nf4(dense, true).unwrap().unwrap();
    let Int8 { codes_OI, scales_O } = quantize_int8(dense).unwrap().unwrap();
    let nested = nf4.nested.as_ref().unwrap();
    let mut all = vec![
        bytes(&nf4.packed),
        bytes(&nf4.scales),
        bytes(&nested.scales),
    ];
    all.push(nested.offset.to_le_bytes().to_vec());
    all.extend([bytes(&codes_OI), bytes(&scales_O)]);
    for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
        let frozen = FrozenWeight::nf4(&nf4, kind, kind).unwrap();
        all.push(bytes(&frozen.value().unwrap()));
    }
    all
}

#[test]
fn codes_are_the_same_for_any_number_of_threads() {
    // More blocks than torch sums in one thread.
    let shape = [1100, 2048];
    let dense = Tensor::from_slice(&weight("threads.weight", 1100 * 2048, 1.0)).view(shape);
    set_threads(1);
    let one = parts(&dense);
    for threads in [2, 3, 4] {
        set_threads(threads);
        assert!(parts(&dense) == one, "{threads} threads");
    }
    set_threads(1);
}

#[test]
fn a_value_that_is_not_finite_is_not_quantized() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let dense = Tensor::ones([8, 32], (Kind::Float, tch::Device::Cpu));
        let _ = dense.get(5).get(7).fill_(f64::from(bad));
        assert!(quantize_nf4(&dense, true).unwrap().is_none(), "{bad}");
        assert!(quantize_int8(&dense).unwrap().is_none(), "{bad}");
    }
    let large = Tensor::full([8, 32], 1e5, (Kind::Float, tch::Device::Cpu));
    assert!(quantize_int8(&large).unwrap().is_none(), "no float16");
}

#[test]
fn runs_over_nf4_are_the_reference_s() {
    curve("quantized/nf4");
    curve("quantized/nf4_single");
    curve("quantized/nf4_bf16");
}

#[test]
fn runs_over_int8_are_the_reference_s() {
    curve("quantized/int8");
}

/// Writes a checkpoint that transformers wrote over a case's base model.
fn with_checkpoint(name: &str, form: Quantization) -> Case {
    let mut all: Value = stored("checkpoints");
    let found = all[name].take();
    let mut case = Case::load(&format!("quantized/{name}"));
    let base = case.base();
    std::fs::write(base.join("config.json"), found["config"].to_string()).unwrap();
    let weights = base64(found["safetensors"].as_str().unwrap());
    std::fs::write(base.join("model.safetensors"), weights).unwrap();
    case.config.quantization.form = form;
    case
}

#[test]
fn a_checkpoint_that_lies_quantized_trains_to_the_same_adapter() {
    for name in ["nf4", "int8"] {
        let at_load = Case::load(&format!("quantized/{name}"));
        let expected = train(&at_load, &HONEST).state.params;
        for form in [Quantization::None, at_load.config.quantization.form] {
            let found = train(&with_checkpoint(name, form), &HONEST).state.params;
            assert!(found == expected, "{name}, quantization {form:?}");
        }
    }
}

#[test]
fn another_form_than_that_of_the_checkpoint_is_refused() {
    let case = with_checkpoint("nf4", Quantization::Int8);
    let device = worker::device::open(worker::device::DeviceRequest::Cpu, 1).unwrap();
    let error = worker::train::Trainer::load(&case.config, &case.base(), device).unwrap_err();
    assert_eq!(error.code, shared::error::Code::Contradiction);
    assert!(
        error.fix.concat().contains("--set quantization=nf4"),
        "{error:?}"
    );
}

#[test]
fn a_checkpoint_with_a_part_cut_off_is_refused() {
    let case = with_checkpoint("nf4", Quantization::None);
    let file = case.base().join("model.safetensors");
    let text = std::fs::read(&file).unwrap();
    let find = |part: &[u8]| text.windows(part.len()).position(|w| w == part).unwrap();
    for (part, other) in [
        (&b"q_proj.weight.absmax"[..], &b"q_proj.weight.absmix"[..]),
        (b"\"quant_type\": \"nf4\"", b"\"quant_type\": \"fp4\""),
        (b"\"blocksize\": 64", b"\"blocksize\": 65"),
        (b"\"shape\": [48, 48]", b"\"shape\": [48, 47]"),
    ] {
        let mut changed = text.clone();
        let at = find(part);
        changed[at..at + part.len()].copy_from_slice(other);
        std::fs::write(&file, changed).unwrap();
        let error =
            worker::train::Trainer::load(&case.config, &case.base(), worker::device::Device::Cpu);
        let error = error.unwrap_err();
        assert_eq!(error.code, shared::error::Code::BadWeights, "{error:?}");
        assert!(error.what.contains("weight"), "{error:?}");
    }
}

#[test]
fn another_method_or_type_is_refused_by_name() {
    let announced = |section: Value| shared::model::announced(Some(&section));
    for (section, named) in [
        (
            serde_json::json!({"quant_method": "gptq", "bits": 4}),
            "gptq",
        ),
        (
            serde_json::json!({"quant_method": "bitsandbytes", "load_in_4bit": true}),
            "fp4",
        ),
        (serde_json::json!({}), "quant_method"),
    ] {
        let error = announced(section).unwrap_err();
        assert_eq!(error.code, shared::error::Code::BadModelConfig);
        assert!(error.what.contains(named), "{error:?}");
    }
    let config = stored::<Value>("checkpoints")["nf4"]["config"]["quantization_config"].take();
    let found = announced(config).unwrap();
    assert_eq!((found.form, found.double), (Quantization::Nf4, true));
    assert_eq!(shared::model::announced(None).unwrap(), Default::default());
}

#[test]
fn pissa_takes_no_part_out_of_quantized_weights() {
    let mut case = Case::load("quantized/nf4");
    case.config.adapter.init = shared::config::LoraInit::Pissa;
    let device = worker::device::Device::Cpu;
    let error = worker::train::Trainer::load(&case.config, &case.base(), device).unwrap_err();
    assert_eq!(error.code, shared::error::Code::Contradiction);
}
