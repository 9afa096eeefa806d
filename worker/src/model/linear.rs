//! A frozen linear, and what an adapter lays over it.
//!
//! In: rows of inputs in the type of compute. Out: rows of outputs in the same type. With x the inputs `[P, I]`, W the
//! frozen weight `[O, I]`, b the bias `[O]` where there is one, A `[R, I]` and B `[O, R]` the pair, s its scaling, d(x)
//! the inputs behind dropout, all else as [`Overlay`] names it:
//!
//! ```text
//! None            y = x W^T + b                              [P, O]
//! Lora            y = x W^T + b + s (d(x) A^T) B^T
//! Dora            y = g * (x W^T + s (x A^T) B^T) + b        g = magnitude / length, [O]; with dropout see `dora`
//! ScaledInput     y = (x * l) W^T + b                        l [I]
//! ScaledOutput    y = (x W^T + b) * l                        l [O]
//! Whole           y = x V^T + b                              V [O, I]
//! ```
//!
//! A bias that learns is added last, in place of b. The adapter's own part is computed in f32, as PEFT does. Shapes in
//! names: P rows, I inputs, O outputs, R lora rank.

use tch::{Device, Kind, Tensor};

use super::dora::{directions, stretched};
use crate::device::{
    Dropout, FrozenWeight, LoraWeights, TorchResult, frozen_product, learning_linear, lora_linear,
};

/// Draws the dropout mask of an adapted linear, named by its site, for all P rows; `None` when nothing is dropped.
/// Attention masks are something else: those are in `attention`.
pub type DropoutMasks<'a> = Option<&'a dyn Fn(usize) -> TorchResult<Dropout>>;

/// A linear whose weight is frozen; the adapter lays what learns over it.
#[derive(Debug)]
pub struct Linear {
    /// Frozen weight, dense or quantized.
    pub weight_OI: FrozenWeight,
    /// Bias of the base model, frozen, in the type of compute; not added where a bias learns.
    pub bias_O: Option<Tensor>,
    /// Bias that learns, f32, in the frozen bias's place.
    pub learning_bias_O: Option<Tensor>,
    /// What the adapter lays over the linear.
    pub overlay: Overlay,
}

/// What an adapter lays over a linear. A pair knows its site: its index among all pairs of linears, in the order of the
/// adapter's tensors.
#[derive(Debug)]
pub enum Overlay {
    /// The linear is not adapted.
    None,
    /// LoRA: the site, and A and B, f32.
    Lora(usize, LoraWeights),
    /// DoRA: a LoRA pair, and a magnitude for each output.
    Dora {
        /// Index of the pair among all pairs of linears, which keys its dropout mask.
        site: usize,
        /// A and B of the pair, f32.
        pair: LoraWeights,
        /// Magnitude of each output, f32, which learns.
        magnitude_O: Tensor,
        /// Length of each row of W + s B A, f32; a constant in the backward pass, made anew by [`Linear::renew`]
        /// whenever the pair has new values.
        length_O: Tensor,
    },
    /// IA3: a factor for each input, f32.
    ScaledInput(Tensor),
    /// IA3: a factor for each output, f32.
    ScaledOutput(Tensor),
    /// A weight that learns, f32, in the frozen weight's place.
    Whole(Tensor),
}

impl Overlay {
    /// A pair with magnitudes, whose lengths are 1 until [`Linear::renew`] computes them.
    ///
    /// # Errors
    /// libtorch's.
    pub fn dora(site: usize, pair: LoraWeights, magnitude_O: Tensor) -> TorchResult<Self> {
        let length_O = magnitude_O.f_detach()?.f_ones_like()?;
        Ok(Self::Dora {
            site,
            pair,
            magnitude_O,
            length_O,
        })
    }
}

impl Linear {
    /// A linear without an adapter.
    #[must_use]
    pub fn frozen(weight_OI: FrozenWeight, bias_O: Option<Tensor>) -> Self {
        Self {
            weight_OI,
            bias_O,
            learning_bias_O: None,
            overlay: Overlay::None,
        }
    }

    /// The outputs `[P, O]` of the inputs `[P, I]`, by the formula of the overlay; `masks` is asked with the pair's
    /// site.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, input_PI: &Tensor, masks: DropoutMasks<'_>) -> TorchResult<Tensor> {
        let frozen_bias = self
            .bias_O
            .as_ref()
            .filter(|_| self.learning_bias_O.is_none());
        let kind = input_PI.f_kind()?;
        let weight_OI = &self.weight_OI;
        let mask = |site: &usize| masks.map(|mask| mask(*site)).transpose();
        // IA3 scales a learning bias too, but the two never come together.
        let output_PO = match &self.overlay {
            Overlay::None => frozen_product(input_PI, weight_OI, frozen_bias),
            Overlay::Lora(site, pair) => {
                let dropout = mask(site)?;
                lora_linear(input_PI, weight_OI, frozen_bias, pair, dropout.as_ref())
            }
            Overlay::Dora {
                site,
                pair,
                magnitude_O,
                length_O,
            } => {
                let stretch_O = magnitude_O.f_div(length_O)?;
                let stretched_PO = stretched(input_PI, weight_OI, pair, &stretch_O, mask(site)?)?;
                plus(stretched_PO, frozen_bias)
            }
            Overlay::ScaledInput(scale_I) => {
                let scaled_PI = input_PI.f_mul(scale_I)?.f_to_kind(kind)?;
                frozen_product(&scaled_PI, weight_OI, frozen_bias)
            }
            Overlay::ScaledOutput(scale_O) => frozen_product(input_PI, weight_OI, frozen_bias)?
                .f_mul(scale_O)?
                .f_to_kind(kind),
            Overlay::Whole(learning_OI) => plus(
                learning_linear(input_PI, &learning_OI.f_to_kind(kind)?)?,
                frozen_bias,
            ),
        }?;
        plus(output_PO, self.learning_bias_O.as_ref())
    }

    /// The frozen weight, dense, in the type of compute.
    ///
    /// # Errors
    /// libtorch's.
    pub fn dense(&self) -> TorchResult<Tensor> {
        self.weight_OI.value()
    }

    /// Takes a dense weight in the frozen weight's place: what PiSSA left of it.
    ///
    /// # Errors
    /// libtorch's.
    pub fn replace(&mut self, weight_OI: &Tensor) -> TorchResult<()> {
        self.weight_OI = FrozenWeight::dense(weight_OI)?;
        Ok(())
    }

    /// Length of every row of the frozen weight, `[O]` in f32, which DoRA's magnitudes begin with; computed on the CPU,
    /// so that a GPU has the same first adapter.
    ///
    /// # Errors
    /// libtorch's.
    pub fn lengths(&self) -> TorchResult<Tensor> {
        directions(&self.dense()?.f_to_device(Device::Cpu)?, None)
    }

    /// Computes DoRA's lengths anew, after the pair took new values.
    ///
    /// # Errors
    /// libtorch's.
    pub fn renew(&mut self) -> TorchResult<()> {
        if let Overlay::Dora { pair, length_O, .. } = &mut self.overlay {
            *length_O = directions(&self.weight_OI.value()?, Some(pair))?;
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
