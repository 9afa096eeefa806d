//! The output head, some rows at a time.
//!
//! In: hidden states of the positions that predict, and what is wanted of them. Out: both in parts, one after the other,
//! with the head's dropout masks for each. Keeps: the logits of one part are in memory at a time: a vocabulary of
//! 150,000 words costs megabytes. How many rows a part has depends on vocabulary and device class only, never on how
//! much is to be computed. Shapes in names: Q positions that predict, C those of one part, H hidden.

#![allow(non_snake_case)]

use shared::model::head_rows;
use tch::{TchError, Tensor};

use crate::device::{Backend, Dropout, TorchResult};
use crate::model::{Decoder, DropoutMasks, Overlays};

/// The output head of a decoder, and which of its tensors learn.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) decoder: &'a Decoder,
    /// What the adapter lays over it.
    pub(super) overlays: &'a Overlays,
    /// Dropout masks of all P positions, of which the rows that predict are taken.
    pub(super) masks: DropoutMasks<'a>,
    /// Indices of the predicting positions among all P, in order.
    pub(super) places_Q: &'a Tensor,
    /// Tensors of the head's part of the adapter, in canonical order: last norm and output head.
    pub(super) windows: &'a [Tensor],
}

impl Head<'_> {
    /// The dropout mask of one part's positions, for a head that has a pair.
    pub(super) fn mask(&self, site: usize, from: usize, count: i64) -> TorchResult<Dropout> {
        let missing = || TchError::Shape("nothing is dropped".into());
        let all = self.masks.ok_or_else(missing)?(site)?;
        let from = i64::try_from(from).map_err(|e| TchError::Shape(e.to_string()))?;
        let places_C = self.places_Q.f_narrow(0, from, count)?;
        Ok(Dropout {
            keep: all.keep.f_index_select(0, &places_C)?,
            scale: all.scale,
        })
    }

    /// Calls `work` with the first position, the hidden states and what is wanted of one part after the other.
    ///
    /// # Errors
    /// Those of `work`, and libtorch's.
    pub(super) fn each_part(
        &self,
        hidden_QH: &Tensor,
        wanted_Q: &Tensor,
        mut work: impl FnMut(usize, &Tensor, &Tensor) -> TorchResult<()>,
    ) -> TorchResult<()> {
        let operators = self.decoder.backend() == Backend::Operators;
        let rows = head_rows(self.decoder.config.vocab_size, operators);
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let all = hidden_QH.size()[0];
        let mut from = 0;
        while from < all {
            let count = rows.min(all - from);
            let part = |of: &Tensor| of.f_narrow(0, from, count);
            let first = usize::try_from(from).map_err(|e| TchError::Shape(e.to_string()))?;
            work(first, &part(hidden_QH)?, &part(wanted_Q)?)?;
            self.decoder.progress().device(1);
            from += count;
        }
        Ok(())
    }
}
