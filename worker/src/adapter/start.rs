//! The first values of an adapter: drawn from the seed, taken from the base, or read from a folder.
//!
//! Drawn: PEFT's order of draws from torch's CPU generator, so that the same seed gives the bytes
//! that `torch.manual_seed(seed)` and `get_peft_model` give. Read: every key and shape must fit,
//! and the scaling must be the one the values were trained with.

use shared::config::LoraInit;
use shared::error::{Code, Error, Result};
use shared::model::{AdapterSpec, AdapterTensor, Role};
use tch::{Kind, Tensor};

use super::{AdapterLayout, PeftAdapter};
use crate::device::{Generator, TorchResult};
use crate::model::{Decoder, Module};

/// How the first values are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Seed of torch's CPU generator.
    pub seed: u64,
    /// Rule by which A and B are drawn.
    pub init: LoraInit,
    /// Type of the base model in compute: values are rounded to it, as PEFT's casts do.
    pub base_kind: Kind,
    /// A and B of what PiSSA took out of the base, flat and at their places; `None` for other rules.
    pub pissa_initial: Option<&'a [f32]>,
}

/// The first values as PEFT makes them: A drawn and B zero, of an embedding A zero and B drawn;
/// magnitudes, biases and whole modules as the base has them, IA3's vectors one.
///
/// # Errors
/// libtorch's.
pub fn drawn(draw: Draw<'_>, layout: &AdapterLayout, decoder: &Decoder) -> TorchResult<Vec<f32>> {
    let mut generator = Generator::new(draw.seed)?;
    let mut values = vec![0f32; layout.len()];
    let mut tensors = layout.places().peekable();
    while let Some((tensor, range)) = tensors.next() {
        let next = tensors.peek().map(|(next, _)| *next);
        let pissa = draw.pissa_initial.and_then(|all| all.get(range.clone()));
        let first = match (tensor.role, next) {
            (Role::LoraA | Role::LoraB, _) if pissa.is_some() => {
                Some(Tensor::f_from_slice(pissa.unwrap_or_default())?)
            }
            (Role::LoraA, Some(b)) => Some(pair(draw.init, &mut generator, tensor, b)?),
            (Role::EmbeddingA, Some(b)) => {
                let _ = generator.normal(&sizes(tensor), 1.0)?;
                let _ = generator.normal(&sizes(b), 1.0)?;
                None
            }
            (Role::EmbeddingB, _) => Some(generator.normal(&sizes(tensor), 1.0)?),
            (Role::LoraA | Role::EmbeddingA | Role::LoraB, _) => None,
            (Role::ScaledInput | Role::ScaledOutput, _) => Some(Tensor::f_ones(
                sizes(tensor),
                (Kind::Float, tch::Device::Cpu),
            )?),
            (Role::Magnitude | Role::Bias | Role::Whole, _) => of_base(decoder, tensor)?,
        };
        let (Some(first), Some(place)) = (first, values.get_mut(range)) else {
            continue;
        };
        let rounded = first.f_to_kind(draw.base_kind)?.f_to_kind(Kind::Float)?;
        rounded
            .f_to_device(tch::Device::Cpu)?
            .f_contiguous()?
            .f_copy_data(place, tensor.elements())?;
    }
    Ok(values)
}

/// A of a pair. Before it is drawn by LoRA's own rule, A and B are drawn as new linears are.
fn pair(
    init: LoraInit,
    generator: &mut Generator,
    a: &AdapterTensor,
    b: &AdapterTensor,
) -> TorchResult<Tensor> {
    let _ = kaiming_uniform(generator, &sizes(a))?;
    let _ = kaiming_uniform(generator, &sizes(b))?;
    match init {
        LoraInit::Gaussian => {
            let rank = u32::try_from(a.shape.first().copied().unwrap_or(1)).unwrap_or(u32::MAX);
            generator.normal(&sizes(a), 1.0 / f64::from(rank))
        }
        LoraInit::Default | LoraInit::Pissa => kaiming_uniform(generator, &sizes(a)),
    }
}

