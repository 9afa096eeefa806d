//! Weights that a checkpoint holds quantized, in bitsandbytes' layout.
//!
//! In: the tensors beside a weight. Out: [`Stored`], how its elements are to be read.
//! Keeps: a weight is quantized when the tensors beside it say so, whatever config.json lists as left
//! out; what is accepted has every part in its size, so that nobody past here checks again.
//! Not here: making codes from values (see the worker).

use std::path::Path;

use safetensors::Dtype;
use serde::Deserialize;
use serde_json::Value;

use super::{TensorSpec, WeightFiles};
use crate::config::{LoraInit, Quantization, QuantizationConfig};
use crate::error::{Code, Error, Result};

/// The values of NF4's codes, as bitsandbytes rounds them.
pub const NF4_VALUES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Elements of an NF4 block when this program quantizes.
pub const NF4_BLOCK: usize = 64;
/// Scales of a block of scales.
pub const NESTED_BLOCK: usize = 256;

const STATE: &str = "quant_state.bitsandbytes__nf4";

/// How a weight lies in the files.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// NF4: packed codes under the weight's name, scales beside it.
    Nf4(StoredNf4),
    /// Eight bits: codes under the weight's name, scales under `SCB`.
    Int8,
}

/// The numbers of an NF4 weight that are not tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNf4 {
    /// Rows and columns of the weight.
    pub shape: [usize; 2],
    /// Elements of a block.
    pub block: usize,
    /// Scales of a block and what is added to each, where scales are quantized too.
    pub nested: Option<(usize, f32)>,
    /// The type of the weight before.
    pub dtype: Dtype,
}

impl Stored {
    /// The word for it in a configuration.
    #[must_use]
    pub fn form(&self) -> Quantization {
        match self {
            Self::Nf4(_) => Quantization::Nf4,
            Self::Int8 => Quantization::Int8,
        }
    }
}

/// What the config.json of a folder says the linears are; nothing where there is none.
///
/// # Errors
/// As [`announced`].
pub fn announced_in(folder: &Path) -> Result<QuantizationConfig> {
    let text = std::fs::read(folder.join("config.json")).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    announced(config.get("quantization_config"))
}

/// What `quantization_config` of a config.json says the linears are.
///
/// # Errors
/// [`Code::BadModelConfig`] for a method or a type that is not read.
pub fn announced(section: Option<&Value>) -> Result<QuantizationConfig> {
    let refused = |what: String| {
        Error::new(Code::BadModelConfig, what)
            .why("bitsandbytes' NF4 and int8 checkpoints are read")
            .fix("use the model's 16-bit or 32-bit weights, with `quantization: nf4` if you like")
    };
    let section = match section {
        None | Some(Value::Null) => return Ok(QuantizationConfig::default()),
        Some(section) => section,
    };
    let text = |key: &str| section.get(key).and_then(Value::as_str);
    let is_on = |key: &str| section.get(key).and_then(Value::as_bool) == Some(true);
    match text("quant_method") {
        Some("bitsandbytes") => {}
        Some(other) => return Err(refused(format!("the base model is quantized by {other}"))),
        None => return Err(refused("quantization_config names no quant_method".into())),
    }
    if is_on("load_in_8bit") {
        return Ok(QuantizationConfig {
            form: Quantization::Int8,
            ..QuantizationConfig::default()
        });
    }
    match text("bnb_4bit_quant_type") {
        Some("nf4") => Ok(QuantizationConfig {
            form: Quantization::Nf4,
            double: is_on("bnb_4bit_use_double_quant"),
        }),
        other => Err(refused(format!(
            "the base model holds 4-bit weights of type {}",
            other.unwrap_or("fp4")
        ))),
    }
}

/// Checks that the first adapter can be made over such a base model.
///
/// # Errors
/// [`Code::Contradiction`] for PiSSA, which takes a part out of weights that must then be dense.
pub fn check_init(quantized: bool, init: LoraInit) -> Result<()> {
    if !quantized || init != LoraInit::Pissa {
        return Ok(());
    }
    Err(Error::new(
        Code::Contradiction,
        "`init_lora_weights` is pissa, and the base model is quantized",
    )
    .why("PiSSA takes the adapter's part out of the weights, and what is left is not quantized again")
    .fix("leave `init_lora_weights` at its default")
    .fix("--set quantization=none, with a base model in 16 or 32 bits"))
}

#[derive(Deserialize)]
struct State {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f64>,
}

/// The tensors beside one weight, each checked as it is looked at.
struct Beside<'a> {
    files: &'a WeightFiles,
    weight: &'a str,
}

