//! An objective as a device computes it.
//!
//! In: a micro-batch, and the hidden states that the decoder gives for it. Out: the loss of every unit, and the gradient
//! of their sum. Keeps: the losses are as many as the objective counts units ([`Objective::units`]), in the order of the
//! samples; what they mean nobody else needs to know. Shapes in names: P all positions, Q those that have a loss, H
//! hidden.

#![allow(non_snake_case)]

use std::fmt::Debug;

use shared::objective::Objective;
use tch::Tensor;

use super::MicroBatch;
use super::head::Head;
use crate::device::TorchResult;

/// The worker's share of an objective.
pub(super) trait DeviceObjective: Objective + Debug {
    /// Rows of `[P]` whose hidden states have a loss, and what is wanted of each, in order.
    fn places(&self, batch: &MicroBatch) -> (Vec<i64>, Vec<i64>);

    /// Writes the losses of all Q positions, and returns the gradients of `share` times their sum: that of the hidden
    /// states, `[Q, H]`, and those of the head's windows, in order.
    ///
    /// # Errors
    /// libtorch's.
    fn losses_and_gradient(
        &self,
        head: &Head<'_>,
        hidden_QH: &Tensor,
        wanted_Q: &Tensor,
        share: f64,
        losses: &mut [f32],
    ) -> TorchResult<(Tensor, Vec<Tensor>)>;

    /// Writes the losses of all Q positions, and returns whether each is what is wanted.
    ///
    /// # Errors
    /// libtorch's.
    fn losses_and_hits(
        &self,
        head: &Head<'_>,
        hidden_QH: &Tensor,
        wanted_Q: &Tensor,
        losses: &mut [f32],
    ) -> TorchResult<Vec<bool>>;
}
