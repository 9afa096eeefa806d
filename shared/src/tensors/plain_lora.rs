//! A PiSSA adapter as plain LoRA, which every loader reads over the untouched base model.
//!
//! In: the trained pairs `A` (r x in), `B` (out x r), and the pairs `A0`, `B0` that PiSSA took out of the base. Out:
//! pairs of rank 2r, `[A; A0]` (2r x in) and `[B, -B0]` (out x 2r), whose product is `B A - B0 A0`, with the same
//! scaling; PEFT's `path_initial_model_for_weight_conversion` does the same. Keeps: values are copied or negated, never
//! computed. Tensors that are no pair stay as they are.

use std::collections::HashMap;

use crate::error::{Code, Error, Result};
use crate::manifest::ExpectedTensor;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// The bytes of the converted adapter file.
///
/// # Errors
/// [`Code::ExportDiffers`] when the two files do not belong together.
pub fn convert(trained: &[u8], taken: &[u8]) -> Result<Vec<u8>> {
    let read = |bytes| SafeTensors::deserialize(bytes).map_err(|e| differ(e.to_string()));
    let (trained, taken) = (read(trained)?, read(taken)?);
    let mut converted: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (key, one) in trained.iter() {
        let (mut shape, mut bytes) = (one.shape().to_vec(), one.data().to_vec());
        if key.ends_with(A) || key.ends_with(B) {
            let other = taken.tensor(key).map_err(|e| differ(e.to_string()))?;
            let (Dtype::F32, [rows, columns]) = (one.dtype(), one.shape()) else {
                return Err(differ(format!("{key} is no matrix of F32")));
            };
            if other.shape() != one.shape() || other.dtype() != one.dtype() {
                return Err(differ(format!("{key} has two shapes")));
            }
            if key.ends_with(A) {
                bytes.extend_from_slice(other.data());
                shape = vec![2 * rows, *columns];
            } else {
                bytes = beside(one.data(), other.data(), 4 * columns);
                shape = vec![*rows, 2 * columns];
            }
        }
        converted.push((key.to_owned(), shape, bytes));
    }
    let views = converted.iter().map(|(key, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        view.map(|view| (key.as_str(), view))
            .map_err(|e| differ(e.to_string()))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(format)).map_err(|e| differ(e.to_string()))
}

/// Each row of `left` followed by the same row of `right` with its sign turned; `row` is a row's length in bytes.
fn beside(left: &[u8], right: &[u8], row: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(left.len() + right.len());
    for (left, right) in left.chunks(row.max(1)).zip(right.chunks(row.max(1))) {
        bytes.extend_from_slice(left);
        for value in right.as_chunks::<4>().0 {
            bytes.extend_from_slice(&(-f32::from_le_bytes(*value)).to_le_bytes());
        }
    }
    bytes
}

/// Keys and shapes that the converted file must hold.
#[must_use]
pub fn expected(trained: &[ExpectedTensor]) -> Vec<ExpectedTensor> {
    let doubled = |tensor: &ExpectedTensor| {
        let mut shape = tensor.shape.clone();
        let rank = if tensor.key.ends_with(A) {
            shape.first_mut()
        } else if tensor.key.ends_with(B) {
            shape.last_mut()
        } else {
            None
        };
        if let Some(rank) = rank {
            *rank *= 2;
        }
        ExpectedTensor {
            key: tensor.key.clone(),
            shape,
        }
    };
    trained.iter().map(doubled).collect()
}

/// The converted adapter_config.json: twice the ranks, alphas that keep the scaling.
///
/// # Errors
/// [`Code::ExportDiffers`] when the text is no adapter_config.json.
pub fn config(text: &[u8]) -> Result<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(text).map_err(|e| differ(e.to_string()))?;
    let factor = if config["use_rslora"] == true {
        std::f64::consts::SQRT_2
    } else {
        2.0
    };
    let twice = |value: &mut Value| {
        if let Some(rank) = value.as_u64() {
            *value = (2 * rank).into();
        }
    };
    let scaled = |value: &mut Value| match value.as_u64() {
        Some(alpha) if factor == 2.0 => *value = (2 * alpha).into(),
        _ => {
            if let Some(alpha) = value.as_f64() {
                *value = (alpha * factor).into();
            }
        }
    };
    twice(&mut config["r"]);
    scaled(&mut config["lora_alpha"]);
    for (key, change) in [
        ("rank_pattern", &twice as &dyn Fn(&mut Value)),
        ("alpha_pattern", &scaled),
    ] {
        let pattern = config[key].as_object_mut();
        pattern
            .into_iter()
            .flatten()
            .for_each(|(_, value)| change(value));
    }
    config["init_lora_weights"] = true.into();
    Ok(format!("{config:#}\n").into_bytes())
}

