//! PiSSA: the first pair of a linear is the base's own largest part, and is taken out of it.
//!
//! In: a decoder with the base model's weights. Out: A and B of every pair, and a decoder whose adapted
//! weights are what is left (arXiv:2404.02948). Keeps: computed on the CPU by libtorch's one thread, so that no
//! number of threads changes a bit of it. Shapes in names: I inputs, O outputs, R rank.

#![allow(non_snake_case)]

use shared::model::{AdapterSpec, Role};
use tch::{Device, Kind, TchError, Tensor, no_grad};

use super::AdapterLayout;
use crate::device::TorchResult;
use crate::model::{Decoder, Module};

/// Takes the largest singular values out of every linear that gets a pair; returns the flat vector
/// with A and B at their places, and zeros elsewhere.
///
/// # Errors
/// libtorch's.
pub fn take_out(
    decoder: &mut Decoder,
    layout: &AdapterLayout,
    spec: &AdapterSpec,
) -> TorchResult<Vec<f32>> {
    no_grad(|| take_all(decoder, layout, spec))
}

fn take_all(
    decoder: &mut Decoder,
    layout: &AdapterLayout,
    spec: &AdapterSpec,
) -> TorchResult<Vec<f32>> {
    let mut values = vec![0f32; layout.len()];
    for place in 0..layout.tensors.len() {
        let Some(a) = layout.tensors.get(place).filter(|a| a.role == Role::LoraA) else {
            continue;
        };
        let Some(Module::Linear(linear)) = decoder.module(&a.module) else {
            return Err(TchError::Shape(format!("no linear is called {}", a.module)));
        };
        let rank = i64::from(spec.rank_of(&a.module));
        let weight_OI = linear.dense()?;
        let (a_RI, b_OR, rest_OI) = principal(&weight_OI, rank, spec.scaling_of(&a.module))?;
        decoder.replace_weight(&a.module, &rest_OI.f_to_device(weight_OI.device())?)?;
        decoder.progress().device(1);
        for (tensor, at) in [(a_RI, place), (b_OR, place + 1)] {
            if let Some(into) = values.get_mut(layout.range(at)) {
                let elements = into.len();
                tensor.f_contiguous()?.f_copy_data(into, elements)?;
            }
        }
    }
    Ok(values)
}

/// A, B and what is left of the weight, in the weight's type.
fn principal(weight_OI: &Tensor, rank: i64, scaling: f64) -> TorchResult<(Tensor, Tensor, Tensor)> {
    let wide_OI = weight_OI.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
    let (left, singular, right) = wide_OI.f_svd(true, true)?;
    let root_R = singular
        .f_narrow(0, 0, rank)?
        .f_div_scalar(scaling)?
        .f_sqrt()?;
    let a_RI = right
        .f_transpose(0, 1)?
        .f_narrow(0, 0, rank)?
        .f_mul(&root_R.f_unsqueeze(1)?)?;
    let b_OR = left.f_narrow(1, 0, rank)?.f_mul(&root_R)?;
    let part_OI = b_OR.f_mul_scalar(scaling)?.f_mm(&a_RI)?;
    let rest_OI = wide_OI.f_sub(&part_OI)?.f_to_kind(weight_OI.f_kind()?)?;
    Ok((a_RI, b_OR, rest_OI))
}
