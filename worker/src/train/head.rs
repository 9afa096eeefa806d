//! The output head and the cross entropy, some rows at a time.
//!
//! In: hidden states of the positions that predict, and the tokens they should. Out: a loss for each,
//! and the gradient of the hidden states or whether the likeliest token is the right one.
//! Keeps: the logits of one part are in memory at a time: a vocabulary of 150,000 words costs
//! megabytes. How many rows a part has depends on vocabulary and device class only, never on how
//! much is to be computed. Shapes in names: Q positions that predict, C those of one part, H hidden, V vocabulary.

#![allow(non_snake_case)]

use tch::{Device, Reduction, Tensor, no_grad};

use super::IGNORED;
use crate::device::{TorchResult, gradients};
use crate::model::Decoder;

/// Bytes of one part's logits in f32. A GPU needs more rows to be busy.
const LOGITS_ON_CPU: usize = 32 << 20;
const LOGITS_ON_CUDA: usize = 128 << 20;

/// Rows of one part.
pub(super) fn rows_of_a_part(vocabulary: usize, device: Device) -> i64 {
    let bytes = if device == Device::Cpu {
        LOGITS_ON_CPU
    } else {
        LOGITS_ON_CUDA
    };
    let rows = bytes / (4 * vocabulary.max(1));
    i64::try_from(rows).unwrap_or(i64::MAX).max(1)
}

/// Writes the losses of all positions, and returns the gradient of `share` times their sum with
/// respect to the hidden states, `[Q, H]`.
///
/// # Errors
/// libtorch's.
pub(super) fn losses_and_gradient(
    decoder: &Decoder,
    hidden_QH: &Tensor,
    wanted_Q: &Tensor,
    share: f64,
    losses: &mut [f32],
) -> TorchResult<Tensor> {
    let mut parts = Vec::new();
    each_part(decoder, hidden_QH, wanted_Q, |from, hidden_CH, wanted_C| {
        let leaf_CH = hidden_CH.f_detach()?.f_set_requires_grad(true)?;
        let losses_C = cross_entropies(&decoder.logits(&leaf_CH)?, wanted_C)?;
        let seed_C = losses_C.f_full_like(share)?;
        parts.extend(gradients(&losses_C, &seed_C, &[&leaf_CH])?);
        copy_losses(&losses_C, from, losses)
    })?;
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Tensor::f_cat(&parts, 0),
    }
}

/// Writes the losses of all positions, and whether the likeliest token is the wanted one.
///
/// # Errors
/// libtorch's.
pub(super) fn losses_and_hits(
    decoder: &Decoder,
    hidden_QH: &Tensor,
    wanted_Q: &Tensor,
    losses: &mut [f32],
) -> TorchResult<Vec<bool>> {
    let mut hits = Vec::with_capacity(losses.len());
    no_grad(|| {
        each_part(decoder, hidden_QH, wanted_Q, |from, hidden_CH, wanted_C| {
            let logits_CV = decoder.logits(hidden_CH)?;
            let right_C = logits_CV.f_argmax(-1, false)?.f_eq_tensor(wanted_C)?;
            hits.extend(Vec::<bool>::try_from(right_C.f_to_device(Device::Cpu)?)?);
            copy_losses(&cross_entropies(&logits_CV, wanted_C)?, from, losses)
        })
    })?;
    Ok(hits)
}

fn each_part(
    decoder: &Decoder,
    hidden_QH: &Tensor,
    wanted_Q: &Tensor,
    mut work: impl FnMut(usize, &Tensor, &Tensor) -> TorchResult<()>,
) -> TorchResult<()> {
    let rows = rows_of_a_part(decoder.config.vocab_size, hidden_QH.device());
    let all = hidden_QH.size()[0];
    let mut from = 0;
    while from < all {
        let count = rows.min(all - from);
        let part = |of: &Tensor| of.f_narrow(0, from, count);
        work(
            usize::try_from(from).unwrap_or(0),
            &part(hidden_QH)?,
            &part(wanted_Q)?,
        )?;
        from += count;
    }
    Ok(())
}

fn cross_entropies(logits_CV: &Tensor, wanted_C: &Tensor) -> TorchResult<Tensor> {
    logits_CV.f_cross_entropy_loss(wanted_C, None::<&Tensor>, Reduction::None, IGNORED, 0.0)
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
