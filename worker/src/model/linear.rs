//! A frozen linear, and what an adapter lays over it.
//!
//! In: rows of inputs in the type of compute. Out: rows of outputs in the same type. The adapter's own
//! part is computed in f32, as PEFT does. Shapes in names: P rows, I inputs, O outputs.

use tch::{Device, Kind, Tensor};

use super::dora::{directions, stretched};
use crate::device::{
    Dropout, FrozenWeight, LoraWeights, TorchResult, frozen_product, learning_linear, lora_linear,
};

/// Makes the dropout mask of an adapted linear by its place; `None` when nothing is dropped.
pub type Masks<'a> = Option<&'a dyn Fn(usize) -> TorchResult<Dropout>>;

/// A frozen linear. What learns is laid over it by the adapter.
#[derive(Debug)]
pub struct Linear {
    /// Frozen weight, dense or quantized.
    pub weight_OI: FrozenWeight,
    /// Frozen bias.
    pub bias_O: Option<Tensor>,
    /// A bias that learns, in the frozen one's place.
    pub learning_bias_O: Option<Tensor>,
    /// What the adapter lays over it.
    pub overlay: Overlay,
}

/// What an adapter lays over a linear. Pairs know their place among all pairs.
#[derive(Debug)]
pub enum Overlay {
    /// Nothing.
    None,
    /// Two thin matrices.
    Lora(usize, LoraWeights),
    /// The same, and a magnitude per output.
    Dora {
        /// Its place.
        site: usize,
        /// The pair.
        pair: LoraWeights,
        /// Magnitudes.
        magnitude_O: Tensor,
        /// Lengths of the directions, of the values the pair has.
        length_O: Tensor,
    },
    /// Inputs are scaled (IA3).
    ScaledInput(Tensor),
    /// Outputs are scaled (IA3).
    ScaledOutput(Tensor),
    /// A weight that learns, in the frozen one's place.
    Whole(Tensor),
}

impl Overlay {
    /// A pair with magnitudes; [`Linear::renew`] makes its lengths right.
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
    /// A frozen one.
    #[must_use]
    pub fn frozen(weight_OI: FrozenWeight, bias_O: Option<Tensor>) -> Self {
        Self {
            weight_OI,
            bias_O,
            learning_bias_O: None,
            overlay: Overlay::None,
        }
    }

    /// The product for rows of inputs; `masks` is asked with the pair's place among all pairs.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, input_PI: &Tensor, masks: Masks<'_>) -> TorchResult<Tensor> {
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

    /// Takes another frozen weight, dense.
    ///
    /// # Errors
    /// libtorch's.
    pub fn replace(&mut self, weight_OI: &Tensor) -> TorchResult<()> {
        self.weight_OI = FrozenWeight::dense(weight_OI)?;
        Ok(())
    }

    /// Length of every row of the frozen weight, in f32; computed on the CPU, so that a GPU has the same
    /// first adapter.
    ///
    /// # Errors
    /// libtorch's.
    pub fn lengths(&self) -> TorchResult<Tensor> {
        directions(&self.dense()?.f_to_device(Device::Cpu)?, None)
    }

    /// Derives anew what follows from the adapter's values.
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
