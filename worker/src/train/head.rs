//! The output head and the cross entropy, some rows at a time.
//!
//! In: hidden states of the positions that predict, and the tokens they should. Out: a loss for each, and the gradient
//! of the hidden states, or whether the most probable token is the wanted one. With z the logits of position c and w
//! its wanted token:
//!
//! ```text
//! z     = head(norm(h_c))                              [V], in f32
//! nll_c = log(sum over v of exp(z_v)) - z_w            the cross entropy, nats
//! dL    = share * d(sum over c of nll_c)               share = loss_scale / step_target_tokens
//! ```
//!
//! Keeps: the logits of one part are in memory at a time: a vocabulary of 150,000 words costs megabytes. How many rows
//! a part has depends on vocabulary and device class only, never on how much is to be computed. Shapes in names: Q
//! positions that predict, C those of one part, H hidden, V vocabulary.

#![allow(non_snake_case)]

use shared::model::head_rows;
use tch::{Device, TchError, Tensor, no_grad};

use crate::device::{Backend, Dropout, TorchResult, gradients};
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
    /// Writes the losses of all Q positions, and returns the gradients of `share` times their sum: that of the hidden
    /// states, `[Q, H]`, and those of `windows`, in order.
    ///
    /// # Errors
    /// libtorch's.
    pub(super) fn losses_and_gradient(
        &self,
        hidden_QH: &Tensor,
        wanted_Q: &Tensor,
        share: f64,
        losses: &mut [f32],
    ) -> TorchResult<(Tensor, Vec<Tensor>)> {
        let mut parts = Vec::new();
        let mut learnt: Vec<Tensor> = Vec::new();
        self.each_part(hidden_QH, wanted_Q, |from, hidden_CH, wanted_C| {
            let leaf_CH = hidden_CH.f_detach()?.f_set_requires_grad(true)?;
            let mask = |site: usize| self.mask(site, from, leaf_CH.size()[0]);
            let masks: DropoutMasks<'_> = self.masks.is_some().then_some(&mask);
            let logits_CV = self.decoder.logits(&leaf_CH, self.overlays, masks)?;
            let losses_C = self.decoder.backend().cross_entropy(&logits_CV, wanted_C)?;
            drop(logits_CV);
            let seed_C = losses_C.f_full_like(share)?;
            let mut wanted: Vec<&Tensor> = self.windows.iter().collect();
            wanted.push(&leaf_CH);
            let mut found = gradients(&losses_C, &seed_C, &wanted)?;
            parts.extend(found.pop());
            if learnt.is_empty() {
                learnt = found;
            } else {
                for (sum, more) in learnt.iter_mut().zip(&found) {
                    let _ = sum.f_add_(more)?;
                }
            }
            copy_losses(&losses_C, from, losses)
        })?;
        let gradient_QH = match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::f_cat(&parts, 0)?,
        };
        Ok((gradient_QH, learnt))
    }

    /// Writes the losses of all Q positions, and returns whether the most probable token is the wanted one.
    ///
    /// # Errors
    /// libtorch's.
    pub(super) fn losses_and_hits(
        &self,
        hidden_QH: &Tensor,
        wanted_Q: &Tensor,
        losses: &mut [f32],
    ) -> TorchResult<Vec<bool>> {
        let mut hits = Vec::with_capacity(losses.len());
        no_grad(|| {
            self.each_part(hidden_QH, wanted_Q, |from, hidden_CH, wanted_C| {
                let logits_CV = self.decoder.logits(hidden_CH, self.overlays, None)?;
                let correct_C = logits_CV.f_argmax(-1, false)?.f_eq_tensor(wanted_C)?;
                hits.extend(Vec::<bool>::try_from(correct_C.f_to_device(Device::Cpu)?)?);
                copy_losses(
                    &self.decoder.backend().cross_entropy(&logits_CV, wanted_C)?,
                    from,
                    losses,
                )
            })
        })?;
        Ok(hits)
    }

    /// The dropout mask of one part's positions, for a head that has a pair.
    fn mask(&self, site: usize, from: usize, count: i64) -> TorchResult<Dropout> {
        let missing = || TchError::Shape("nothing is dropped".into());
        let all = self.masks.ok_or_else(missing)?(site)?;
        let from = i64::try_from(from).unwrap_or(0);
        let places_C = self.places_Q.f_narrow(0, from, count)?;
        Ok(Dropout {
            keep: all.keep.f_index_select(0, &places_C)?,
            scale: all.scale,
        })
    }

    fn each_part(
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
            let first = usize::try_from(from).unwrap_or(0);
            work(first, &part(hidden_QH)?, &part(wanted_Q)?)?;
            self.decoder.progress().device(1);
            from += count;
        }
        Ok(())
    }
}

fn copy_losses(losses_C: &Tensor, from: usize, losses: &mut [f32]) -> TorchResult<()> {
    let count = usize::try_from(losses_C.size()[0]).unwrap_or(0);
    let Some(place) = losses.get_mut(from..from + count) else {
        return Ok(());
    };
    losses_C
        .f_detach()?
        .f_to_device(Device::Cpu)?
        .f_copy_data(place, count)
}