fn of_base(decoder: &Decoder, tensor: &AdapterTensor) -> TorchResult<Option<Tensor>> {
    let found = match (tensor.role, decoder.module(&tensor.module)) {
        (Role::Magnitude, Some(Module::Linear(linear))) => Some(linear.weight_norm()?),
        (Role::Bias, Some(Module::Linear(linear))) => {
            linear.bias_O.as_ref().map(Tensor::shallow_clone)
        }
        (Role::Whole, Some(Module::Linear(linear))) => Some(linear.dense()?),
        (Role::Whole, Some(Module::Embedding(embedding))) => {
            Some(embedding.frozen_VH.shallow_clone())
        }
        (Role::Whole, Some(Module::Norm(norm))) => Some(norm.frozen().shallow_clone()),
        _ => None,
    };
    Ok(found)
}

fn sizes(tensor: &AdapterTensor) -> Vec<i64> {
    let size = |&n: &usize| i64::try_from(n).unwrap_or(i64::MAX);
    tensor.shape.iter().map(size).collect()
}

/// torch's `kaiming_uniform_(a=sqrt(5))`, computed as it computes the bound.
fn kaiming_uniform(generator: &mut Generator, shape: &[i64]) -> TorchResult<Tensor> {
    let columns = shape.last().copied().unwrap_or(1);
    let slope = 5f64.sqrt();
    let gain = (2.0 / (1.0 + slope * slope)).sqrt();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a matrix has fewer columns than 2^52"
    )]
    let deviation = gain / (columns as f64).sqrt();
    let bound = 3f64.sqrt() * deviation;
    generator.uniform(shape, -bound, bound)
}

/// The values of an adapter on disk in canonical order.
///
/// # Errors
/// [`Code::BadInitAdapter`] when kind, scaling, a key or a shape does not fit.
pub fn from_peft(
    adapter: &PeftAdapter,
    layout: &AdapterLayout,
    spec: &AdapterSpec,
) -> Result<Vec<f32>> {
    let bad = |what: String| Error::new(Code::BadInitAdapter, what).in_file(&adapter.file);
    let theirs = &adapter.spec;
    if theirs.kind != spec.kind || theirs.use_dora != spec.use_dora {
        return Err(bad("the adapter is of another kind".into())
            .why(format!(
                "it is {}, the configuration says {}",
                kind(theirs),
                kind(spec)
            ))
            .fix("set adapter_type and use_dora as in its adapter_config.json"));
    }
    for tensor in layout
        .tensors
        .iter()
        .filter(|tensor| tensor.role == Role::LoraA || tensor.role == Role::EmbeddingA)
    {
        let module = &tensor.module;
        let (rank, wanted) = (theirs.rank_of(module), spec.rank_of(module));
        if rank != wanted {
            return Err(bad(format!("the adapter has rank {rank} for {module}"))
                .why(format!("the configuration says {wanted}"))
                .fix(format!(
                    "set lora_rank: {rank}, or rank_pattern as in its adapter_config.json"
                )));
        }
        let (scaling, wanted) = (theirs.scaling_of(module), spec.scaling_of(module));
        if (scaling - wanted).abs() > 1e-9 * wanted.abs() {
            return Err(bad(format!("the adapter was trained with scaling {scaling}"))
                .why(format!(
                    "lora_alpha, lora_rank and use_rslora here make {wanted} for {module}"
                ))
                .fix("set lora_alpha, alpha_pattern and use_rslora as in its adapter_config.json"));
        }
    }
    let strangers: Vec<&str> = adapter
        .tensors
        .keys()
        .filter(|key| !layout.tensors.iter().any(|t| t.key == **key))
        // PEFT saves an adapted embedding's frozen weight beside its pair.
        .filter(|key| !key.ends_with(".base_layer.weight"))
        .map(String::as_str)
        .collect();
    if let Some(first) = strangers.first() {
        return Err(bad(format!(
            "the adapter has {} tensors too many",
            strangers.len()
        ))
        .why(format!("for instance {first}"))
        .fix("set target_modules, modules_to_save and bias as in its adapter_config.json"));
    }
    let mut values = Vec::with_capacity(layout.len());
    for tensor in &layout.tensors {
        let Some((shape, found)) = adapter.tensors.get(&tensor.key) else {
            return Err(bad(format!("the adapter lacks {}", tensor.key)).fix(
                "set target_modules, modules_to_save and bias as in its adapter_config.json",
            ));
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

fn kind(spec: &AdapterSpec) -> &'static str {
    match (spec.kind, spec.use_dora) {
        (shared::config::AdapterKind::Ia3, _) => "IA3",
        (_, true) => "LoRA with DoRA",
        _ => "LoRA",
    }
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
