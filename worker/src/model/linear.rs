//! A frozen linear, with or without its LoRA pair.

use tch::Tensor;

use crate::device::{Dropout, LoraWeights, TorchResult, frozen_linear, lora_linear};

/// Makes the dropout mask of an adapted linear by its place; `None` when nothing is dropped.
pub type Masks<'a> = Option<&'a dyn Fn(usize) -> TorchResult<Dropout>>;

/// A frozen linear. The pair is laid over it by the adapter.
#[derive(Debug)]
pub struct Linear {
    /// Frozen weight.
    pub weight_OI: Tensor,
    /// Frozen bias.
    pub bias_O: Option<Tensor>,
    /// The pair and its place among the adapted linears.
    pub lora: Option<(usize, LoraWeights)>,
}

impl Linear {
    /// The product for rows of inputs; `masks` is asked with the linear's place among the adapted.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, input_PI: &Tensor, masks: Masks<'_>) -> TorchResult<Tensor> {
        let bias = self.bias_O.as_ref();
        let Some((site, lora)) = &self.lora else {
            return frozen_linear(input_PI, &self.weight_OI, bias);
        };
        let dropout = masks.map(|mask| mask(*site)).transpose()?;
        lora_linear(input_PI, &self.weight_OI, bias, lora, dropout.as_ref())
    }
}
