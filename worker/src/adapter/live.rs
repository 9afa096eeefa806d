//! The tensors that learn, laid over a decoder's linears.
//!
//! One flat f32 tensor on the device; every A and B is a window into it, so new values arrive in
//! one copy. Only the windows ask for gradients: nothing else of the model does.

use tch::{Device, Kind, Tensor, no_grad};

use super::AdapterLayout;
use crate::device::{LoraWeights, TorchResult};
use crate::model::Decoder;

/// The live adapter of one decoder.
#[derive(Debug)]
pub struct LiveAdapter {
    flat: Tensor,
    /// The same windows that the decoder's linears hold, in canonical order.
    windows: Vec<Tensor>,
}

impl LiveAdapter {
    /// Lays an adapter of zeros over the linears that the layout names.
    ///
    /// # Errors
    /// libtorch's.
    pub fn attach(
        decoder: &mut Decoder,
        adapted: &[bool],
        layout: &AdapterLayout,
        scaling: f64,
        device: Device,
    ) -> TorchResult<Self> {
        let elements = i64::try_from(layout.len()).unwrap_or(i64::MAX);
        let flat = Tensor::f_zeros([elements], (Kind::Float, device))?;
        let mut windows = Vec::with_capacity(layout.tensors.len());
        let mut pairs = layout.pairs().enumerate();
        for (linear, _) in decoder
            .linears_mut()
            .zip(adapted)
            .filter(|(_, adapted)| **adapted)
        {
            let Some((site, (a, b))) = pairs.next() else {
                break;
            };
            let mut window = |tensor: &super::AdapterTensor| -> TorchResult<Tensor> {
                let [rows, columns] = tensor.shape.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
                let start = i64::try_from(tensor.offset).unwrap_or(i64::MAX);
                let leaf = flat
                    .f_narrow(0, start, rows * columns)?
                    .f_view([rows, columns])?
                    .f_detach()?
                    .f_set_requires_grad(true)?;
                windows.push(leaf.shallow_clone());
                Ok(leaf)
            };
            linear.lora = Some((
                site,
                LoraWeights {
                    a_RI: window(a)?,
                    b_OR: window(b)?,
                    scaling,
                },
            ));
        }
        Ok(Self { flat, windows })
    }

    /// Takes new values in canonical order.
    ///
    /// # Errors
    /// libtorch's, also when the length is another.
    pub fn set(&mut self, values: &[f32]) -> TorchResult<()> {
        let values = Tensor::f_from_slice(values)?;
        no_grad(|| self.flat.f_copy_(&values))
    }

    /// A and B of every adapted linear, in canonical order.
    pub fn windows(&self) -> &[Tensor] {
        &self.windows
    }
}
