//! The first values of an adapter: drawn from the seed, or read from a folder.
//!
//! Drawn: PEFT's order of draws from torch's CPU generator, so that the same seed gives the bytes
//! that `torch.manual_seed(seed)` and `get_peft_model` give. Read: every key and shape must fit,
//! and the scaling must be the one the values were trained with.

use shared::error::{Code, Error, Result};
use tch::Kind;

use super::{AdapterLayout, PeftAdapter};
use crate::device::{Generator, TorchResult};

/// A as PEFT draws it, B zero. With a bf16 base, A is rounded to bf16 as PEFT's cast does.
///
/// # Errors
/// libtorch's.
pub fn drawn(seed: u64, layout: &AdapterLayout, base_kind: Kind) -> TorchResult<Vec<f32>> {
    let mut generator = Generator::new(seed)?;
    let mut values = vec![0f32; layout.len()];
    for (a, b) in layout.pairs() {
        // Per linear: A as a new linear draws it, B so too, then A again by LoRA's own rule.
        let _ = kaiming_uniform(&mut generator, a.shape)?;
        let _ = kaiming_uniform(&mut generator, b.shape)?;
        let first = kaiming_uniform(&mut generator, a.shape)?;
        let first = first.f_to_kind(base_kind)?.f_to_kind(Kind::Float)?;
        if let Some(place) = values.get_mut(a.range()) {
            first.f_copy_data(place, a.elements())?;
        }
    }
    Ok(values)
}

/// torch's `kaiming_uniform_(a=sqrt(5))`, computed as it computes the bound.
fn kaiming_uniform(generator: &mut Generator, shape: [usize; 2]) -> TorchResult<tch::Tensor> {
    let [rows, columns] = shape.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let slope = 5f64.sqrt();
    let gain = (2.0 / (1.0 + slope * slope)).sqrt();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a matrix has fewer columns than 2^52"
    )]
    let deviation = gain / (columns as f64).sqrt();
    let bound = 3f64.sqrt() * deviation;
    generator.uniform(&[rows, columns], -bound, bound)
}

/// The values of an adapter on disk in canonical order.
///
/// # Errors
/// [`Code::BadInitAdapter`] when rank, scaling, a key or a shape does not fit.
pub fn from_peft(
    adapter: &PeftAdapter,
    layout: &AdapterLayout,
    lora_rank: u32,
    scaling: f64,
) -> Result<Vec<f32>> {
    let bad = |what: String| Error::new(Code::BadInitAdapter, what).in_file(&adapter.file);
    if u32::try_from(adapter.lora_rank) != Ok(lora_rank) {
        return Err(bad(format!("the adapter has rank {}", adapter.lora_rank))
            .why(format!("the configuration says lora_rank: {lora_rank}"))
            .fix(format!("set lora_rank: {}", adapter.lora_rank)));
    }
    if (adapter.scaling - scaling).abs() > 1e-9 * scaling.abs() {
        return Err(bad(format!(
            "the adapter was trained with scaling {}",
            adapter.scaling
        ))
        .why(format!(
            "lora_alpha, lora_rank and use_rslora here make {scaling}"
        ))
        .fix("set lora_alpha and use_rslora as in its adapter_config.json"));
    }
    let strangers: Vec<&str> = adapter
        .tensors
        .keys()
        .filter(|key| !layout.tensors.iter().any(|t| t.key == **key))
        .map(String::as_str)
        .collect();
    if let Some(first) = strangers.first() {
        return Err(bad(format!(
            "the adapter has {} tensors too many",
            strangers.len()
        ))
        .why(format!("for instance {first}"))
        .fix("set target_modules as in its adapter_config.json"));
    }
    let mut values = Vec::with_capacity(layout.len());
    for tensor in &layout.tensors {
        let Some((shape, found)) = adapter.tensors.get(&tensor.key) else {
            return Err(bad(format!("the adapter lacks {}", tensor.key))
                .fix("set target_modules as in its adapter_config.json"));
        };
        if shape != &tensor.shape {
            return Err(bad(format!("{} has shape {shape:?}", tensor.key))
                .why(format!("{:?} is needed", tensor.shape))
                .fix("the adapter must have been trained on the same base model"));
        }
        values.extend_from_slice(found);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use shared::model::LinearSpec;

    use super::*;

    fn layout() -> AdapterLayout {
        let spec = LinearSpec {
            name: "l.q_proj".into(),
            layer: 0,
            in_features: 8,
            out_features: 4,
        };
        AdapterLayout::new(2, &[spec])
    }

    fn on_disk() -> PeftAdapter {
        let layout = layout();
        let tensors = layout
            .tensors
            .iter()
            .map(|t| (t.key.clone(), (t.shape.to_vec(), vec![0.5; t.elements()])));
        PeftAdapter {
            lora_rank: 2,
            scaling: 2.0,
            tensors: tensors.collect(),
            file: "a".into(),
        }
    }

    #[test]
    fn equal_seeds_draw_equal_values_within_the_bound_and_b_is_zero() {
        let draw = |seed| drawn(seed, &layout(), Kind::Float).unwrap();
        assert_eq!(draw(42), draw(42));
        assert_ne!(draw(42), draw(43));
        let bound = 1.0 / 8f32.sqrt();
        assert!(draw(42)[..16].iter().all(|v| v.abs() <= bound && *v != 0.0));
        assert!(draw(42)[16..].iter().all(|v| *v == 0.0));
        let rounded = drawn(42, &layout(), Kind::BFloat16).unwrap();
        assert!(rounded.iter().all(|v| v.to_bits() & 0xffff == 0));
    }

    #[test]
    fn an_adapter_that_fits_is_taken_whole() {
        let values = from_peft(&on_disk(), &layout(), 2, 2.0).unwrap();
        assert_eq!(values, vec![0.5; layout().len()]);
    }

    #[test]
    fn an_adapter_that_does_not_fit_is_refused() {
        let code = |change: fn(&mut PeftAdapter)| {
            let mut adapter = on_disk();
            change(&mut adapter);
            from_peft(&adapter, &layout(), 2, 2.0).unwrap_err().code
        };
        assert_eq!(code(|a| a.lora_rank = 4), Code::BadInitAdapter);
        assert_eq!(code(|a| a.scaling = 1.0), Code::BadInitAdapter);
        assert_eq!(code(|a| drop(a.tensors.pop_first())), Code::BadInitAdapter);
        assert_eq!(
            code(|a| drop(a.tensors.insert("more".into(), (vec![1], vec![0.0])))),
            Code::BadInitAdapter
        );
        assert_eq!(
            code(|a| a.tensors.values_mut().for_each(|t| t.0 = vec![1, 16])),
            Code::BadInitAdapter
        );
    }
}
