//! The feed-forward part: gate, activation, up, down; once, or in the experts a router chooses.
//!
//! In: normed hidden states. Out: what is added to the residual stream. With x of one position `[H]`, act the
//! activation:
//!
//! ```text
//! mlp(x)   = (act(x Wg^T) * (x Wu^T)) Wd^T                   Wg, Wu [I, H], Wd [H, I]
//! p        = softmax(x Wr^T)                                 [E], with a router Wr [E, H]
//! experts  = sum over the K largest p_e of p_e mlp_e(x)      these K divided by their sum where the family norms them
//! ```
//!
//! Keeps: the router's probabilities are f32; the rows of an expert are taken by a permutation and put back by its
//! inverse, and a token's experts are added in the router's order, so that no sum depends on who is first on a GPU.
//! Shapes in names: P all positions, H hidden, I intermediate, E experts, K experts of a token, S places: K for each
//! position.

use shared::error::Result;
use shared::model::{Activation, Experts};
use tch::{Device, Kind, Tensor};

use super::BaseWeights;
use crate::device::{Backend, TorchResult, frozen_linear};

/// Router and experts of one layer.
#[derive(Debug)]
pub(super) struct ExpertLayer {
    shape: Experts,
    router_EH: Tensor,
    /// Gate, up and down weights of each expert, in order.
    experts: Vec<[Tensor; 3]>,
    backend: Backend,
}

impl ExpertLayer {
    pub(super) fn load(
        weights: &BaseWeights,
        shape: Experts,
        layer: usize,
        backend: Backend,
    ) -> Result<Self> {
        let part = |expert: usize, part: usize| weights.tensor(&shape.tensor(layer, expert, part));
        let expert = |expert: usize| Ok([part(expert, 0)?, part(expert, 1)?, part(expert, 2)?]);
        Ok(Self {
            shape,
            router_EH: weights.tensor(&shape.router(layer))?,
            experts: (0..shape.count).map(expert).collect::<Result<_>>()?,
            backend,
        })
    }

    pub(super) fn forward(&self, activation: Activation, input_PH: &Tensor) -> TorchResult<Tensor> {
        let kind = input_PH.f_kind()?;
        let (positions, width) = input_PH.size2()?;
        let (weights_PK, chosen_PK) = self.route(input_PH)?;
        let per_token = weights_PK.size()[1];
        let places = positions * per_token;
        let chosen: Vec<i64> =
            Vec::try_from(chosen_PK.f_reshape([places])?.f_to_device(Device::Cpu)?)?;
        let Sorted {
            permutation,
            inverse_permutation,
            counts,
        } = Sorted::of(&chosen, self.experts.len());

        let here = |list: &[i64]| Tensor::f_from_slice(list)?.f_to_device(input_PH.device());
        let rows_SH = input_PH
            .f_unsqueeze(1)?
            .f_expand([positions, per_token, width], false)?
            .f_reshape([places, width])?
            .f_index_select(0, &here(&permutation)?)?;
        let busy: Vec<_> = self
            .experts
            .iter()
            .zip(&counts)
            .filter(|(_, count)| **count > 0)
            .collect();
        let counts: Vec<i64> = busy.iter().map(|(_, count)| **count).collect();
        let outputs: Vec<Tensor> = rows_SH
            .f_split_with_sizes(&counts, 0)?
            .iter()
            .zip(&busy)
            .map(|(rows, ([gate, up, down], _))| {
                let gate = frozen_linear(rows, gate, None)?;
                let inner =
                    self.backend
                        .gated(activation, &gate, &frozen_linear(rows, up, None)?)?;
                frozen_linear(&inner, down, None)
            })
            .collect::<TorchResult<_>>()?;
        Tensor::f_cat(&outputs, 0)?
            .f_index_select(0, &here(&inverse_permutation)?)?
            .f_view([positions, per_token, width])?
            .f_mul(&weights_PK.f_unsqueeze(-1)?)?
            .f_sum_dim_intlist([1i64].as_slice(), false, None)?
            .f_to_kind(kind)
    }

    /// The weights `[P, K]` of each token's experts, and the indices `[P, K]` of these experts, the most probable
    /// first.
    fn route(&self, input_PH: &Tensor) -> TorchResult<(Tensor, Tensor)> {
        let logits_PE = frozen_linear(input_PH, &self.router_EH, None)?;
        let per_token = i64::try_from(self.shape.per_token).unwrap_or(i64::MAX);
        let (mut weights_PK, chosen_PK) = logits_PE
            .f_softmax(-1, Kind::Float)?
            .f_topk(per_token, -1, true, true)?;
        if self.shape.normed {
            let sum = weights_PK.f_sum_dim_intlist([-1i64].as_slice(), true, None)?;
            weights_PK = weights_PK.f_div(&sum)?;
        }
        if !self.shape.wide_weights {
            weights_PK = weights_PK.f_to_kind(input_PH.f_kind()?)?;
        }
        Ok((weights_PK, chosen_PK))
    }
}

/// The S places of a pass, sorted by expert.
struct Sorted {
    /// For each sorted position the place that stands there.
    permutation: Vec<i64>,
    /// For each place its sorted position.
    inverse_permutation: Vec<i64>,
    /// Number of places of each expert; the sorted positions are cut by it.
    counts: Vec<i64>,
}

impl Sorted {
    fn of(chosen: &[i64], experts: usize) -> Self {
        let mut permutation: Vec<usize> = (0..chosen.len()).collect();
        permutation.sort_by_key(|&place| chosen.get(place));
        let mut inverse_permutation = vec![0; chosen.len()];
        for (stands, &place) in (0i64..).zip(&permutation) {
            if let Some(slot) = inverse_permutation.get_mut(place) {
                *slot = stands;
            }
        }
        let mut counts = vec![0; experts];
        for &expert in chosen {
            if let Some(count) = usize::try_from(expert).ok().and_then(|e| counts.get_mut(e)) {
                *count += 1;
            }
        }
        let permutation = permutation.into_iter();
        let permutation = permutation.map(|place| i64::try_from(place).unwrap_or(i64::MAX));
        Self {
            permutation: permutation.collect(),
            inverse_permutation,
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_sorted_by_expert_and_found_again() {
        let sorted = Sorted::of(&[2, 0, 2, 3, 0, 2], 5);
        assert_eq!(sorted.permutation, [1, 4, 0, 2, 5, 3]);
        assert_eq!(sorted.inverse_permutation, [2, 0, 3, 5, 1, 4]);
        assert_eq!(sorted.counts, [2, 0, 3, 1, 0]);
    }
}
