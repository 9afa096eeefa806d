//! Parts of the model by libtorch's operators, on any device, with a gradient of everything.
//!
//! In and out: as the methods of [`Backend`](super::Backend) say. Shapes in names as there.

#![allow(non_snake_case)]

use shared::model::Activation;
use tch::{Kind, Reduction, Tensor};

use super::torch::TorchResult;

pub(super) fn attention(
    [query, key, value]: [&Tensor; 3],
    seen: Option<&Tensor>,
    causal: bool,
    scale: f64,
) -> TorchResult<Tensor> {
    let grouped = query.size()[1] != key.size()[1];
    Tensor::f_scaled_dot_product_attention(query, key, value, seen, 0.0, causal, scale, grouped)?
        .f_transpose(1, 2)
}

pub(super) fn cross_entropy(logits_CV: &Tensor, wanted_C: &Tensor) -> TorchResult<Tensor> {
    // No word has this number: every row counts.
    let ignored = -100;
    logits_CV.f_cross_entropy_loss(wanted_C, None::<&Tensor>, Reduction::None, ignored, 0.0)
}

pub(super) fn gated(
    activation: Activation,
    gate_PI: &Tensor,
    up_PI: &Tensor,
) -> TorchResult<Tensor> {
    match activation {
        Activation::Silu => gate_PI.f_silu()?.f_mul(up_PI),
        Activation::GeluTanh => gate_PI.f_gelu("tanh")?.f_mul(up_PI),
    }
}

pub(super) fn normed(input_PH: &Tensor, weight_H: &Tensor, eps: f64) -> TorchResult<Tensor> {
    let kind = input_PH.f_kind()?;
    let wide_PH = input_PH.f_to_kind(Kind::Float)?;
    let variance = wide_PH.f_square()?.f_mean_dim(-1, true, Kind::Float)?;
    let scaled_PH = wide_PH.f_mul(&variance.f_add_scalar(eps)?.f_rsqrt()?)?;
    if weight_H.f_kind()? == kind {
        weight_H.f_mul(&scaled_PH.f_to_kind(kind)?)
    } else {
        scaled_PH.f_mul(weight_H)?.f_to_kind(kind)
    }
}

pub(super) fn rotated(x_BTND: &Tensor, cos: &Tensor, sin: &Tensor) -> TorchResult<Tensor> {
    let (width, part) = (x_BTND.size()[3], cos.size()[2]);
    if part < width {
        let parts = x_BTND.f_split_with_sizes([part, width - part].as_slice(), 3)?;
        let first = rotated(&parts[0], cos, sin)?;
        return Tensor::f_cat(&[first, parts[1].shallow_clone()], 3);
    }
    let half = width / 2;
    let left = x_BTND.f_narrow(3, 0, half)?;
    let right = x_BTND.f_narrow(3, half, half)?;
    let swapped = Tensor::f_cat(&[right.f_neg()?, left], 3)?;
    x_BTND.f_mul(cos)?.f_add(&swapped.f_mul(sin)?)
}
