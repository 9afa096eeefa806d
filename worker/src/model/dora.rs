//! Weight-decomposed LoRA: norms of the weight's rows, and the product that they scale.
//!
//! DoRA (arXiv:2402.09353) gives each output of a linear a direction, a row of D, and a magnitude m `[O]`. With x the
//! inputs `[P, I]`, W `[O, I]`, A `[R, I]`, B `[O, R]`, s the scaling and |D| the norm of each row `[O]`:
//!
//! ```text
//! D = W + s B A                                              [O, I]
//! g = m / |D|                                                [O]
//! y = g * (x W^T + s (x A^T) B^T)                            [P, O], without dropout
//! y = (x - d) W^T + g * (d W^T + s (d A^T) B^T)              d [P, I] the inputs behind dropout
//! ```
//!
//! |D| counts as a constant in the backward pass, section 4.3; here it is computed once for each new value of the pair,
//! not once per product. With dropout only the adapter's part of the change sees dropped inputs, as PEFT has it. Shapes
//! in names: P rows, I inputs, O outputs, R rank.

use tch::{Kind, Tensor};

use crate::device::{
    Dropout, FrozenWeight, LoraWeights, TorchResult, by_rows, frozen_product, lora_linear, product,
};

/// Rows of the weight that are widened at a time.
const ROWS: i64 = 1024;

/// Norm of every row of W + s B A, or of W alone without a pair: `[O]` in f32.
///
/// # Errors
/// libtorch's.
pub(super) fn weight_norm(weight_OI: &Tensor, pair: Option<&LoraWeights>) -> TorchResult<Tensor> {
    let outputs = weight_OI.size()[0];
    let mut norms = Vec::new();
    let mut from = 0;
    while from < outputs {
        let rows = ROWS.min(outputs - from);
        let part = |all: &Tensor| all.f_narrow(0, from, rows);
        norms.push(match pair {
            None => by_rows(&[&part(weight_OI)?], &[], |all| row_norm(&all[0], None))?,
            Some(pair) => {
                let scaling = pair.scaling;
                let cut = [&part(weight_OI)?, &part(&pair.b_OR)?];
                by_rows(&cut, &[&pair.a_RI], move |all| {
                    let change_OI = product(&all[1], &all[2])?.f_mul_scalar(scaling)?;
                    row_norm(&all[0], Some(&change_OI))
                })?
            }
        });
        from += rows;
    }
    Tensor::f_cat(&norms, 0)
}

fn row_norm(weight_OI: &Tensor, change_OI: Option<&Tensor>) -> TorchResult<Tensor> {
    let wide_OI = weight_OI.f_to_kind(Kind::Float)?;
    let changed_OI = change_OI.map_or_else(|| Ok(wide_OI.shallow_clone()), |c| wide_OI.f_add(c))?;
    changed_OI.f_norm_scalaropt_dim(2, [1], false)
}

/// The product `[P, O]` with every output scaled by its g, without a bias.
///
/// # Errors
/// libtorch's.
pub(super) fn dora_product(
    input_PI: &Tensor,
    weight_OI: &FrozenWeight,
    pair: &LoraWeights,
    dora_scale_O: &Tensor,
    dropout: Option<Dropout>,
) -> TorchResult<Tensor> {
    let kind = input_PI.f_kind()?;
    let Some(dropout) = dropout else {
        return lora_linear(input_PI, weight_OI, None, pair, None)?
            .f_mul(dora_scale_O)?
            .f_to_kind(kind);
    };
    // base(x) + (g - 1) base(d) + g lora(d) = base(x - d) + g (base(d) + lora(d)), d the dropped x.
    let dropped_PI = input_PI.f_mul(&dropout.keep)?.f_mul_scalar(dropout.scale)?;
    let rest_PO = frozen_product(&input_PI.f_sub(&dropped_PI)?, weight_OI, None)?;
    lora_linear(&dropped_PI, weight_OI, None, pair, None)?
        .f_mul(dora_scale_O)?
        .f_add(&rest_PO)?
        .f_to_kind(kind)
}
