//! The tensors that learn, as overlays of a decoder's modules.
//!
//! One flat f32 tensor on the device; every tensor of the adapter is a window into it, so new values
//! arrive in one copy. Only the windows ask for gradients: nothing else of the model does. The decoder is only read, so
//! that several adapters may lie over one.

use shared::model::{AdapterSpec, AdapterTensor, Role};
use tch::{Device, Kind, TchError, Tensor, no_grad};

use super::AdapterLayout;
use crate::device::{LoraWeights, TorchResult, copy_in};
use crate::model::{Decoder, EmbeddingPair, Module, Overlays, WeightOverlay};

/// A live adapter.
#[derive(Debug)]
pub struct LiveAdapter {
    flat: Tensor,
    /// The windows into `flat` that the overlays hold too, in canonical order.
    windows: Vec<Tensor>,
    overlays: Overlays,
}

impl LiveAdapter {
    /// An adapter of zeros over the modules that the layout names.
    ///
    /// # Errors
    /// libtorch's; a module that the decoder does not have.
    pub fn new(
        decoder: &Decoder,
        layout: &AdapterLayout,
        spec: &AdapterSpec,
        device: Device,
    ) -> TorchResult<Self> {
        let elements = i64::try_from(layout.len()).unwrap_or(i64::MAX);
        let flat = Tensor::f_zeros([elements], (Kind::Float, device))?;
        let window = |(tensor, range): (&AdapterTensor, std::ops::Range<usize>)| {
            let [start, length] = [range.start, range.len()].map(|n| n as i64);
            let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
            flat.f_narrow(0, start, length)?
                .f_view(shape.as_slice())?
                .f_detach()?
                .f_set_requires_grad(true)
        };
        let windows: Vec<Tensor> = layout.places().map(window).collect::<TorchResult<_>>()?;
        let mut overlays = Overlays::default();
        let mut site = 0;
        let mut rest = layout.tensors.iter().zip(&windows).peekable();
        while let Some((tensor, window)) = rest.next() {
            let mut follows = |role: Role| {
                let next =
                    rest.next_if(|(next, _)| next.role == role && next.module == tensor.module);
                next.map(|(_, window)| window.shallow_clone())
            };
            let unknown = || TchError::Shape(format!("no module takes {}", tensor.key));
            let window = window.shallow_clone();
            let scaling = spec.scaling_of(&tensor.module);
            let path = tensor.module.as_str();
            let module = decoder.module(path).ok_or_else(unknown)?;
            match (tensor.role, module) {
                (Role::LoraA, Module::Linear(_)) => {
                    let pair = LoraWeights {
                        a_RI: window,
                        b_OR: follows(Role::LoraB).ok_or_else(unknown)?,
                        scaling,
                    };
                    overlays.linear(path).weight = match follows(Role::Magnitude) {
                        Some(magnitude) => WeightOverlay::dora(site, pair, magnitude)?,
                        None => WeightOverlay::Lora(site, pair),
                    };
                    site += 1;
                }
                (Role::EmbeddingA, Module::Embedding(_)) => {
                    overlays.embedding.pair = Some(EmbeddingPair {
                        a_RV: window,
                        b_HR: follows(Role::EmbeddingB).ok_or_else(unknown)?,
                        scaling,
                    });
                }
                (Role::ScaledInput, Module::Linear(_)) => {
                    let scale = window.f_flatten(0, -1)?;
                    overlays.linear(path).weight = WeightOverlay::ScaledInput(scale);
                }
                (Role::ScaledOutput, Module::Linear(_)) => {
                    let scale = window.f_flatten(0, -1)?;
                    overlays.linear(path).weight = WeightOverlay::ScaledOutput(scale);
                }
                (Role::Bias, Module::Linear(_)) => overlays.linear(path).bias_O = Some(window),
                (Role::Whole, Module::Linear(_)) => {
                    overlays.linear(path).weight = WeightOverlay::Whole(window);
                }
                (Role::Whole, Module::Embedding(_)) => {
                    overlays.embedding.learning_VH = Some(window);
                }
                (Role::Whole, Module::Norm(_)) => {
                    overlays.norms.insert(path.to_owned(), window);
                }
                _ => return Err(unknown()),
            }
        }
        Ok(Self {
            flat,
            windows,
            overlays,
        })
    }

    /// Copies new values into `flat`, in canonical order, and computes anew what follows from them and from the
    /// decoder's weights.
    ///
    /// # Errors
    /// libtorch's, also when `values` has another length than the adapter.
    pub fn set(&mut self, decoder: &Decoder, values: &[f32]) -> TorchResult<()> {
        no_grad(|| {
            copy_in(values, &mut self.flat)?;
            decoder.update_dora_norms(&mut self.overlays)
        })
    }

    /// What a pass through the decoder is given.
    pub fn overlays(&self) -> &Overlays {
        &self.overlays
    }

    /// The overlays alone, of values that never change again.
    pub fn into_overlays(self) -> Overlays {
        self.overlays
    }

    /// Every tensor of the adapter, in canonical order.
    pub fn windows(&self) -> &[Tensor] {
        &self.windows
    }
}
