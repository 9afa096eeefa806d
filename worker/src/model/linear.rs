//! A frozen linear, and how it computes under what an adapter lays over it.
//!
//! In: rows of inputs in the type of compute. Out: rows of outputs in the same type. With x the inputs `[P, I]`, W the
//! frozen weight `[O, I]`, b the bias `[O]` where there is one, A `[R, I]` and B `[O, R]` the pair, s its scaling, d(x)
//! the inputs behind dropout, all else as [`WeightOverlay`] names it:
//!
//! ```text
//! None            y = x W^T + b                              [P, O]
//! Lora            y = x W^T + b + s (d(x) A^T) B^T
//! Dora            y = g * (x W^T + s (x A^T) B^T) + b        g = magnitude / weight norm, [O]; with dropout see `dora`
//! ScaledInput     y = (x * l) W^T + b                        l [I]
//! ScaledOutput    y = (x W^T + b) * l                        l [O]
//! Whole           y = x V^T + b                              V [O, I]
//! ```
//!
//! A bias that learns is added last, in place of b. The adapter's own part is computed in f32, as PEFT does. Shapes in
//! names: P rows, I inputs, O outputs, R lora rank.

use tch::{Device, Kind, Tensor};

use super::dora::{dora_product, weight_norm};
use super::overlay::{Overlays, WeightOverlay};
use crate::device::{
    Dropout, FrozenWeight, TorchResult, frozen_product, learning_linear, lora_linear,
};

/// Draws the dropout mask of an adapted linear, named by its site, for all P rows; `None` when nothing is dropped.
/// Attention masks are something else: those are in `attention`.
pub type DropoutMasks<'a> = Option<&'a dyn Fn(usize) -> TorchResult<Dropout>>;

/// A linear whose weight is frozen.
#[derive(Debug)]
pub struct Linear {
    /// Path of the module, under which its overlay is found.
    pub path: String,
    /// Frozen weight, dense or quantized.
    pub weight_OI: FrozenWeight,
    /// Bias of the base model, frozen, in the type of compute; not added where a bias learns.
    pub bias_O: Option<Tensor>,
}

impl Linear {
    /// The outputs `[P, O]` of the inputs `[P, I]`, by the formula of the linear's overlay; `masks` is asked with the
    /// pair's site.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(
        &self,
        input_PI: &Tensor,
        overlays: &Overlays,
        masks: DropoutMasks<'_>,
    ) -> TorchResult<Tensor> {
        let weight_OI = &self.weight_OI;
        let Some(overlay) = overlays.linears.get(&self.path) else {
            return frozen_product(input_PI, weight_OI, self.bias_O.as_ref());
        };
        let frozen_bias = self.bias_O.as_ref().filter(|_| overlay.bias_O.is_none());
        let kind = input_PI.f_kind()?;
        let mask = |site: &usize| masks.map(|mask| mask(*site)).transpose();
        // IA3 scales a learning bias too, but the two never come together.
        let output_PO = match &overlay.weight {
            WeightOverlay::None => frozen_product(input_PI, weight_OI, frozen_bias),
            WeightOverlay::Lora(site, pair) => {
                let dropout = mask(site)?;
                lora_linear(input_PI, weight_OI, frozen_bias, pair, dropout.as_ref())
            }
            WeightOverlay::Dora {
                site,
                pair,
                magnitude_O,
                weight_norm_O,
            } => {
                let dora_scale_O = magnitude_O.f_div(weight_norm_O)?;
                let output_PO =
                    dora_product(input_PI, weight_OI, pair, &dora_scale_O, mask(site)?)?;
                plus(output_PO, frozen_bias)
            }
            WeightOverlay::ScaledInput(scale_I) => {
                let scaled_PI = input_PI.f_mul(scale_I)?.f_to_kind(kind)?;
                frozen_product(&scaled_PI, weight_OI, frozen_bias)
            }
            WeightOverlay::ScaledOutput(scale_O) => {
                frozen_product(input_PI, weight_OI, frozen_bias)?
                    .f_mul(scale_O)?
                    .f_to_kind(kind)
            }
            WeightOverlay::Whole(learning_OI) => plus(
                learning_linear(input_PI, &learning_OI.f_to_kind(kind)?)?,
                frozen_bias,
            ),
        }?;
        plus(output_PO, overlay.bias_O.as_ref())
    }

    /// The frozen weight, dense, in the type of compute.
    ///
    /// # Errors
    /// libtorch's.
    pub fn dense(&self) -> TorchResult<Tensor> {
        self.weight_OI.value()
    }

    /// Norm of every row of the frozen weight, `[O]` in f32, which DoRA's magnitudes begin with; computed on the CPU,
    /// so that a GPU has the same first adapter.
    ///
    /// # Errors
    /// libtorch's.
    pub fn weight_norm(&self) -> TorchResult<Tensor> {
        weight_norm(&self.dense()?.f_to_device(Device::Cpu)?, None)
    }

    /// Computes DoRA's weight norms of this linear anew, after the pair took new values.
    pub(super) fn update_dora_norm(&self, overlays: &mut Overlays) -> TorchResult<()> {
        let overlay = overlays.linears.get_mut(&self.path);
        if let Some(WeightOverlay::Dora {
            pair,
            weight_norm_O,
            ..
        }) = overlay.map(|overlay| &mut overlay.weight)
        {
            *weight_norm_O = weight_norm(&self.weight_OI.value()?, Some(pair))?;
        }
        Ok(())
    }
}

fn plus(output_PO: Tensor, bias_O: Option<&Tensor>) -> TorchResult<Tensor> {
    match bias_O {
        Some(bias_O) => {
            let kind: Kind = output_PO.f_kind()?;
            output_PO.f_add(&bias_O.f_to_kind(kind)?)
        }
        None => Ok(output_PO),
    }
}
