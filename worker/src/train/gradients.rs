//! Gradients of the adapter's tensors on their way into one flat vector.
//!
//! In: the gradients of one part of the decoder after the other, in any order. Out: one flat vector in canonical order,
//! on the host. Keeps: on the CPU gradients are copied as they come, so that none waits for the last; from a GPU they
//! come in one copy.

use shared::model::Part;
use tch::Tensor;

use crate::adapter::AdapterLayout;
use crate::device::{Backend, TorchResult, copy_out};

/// The flat vector, and the gradients of a GPU that wait to be copied into it.
pub(super) struct Gradients<'a> {
    layout: &'a AdapterLayout,
    into: &'a mut [f32],
    backend: Backend,
    waiting: Vec<(usize, Tensor)>,
}

impl<'a> Gradients<'a> {
    pub(super) fn new(layout: &'a AdapterLayout, into: &'a mut [f32], backend: Backend) -> Self {
        Self {
            layout,
            into,
            backend,
            waiting: Vec::new(),
        }
    }

    /// Takes the gradients of a part's tensors, in the order of the layout.
    ///
    /// # Errors
    /// libtorch's.
    pub(super) fn add(&mut self, part: Part, values: Vec<Tensor>) -> TorchResult<()> {
        for (tensor, values) in self.layout.of_part(part).zip(values) {
            let values = values.f_reshape([-1])?;
            if self.backend == Backend::Cpu {
                let place = self.into.get_mut(self.layout.range(tensor));
                copy_out(&values, place.unwrap_or_default())?;
            } else {
                self.waiting.push((tensor, values));
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
        copy_out(&Tensor::f_cat(&flat, 0)?, self.into)
    }
}
