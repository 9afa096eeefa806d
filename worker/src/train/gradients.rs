//! Gradients of the adapter's tensors on their way into one flat vector.
//!
//! In: those of one part of the decoder after the other, in any order. Out: canonical order, on the
//! host. Keeps: on the CPU they are copied as they come, so that none waits for the last; from a GPU
//! they come in one copy.

use shared::model::Part;
use tch::{Device, Tensor};

use crate::adapter::AdapterLayout;
use crate::device::TorchResult;

/// The gradients found so far.
pub(super) struct Gradients<'a> {
    layout: &'a AdapterLayout,
    device: Device,
    into: &'a mut [f32],
    waiting: Vec<(usize, Tensor)>,
}

impl<'a> Gradients<'a> {
    pub(super) fn new(layout: &'a AdapterLayout, device: Device, into: &'a mut [f32]) -> Self {
        Self {
            layout,
            device,
            into,
            waiting: Vec::new(),
        }
    }

    /// Takes the gradients of a part's tensors, in their order.
    ///
    /// # Errors
    /// libtorch's.
    pub(super) fn add(&mut self, part: Part, values: Vec<Tensor>) -> TorchResult<()> {
        for (tensor, values) in self.layout.of_part(part).zip(values) {
            if self.device == Device::Cpu {
                let place = self
                    .into
                    .get_mut(self.layout.range(tensor))
                    .unwrap_or_default();
                let elements = place.len();
                values.f_contiguous()?.f_copy_data(place, elements)?;
            } else {
                self.waiting.push((tensor, values.f_reshape([-1])?));
            }
        }
        Ok(())
    }

    /// Brings what is on a GPU to the host.
    ///
    /// # Errors
    /// libtorch's.
    pub(super) fn finish(mut self) -> TorchResult<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.waiting.sort_by_key(|(tensor, _)| *tensor);
        let flat: Vec<&Tensor> = self.waiting.iter().map(|(_, values)| values).collect();
        let elements = self.into.len();
        Tensor::f_cat(&flat, 0)?
            .f_to_device(Device::Cpu)?
            .f_copy_data(self.into, elements)
    }
}