fn differ(why: String) -> Error {
    Error::new(
        Code::ExportDiffers,
        "the PiSSA adapter cannot be converted to plain LoRA",
    )
    .why(why)
    .fix("start the run again, it goes on from a checkpoint")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(a: [f32; 2], b: [f32; 3], extra: Option<f32>) -> Vec<u8> {
        let bytes = |values: &[f32]| {
            values
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let (a, b) = (bytes(&a), bytes(&b));
        let extra = extra.map(|value| bytes(&[value]));
        let view =
            |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
        let mut views = vec![
            ("m.lora_A.weight", view(&[1, 2], &a)),
            ("m.lora_B.weight", view(&[3, 1], &b)),
        ];
        if let Some(extra) = &extra {
            views.push(("m.base_layer.bias", view(&[1], extra)));
        }
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn the_product_of_the_converted_pair_is_the_difference_of_the_two() {
        let trained = file([1.0, 2.0], [3.0, 4.0, 5.0], Some(7.0));
        let taken = file([6.0, -1.0], [0.5, 8.0, -2.0], None);
        let bytes = convert(&trained, &taken).unwrap();
        let found = SafeTensors::deserialize(&bytes).unwrap();
        let values = |key: &str| -> (Vec<usize>, Vec<f32>) {
            let view = found.tensor(key).unwrap();
            let values = view
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|v| f32::from_le_bytes(*v));
            (view.shape().to_vec(), values.collect())
        };
        assert_eq!(
            values("m.lora_A.weight"),
            (vec![2, 2], vec![1.0, 2.0, 6.0, -1.0])
        );
        let b = vec![3.0, -0.5, 4.0, -8.0, 5.0, 2.0];
        assert_eq!(values("m.lora_B.weight"), (vec![3, 2], b));
        assert_eq!(values("m.base_layer.bias").1, [7.0]);
        let other = file([1.0, 2.0], [3.0, 4.0, 5.0], None);
        assert!(convert(&trained, &other[..20]).is_err());
    }

    #[test]
    fn rank_and_alpha_keep_the_scaling() {
        let text = r#"{"r": 4, "lora_alpha": 8, "use_rslora": false, "rank_pattern": {"q_proj": 3},
            "alpha_pattern": {"q_proj": 1.5}, "init_lora_weights": "pissa"}"#;
        let read = |text: &str| -> Value {
            serde_json::from_slice(&config(text.as_bytes()).unwrap()).unwrap()
        };
        let plain = read(text);
        assert_eq!((&plain["r"], &plain["lora_alpha"]), (&8.into(), &16.into()));
        assert_eq!(plain["rank_pattern"]["q_proj"], 6);
        assert_eq!(plain["alpha_pattern"]["q_proj"], 3.0);
        assert_eq!(plain["init_lora_weights"], true);
        let rooted = read(&text.replace("false", "true"));
        let scaling = rooted["lora_alpha"].as_f64().unwrap() / 8f64.sqrt();
        assert!((scaling - 8.0 / 4f64.sqrt()).abs() < 1e-12);
    }
}
