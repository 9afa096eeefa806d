//! Forward layer by layer, and back the same way.
//!
//! In: a decoder with its adapter, hidden states `[P, H]`. Out: hidden states behind the last layer, then the gradients
//! of each layer's part of the adapter, last layer first. Keeps: every layer has a graph of its own, freed as soon as
//! its gradients are there. With checkpointing the graph is made again from the layer's input: the same kernels on the
//! same values, so the same bits. The backward pass ends at the first layer that learns. Each layer that it has passed
//! is a sign of progress, as each layer forward is. Shapes in names: P all positions, H hidden.

#![allow(non_snake_case)]

use tch::{Tensor, no_grad};

use crate::device::{TorchResult, gradients};
use crate::model::{Decoder, DropoutMasks, Pass};

/// The decoder, and what every one of its layers is computed with.
#[derive(Clone, Copy)]
pub(super) struct Layers<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) pass: &'a Pass<'a>,
    pub(super) masks: DropoutMasks<'a>,
    /// Recompute a layer's graph in the backward pass instead of keeping it.
    pub(super) recompute: bool,
}

/// What the backward pass needs of one layer.
enum LayerTape {
    /// Nothing learns in this layer or before it: the backward pass does not come here.
    Nothing,
    /// The layer's input, and its output with the graph between; without an output the graph is made again.
    Learning(Tensor, Option<Tensor>),
}

/// What the forward pass leaves for the backward pass, layer by layer.
pub(super) struct Tape {
    layers: Vec<LayerTape>,
    /// Whether the gradient of the hidden states that came in is wanted: the embedding learns.
    flows: bool,
}

impl Layers<'_> {
    /// Hidden states `[P, H]` behind the last layer, without a graph. `windows` gives the tensors that learn in a
    /// layer; `flows` says that the gradient of the hidden states that come in is wanted too.
    ///
    /// # Errors
    /// libtorch's.
    pub(super) fn forward<'w>(
        &self,
        hidden_PH: &Tensor,
        windows: impl Fn(usize) -> &'w [Tensor],
        flows: bool,
    ) -> TorchResult<(Tensor, Tape)> {
        let mut hidden_PH = hidden_PH.f_detach()?;
        let mut tapes = Vec::with_capacity(self.decoder.layers());
        let mut learning = flows;
        for index in 0..self.decoder.layers() {
            if !learning && windows(index).is_empty() {
                hidden_PH = no_grad(|| self.layer(index, &hidden_PH))?;
                tapes.push(LayerTape::Nothing);
                continue;
            }
            let input_PH = hidden_PH.f_set_requires_grad(learning)?;
            learning = true;
            if self.recompute {
                hidden_PH = no_grad(|| self.layer(index, &input_PH))?;
                tapes.push(LayerTape::Learning(input_PH, None));
            } else {
                let output_PH = self.layer(index, &input_PH)?;
                hidden_PH = output_PH.f_detach()?;
                tapes.push(LayerTape::Learning(input_PH, Some(output_PH)));
            }
        }
        Ok((
            hidden_PH,
            Tape {
                layers: tapes,
                flows,
            },
        ))
    }

    /// Goes back from the gradient `[P, H]` of the hidden states behind the last layer; `found` takes the gradients of
    /// a layer's learning tensors, in the order of `windows`. Returns the gradient `[P, H]` of the hidden states that
    /// came in, where it is wanted.
    ///
    /// # Errors
    /// libtorch's, and those of `found`.
    pub(super) fn backward<'w>(
        &self,
        tape: Tape,
        gradient_PH: Tensor,
        windows: impl Fn(usize) -> &'w [Tensor],
        mut found: impl FnMut(usize, Vec<Tensor>) -> TorchResult<()>,
    ) -> TorchResult<Option<Tensor>> {
        let mut gradient_PH = gradient_PH;
        for (index, layer) in tape.layers.into_iter().enumerate().rev() {
            let LayerTape::Learning(input_PH, output_PH) = layer else {
                return Ok(None);
            };
            let output_PH = output_PH.map_or_else(|| self.layer(index, &input_PH), Ok)?;
            let mut wanted: Vec<&Tensor> = windows(index).iter().collect();
            if input_PH.requires_grad() {
                wanted.push(&input_PH);
            }
            let mut gradients = gradients(&output_PH, &gradient_PH, &wanted)?;
            self.decoder.progress().device(1);
            let further = input_PH.requires_grad().then(|| gradients.pop()).flatten();
            found(index, gradients)?;
            match further {
                Some(further_PH) => gradient_PH = further_PH,
                None => return Ok(None),
            }
        }
        Ok(tape.flows.then_some(gradient_PH))
    }

    fn layer(&self, index: usize, hidden_PH: &Tensor) -> TorchResult<Tensor> {
        self.decoder
            .layer(index, hidden_PH, self.pass, self.masks, None)
    }
}