/// How a weight lies in the files, `None` where it is as any other tensor.
///
/// # Errors
/// [`Code::BadWeights`] for parts that are missing or do not fit.
pub(super) fn stored(files: &WeightFiles, weight: &str, shape: &[usize]) -> Result<Option<Stored>> {
    let beside = Beside { files, weight };
    let codes = scale_name(weight);
    let found = if files.spec(&format!("{weight}.{STATE}")).is_some() {
        beside.nf4(shape).map(Stored::Nf4)
    } else if files.spec(&codes).is_some() {
        beside.int8(shape, &codes).map(|()| Stored::Int8)
    } else if files.spec(&format!("{weight}.absmax")).is_some() {
        Err(beside.broken("its quant_state is not that of NF4"))
    } else {
        return Ok(None);
    };
    found.map(Some)
}

/// The name of an 8-bit weight's scales.
#[must_use]
pub fn scale_name(weight: &str) -> String {
    format!("{}.SCB", weight.strip_suffix(".weight").unwrap_or(weight))
}

impl Beside<'_> {
    fn nf4(&self, shape: &[usize]) -> Result<StoredNf4> {
        let name = format!("{}.{STATE}", self.weight);
        let bytes = self.files.spec(&name).map(|spec| self.files.bytes(spec));
        let state: State = serde_json::from_slice(bytes.unwrap_or_default())
            .map_err(|e| self.broken(&format!("{name} cannot be read: {e}")))?;
        if state.quant_type != "nf4" || state.shape != shape {
            let State {
                quant_type,
                shape: found,
                ..
            } = state;
            return Err(self.broken(&format!(
                "{name} is of {quant_type} with shape {found:?}, config.json asks for {shape:?}"
            )));
        }
        let &[rows, columns] = shape else {
            return Err(self.broken("it is no matrix"));
        };
        let elements: usize = shape.iter().product();
        let size = |block: usize| block.is_power_of_two() && (32..=4096).contains(&block);
        if !size(state.blocksize) {
            return Err(self.broken(&format!("{name} has blocks of {}", state.blocksize)));
        }
        let blocks = elements.div_ceil(state.blocksize);
        let packed = self.files.spec(self.weight).map_or(0, |spec| spec.bytes);
        if packed != elements.div_ceil(2) {
            return Err(self.broken(&format!(
                "it has {packed} bytes, {} are needed",
                elements.div_ceil(2)
            )));
        }
        let map = self.part("quant_map", Dtype::F32, 16)?;
        if floats(map) != NF4_VALUES {
            return Err(self.broken("its quant_map is not that of NF4"));
        }
        let nested = match (state.nested_blocksize, state.nested_offset) {
            (Some(block), Some(offset)) if size(block) => {
                self.part("absmax", Dtype::U8, blocks)?;
                self.part("nested_absmax", Dtype::F32, blocks.div_ceil(block))?;
                self.part("nested_quant_map", Dtype::F32, 256)?;
                Some((block, offset as f32))
            }
            (None, None) => {
                self.part("absmax", Dtype::F32, blocks)?;
                None
            }
            _ => return Err(self.broken(&format!("{name} has unknown nested scales"))),
        };
        let dtype = match state.dtype.as_str() {
            "float32" => Dtype::F32,
            "float16" => Dtype::F16,
            "bfloat16" => Dtype::BF16,
            other => return Err(self.broken(&format!("{name} is of type {other}"))),
        };
        Ok(StoredNf4 {
            shape: [rows, columns],
            block: state.blocksize,
            nested,
            dtype,
        })
    }

    fn int8(&self, shape: &[usize], scales: &str) -> Result<()> {
        let codes = self.files.spec(self.weight);
        if !codes.is_some_and(|spec| spec.dtype == Dtype::I8 && spec.shape == shape) {
            return Err(self.broken(&format!("int8 codes of shape {shape:?} are needed")));
        }
        let rows = shape.first().copied().unwrap_or(0);
        self.named(scales, Dtype::F32, rows).map(drop)
    }

    fn part(&self, part: &str, dtype: Dtype, length: usize) -> Result<&[u8]> {
        self.named(&format!("{}.{part}", self.weight), dtype, length)
    }

    fn named(&self, name: &str, dtype: Dtype, length: usize) -> Result<&[u8]> {
        let fits = |spec: &&TensorSpec| {
            spec.dtype == dtype && spec.shape.iter().product::<usize>() == length
        };
        match self.files.spec(name).filter(fits) {
            Some(spec) => Ok(self.files.bytes(spec)),
            None => Err(self.broken(&format!(
                "{name} of type {dtype:?} and length {length} is needed"
            ))),
        }
    }

    fn broken(&self, why: &str) -> Error {
        Error::new(
            Code::BadWeights,
            format!("the quantized weight {} cannot be read", self.weight),
        )
        .why(why)
        .fix("write the checkpoint anew, or use the model's 16-bit weights")
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<4>();
    values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}
