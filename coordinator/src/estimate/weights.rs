//! Bytes of the base model's weights as a worker holds them.
//!
//! In: shape of the base model, the form of its files, the form that the configuration asks for. Out: [`Weights`].
//! Keeps: pure arithmetic over the shapes of the linears; codes, scales and scales of scales are each counted. Serves
//! the CPU, where mapped pages are not anonymous memory, and a device, where all weights are its own.

use shared::config::{Quantization, QuantizationConfig};
use shared::model::{ModelConfig, NESTED_BLOCK, NF4_BLOCK, linears};

/// Bytes of the table of 256 f32 values that the 8-bit codes of scales stand for.
const NESTED_MAP: u64 = 256 * 4;
const F32: u64 = 4;

/// Bytes of the base model's weights, by how they are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Bytes of the linears that are held quantized.
    pub quantized: u64,
    /// Bytes of all other weights, in the type of compute.
    pub dense: u64,
    /// Part of `quantized` that the worker made itself: anonymous memory, not mapped from files.
    pub made: u64,
    /// Part of `dense` that was converted from another type.
    pub converted: u64,
    /// Bytes of the weight files.
    pub files: u64,
    /// Bytes of the largest quantized weight made dense, which exists for one product.
    pub temporary: u64,
}

/// The base model and the forms in which its weights are held.
#[derive(Clone, Copy, Debug)]
pub struct WeightInputs<'a> {
    /// Shape of the base model.
    pub shape: &'a ModelConfig,
    /// Parameters of the base model.
    pub parameters: u64,
    /// Bytes of a value in the files, where it is not quantized.
    pub stored_value_bytes: u64,
    /// Quantization of the linears in the files.
    pub stored_quantization: QuantizationConfig,
    /// Quantization that the configuration asks for; files that are quantized already stay as they are.
    pub asked: QuantizationConfig,
    /// Bytes of a value in compute.
    pub value_bytes: u64,
}

/// Bytes of the weights of one worker.
///
/// With N parameters, of which `e = sum of out in` are in quantized linears: `quantized` is the sum of their codes and
/// scales, `dense = (N - e) E`, `temporary = max(out in) E`, E `value_bytes`. Without quantization `e = 0`.
#[must_use]
pub fn weights(inputs: &WeightInputs<'_>) -> Weights {
    let already = inputs.stored_quantization.form != Quantization::None;
    let form = if already {
        inputs.stored_quantization
    } else {
        inputs.asked
    };
    let none = form.form == Quantization::None;
    let sizes = linears(inputs.shape)
        .into_iter()
        .filter(|_| !none)
        .map(|linear| (linear.out_features as u64, linear.in_features as u64));
    let (mut quantized, mut elements, mut largest) = (0, 0, 0);
    for (rows, columns) in sizes {
        quantized += bytes(form, rows, columns);
        elements += rows * columns;
        largest = largest.max(rows * columns);
    }
    let rest = inputs.parameters.saturating_sub(elements);
    let dense = rest * inputs.value_bytes;
    Weights {
        quantized,
        dense,
        made: if already { 0 } else { quantized },
        converted: if inputs.stored_value_bytes == inputs.value_bytes {
            0
        } else {
            dense
        },
        files: if already {
            quantized + rest * inputs.stored_value_bytes
        } else {
            inputs.parameters * inputs.stored_value_bytes
        },
        temporary: largest * inputs.value_bytes,
    }
}

/// Bytes of codes and scales of one weight of `e = rows columns` values in `b = ceil(e / 64)` blocks: int8 `e + 4
/// rows`, NF4 `ceil(e / 2) + 4 b`, NF4 with double quantization `ceil(e / 2) + b + 4 ceil(b / 256) + 1024`.
fn bytes(form: QuantizationConfig, rows: u64, columns: u64) -> u64 {
    let elements = rows * columns;
    let blocks = elements.div_ceil(NF4_BLOCK as u64);
    match form.form {
        Quantization::None => 0,
        Quantization::Int8 => elements + rows * F32,
        Quantization::Nf4 if form.double => {
            let nested = blocks.div_ceil(NESTED_BLOCK as u64) * F32;
            elements.div_ceil(2) + blocks + nested + NESTED_MAP
        }
        Quantization::Nf4 => elements.div_ceil(2) + blocks * F32,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NF4: QuantizationConfig = QuantizationConfig {
        form: Quantization::Nf4,
        double: true,
    };

    /// One layer of 40 x 40 linears, but for an inner width of 56; 100 words.
    fn of(asked: QuantizationConfig, lies: QuantizationConfig, stored: u64) -> Weights {
        let shape = ModelConfig::from_json(&json!({
            "model_type": "llama", "vocab_size": 100, "hidden_size": 40,
            "intermediate_size": 56, "num_hidden_layers": 1, "num_attention_heads": 4,
        }));
        weights(&WeightInputs {
            shape: &shape.unwrap(),
            parameters: 4 * 1600 + 3 * 2240 + 8120,
            stored_value_bytes: stored,
            stored_quantization: lies,
            asked,
            value_bytes: 2,
        })
    }

    #[test]
    fn four_bits_count_codes_scales_and_the_scales_of_scales() {
        let none = QuantizationConfig::default();
        let found = of(NF4, none, 2);
        // 1600 elements are 25 blocks, 2240 are 35; one block of scales each.
        let square = 800 + 25 + 4 + 1024;
        let wide = 1120 + 35 + 4 + 1024;
        assert_eq!(found.quantized, 4 * square + 3 * wide);
        assert_eq!((found.made, found.dense), (found.quantized, 2 * 8120));
        assert_eq!((found.converted, found.temporary), (0, 2 * 2240));
        let single = of(
            QuantizationConfig {
                double: false,
                ..NF4
            },
            none,
            4,
        );
        assert_eq!(single.quantized, 4 * (800 + 100) + 3 * (1120 + 140));
        assert_eq!(single.converted, 2 * 8120);
        assert_eq!(single.files, 4 * (4 * 1600 + 3 * 2240 + 8120));
    }

    #[test]
    fn eight_bits_count_a_scale_per_row() {
        let int8 = QuantizationConfig {
            form: Quantization::Int8,
            double: true,
        };
        let found = of(int8, QuantizationConfig::default(), 2);
        // gate and up have 56 rows, down 40.
        let rows = 4 * 40 + 2 * 56 + 40;
        assert_eq!(found.quantized, 4 * 1600 + 3 * 2240 + 4 * rows);
    }

    #[test]
    fn what_lies_quantized_is_mapped_and_made_by_nobody() {
        let asked = of(QuantizationConfig::default(), NF4, 2);
        assert_eq!(asked, of(NF4, NF4, 2));
        assert_eq!(asked.made, 0);
        assert_eq!(asked.files, asked.quantized + 2 * 8120);
    }

    #[test]
    fn dense_weights_have_no_temporary() {
        let none = QuantizationConfig::default();
        let found = of(none, none, 2);
        let all = 2 * (4 * 1600 + 3 * 2240 + 8120);
        assert_eq!((found.dense, found.files), (all, all));
        assert_eq!(
            (found.quantized, found.temporary, found.converted),
            (0, 0, 0)
        );
    }
}
