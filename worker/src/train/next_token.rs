//! Next-token prediction on a device: the cross entropy of every learned token.
//!
//! In: hidden states of the positions that predict, and the tokens they should. Out: a loss for each, and the gradient
//! of the hidden states, or whether the most probable token is the wanted one. With z the logits of position c and w
//! its wanted token:
//!
//! ```text
//! z     = head(norm(h_c))                              [V], in f32
//! nll_c = log(sum over v of exp(z_v)) - z_w            the cross entropy, nats
//! dL    = share * d(sum over c of nll_c)               share = loss_scale / step_loss_units
//! ```
//!
//! Keeps: a sum over parts is one in their order. Shapes in names: Q positions that predict, C those of one part, H
//! hidden, V vocabulary.

#![allow(non_snake_case)]

use shared::objective::NextToken;
use tch::{Device, TchError, Tensor, no_grad};

use super::MicroBatch;
use super::head::Head;
use super::objective::DeviceObjective;
use crate::device::{TorchResult, gradients};
use crate::model::DropoutMasks;

impl DeviceObjective for NextToken {
    fn places(&self, batch: &MicroBatch) -> (Vec<i64>, Vec<i64>) {
        batch.predictions()
    }

    fn losses_and_gradient(
        &self,
        head: &Head<'_>,
        hidden_QH: &Tensor,
        wanted_Q: &Tensor,
        share: f64,
        losses: &mut [f32],
    ) -> TorchResult<(Tensor, Vec<Tensor>)> {
        let mut parts = Vec::new();
        let mut learnt: Vec<Tensor> = Vec::new();
        head.each_part(hidden_QH, wanted_Q, |from, hidden_CH, wanted_C| {
            let leaf_CH = hidden_CH.f_detach()?.f_set_requires_grad(true)?;
            let mask = |site: usize| head.mask(site, from, leaf_CH.size()[0]);
            let masks: DropoutMasks<'_> = head.masks.is_some().then_some(&mask);
            let logits_CV = head.decoder.logits(&leaf_CH, head.overlays, masks)?;
            let losses_C = head.decoder.backend().cross_entropy(&logits_CV, wanted_C)?;
            drop(logits_CV);
            let seed_C = losses_C.f_full_like(share)?;
            let mut wanted: Vec<&Tensor> = head.windows.iter().collect();
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

    fn losses_and_hits(
        &self,
        head: &Head<'_>,
        hidden_QH: &Tensor,
        wanted_Q: &Tensor,
        losses: &mut [f32],
    ) -> TorchResult<Vec<bool>> {
        let mut hits = Vec::with_capacity(losses.len());
        no_grad(|| {
            head.each_part(hidden_QH, wanted_Q, |from, hidden_CH, wanted_C| {
                let logits_CV = head.decoder.logits(hidden_CH, head.overlays, None)?;
                let correct_C = logits_CV.f_argmax(-1, false)?.f_eq_tensor(wanted_C)?;
                hits.extend(Vec::<bool>::try_from(correct_C.f_to_device(Device::Cpu)?)?);
                copy_losses(
                    &head.decoder.backend().cross_entropy(&logits_CV, wanted_C)?,
                    from,
                    losses,
                )
            })
        })?;
        Ok(hits)
    }
}

fn copy_losses(losses_C: &Tensor, from: usize, losses: &mut [f32]) -> TorchResult<()> {
    let all = losses.len();
    let part = losses.get_mut(from..from.saturating_add(losses_C.numel()));
    let place = part.ok_or_else(|| {
        let count = losses_C.numel();
        TchError::Shape(format!("{count} losses at {from} of {all} places"))
    })?;
    let count = place.len();
    losses_C
        .f_detach()?
        .f_to_device(Device::Cpu)?
        .f_copy_data(place, count)
}
