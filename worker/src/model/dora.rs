//! Weight-decomposed LoRA: lengths of the directions, and the stretched product.
//!
//! W + s·B·A is a direction per output with the length that a magnitude gives it (arXiv:2402.09353).
//! Its own length counts as a constant in the backward pass, section 4.3; here it is computed once per
//! set of values, not once per product. With dropout only the adapter's part of the change sees
//! dropped inputs, as PEFT has it. Shapes in names: P rows, I inputs, O outputs, R rank.

use tch::{Kind, Tensor};

use crate::device::{
    Dropout, FrozenWeight, LoraWeights, TorchResult, frozen_product, lora_linear, product,
};

/// Rows of the weight that are widened at a time.
const ROWS: i64 = 1024;

/// Length of every row of `weight + scaling b a`, or of the weight alone, in f32.
///
/// # Errors
/// libtorch's.
pub(super) fn directions(weight_OI: &Tensor, pair: Option<&LoraWeights>) -> TorchResult<Tensor> {
    let outputs = weight_OI.size()[0];
    let mut lengths = Vec::new();
    let mut from = 0;
    while from < outputs {
        let rows = ROWS.min(outputs - from);
        let mut wide_OI = weight_OI.f_narrow(0, from, rows)?.f_to_kind(Kind::Float)?;
        if let Some(pair) = pair {
            let change_OI = product(&pair.b_OR.f_narrow(0, from, rows)?, &pair.a_RI)?;
            wide_OI = wide_OI.f_add(&change_OI.f_mul_scalar(pair.scaling)?)?;
        }
        lengths.push(wide_OI.f_norm_scalaropt_dim(2, [1], false)?);
        from += rows;
    }
    Tensor::f_cat(&lengths, 0)
}

/// The product with the stretched directions, without a bias.
///
/// # Errors
/// libtorch's.
pub(super) fn stretched(
    input_PI: &Tensor,
    weight_OI: &FrozenWeight,
    pair: &LoraWeights,
    stretch_O: &Tensor,
    dropout: Option<Dropout>,
) -> TorchResult<Tensor> {
    let kind = input_PI.f_kind()?;
    let Some(dropout) = dropout else {
        return lora_linear(input_PI, weight_OI, None, pair, None)?
            .f_mul(stretch_O)?
            .f_to_kind(kind);
    };
    // base(x) + (g - 1) base(d) + g lora(d) = base(x - d) + g (base(d) + lora(d)), d the dropped x.
    let dropped_PI = input_PI.f_mul(&dropout.keep)?.f_mul_scalar(dropout.scale)?;
    let rest_PO = frozen_product(&input_PI.f_sub(&dropped_PI)?, weight_OI, None)?;
    lora_linear(&dropped_PI, weight_OI, None, pair, None)?
        .f_mul(stretch_O)?
        .f_add(&rest_PO)?
        .f_to_kind(kind)
}
