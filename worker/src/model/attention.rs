//! Causal attention within each sample, whether samples are rows or lie behind each other in one.
//!
//! In: normed hidden states, positions, a cache in generation. Out: for each position t of a sample, by head,
//!
//! ```text
//! score_tu = scale * q_t . k_u                               or cap * tanh(that / cap), with a soft cap
//! y_t      = sum over u of softmax_u(score_tu) v_u           u <= t, and u > t - window where there is one
//! output   = y Wo^T                                          y [P, O], all heads side by side
//! ```
//!
//! q and k are normed head by head where the family has it, and turned by their positions (see `rope`). A head of keys
//! and values serves N / K heads of queries. Keeps: no token sees a token of another sample; nothing of the size of a
//! mask is made but where a window is shorter than a sample or scores have a soft cap. Shapes in names: B rows, T
//! tokens, P all positions, N heads, K key/value heads, D head size, H hidden, O heads times head size.

use std::collections::HashMap;

use shared::model::{ModelConfig, Projection};
use tch::{Device, Kind, Tensor};

use super::norm::RmsNorm;
use super::{KeyValueCache, Overlays};
use crate::device::{Backend, TorchResult, learning_linear};

/// How the samples of one pass lie in rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLayout<'a> {
    /// Number of rows, B.
    pub rows: i64,
    /// Tokens of each row, T, with padding.
    pub length: i64,
    /// Tokens of each sample, in order, where all lie behind each other in one row; `None` where each sample is a row.
    pub packed: Option<&'a [i64]>,
}

/// Attention masks `[T, T]`, true where the query of a row may see the key of a column, by window and length of the
/// sample.
#[derive(Debug, Default)]
pub(super) struct AttentionMasks(HashMap<(Option<i64>, i64), Tensor>);

impl AttentionMasks {
    /// The masks that a model needs for samples of these lengths, one for each pair of window and length.
    pub(super) fn of(
        config: &ModelConfig,
        batch: &BatchLayout<'_>,
        device: Device,
    ) -> TorchResult<Self> {
        let mut masks = HashMap::new();
        let row = [batch.length];
        for &length in batch.packed.unwrap_or(&row) {
            for kind in &config.layer_kinds {
                let key = Self::key(kind.window, length);
                if key.0.is_none() && config.attention_soft_cap.is_none()
                    || masks.contains_key(&key)
                {
                    continue;
                }
                let all = Tensor::f_ones([length, length], (Kind::Bool, device))?.f_tril(0)?;
                let mask = match key.0 {
                    Some(window) => all.f_triu(1 - window)?,
                    None => all,
                };
                masks.insert(key, mask);
            }
        }
        Ok(Self(masks))
    }

    /// The mask of a sample, `None` where causal order says it all.
    fn get(&self, window: Option<usize>, length: i64) -> Option<&Tensor> {
        self.0.get(&Self::key(window, length))
    }

    fn key(window: Option<usize>, length: i64) -> (Option<i64>, i64) {
        let window = window.and_then(|window| i64::try_from(window).ok());
        (window.filter(|&window| window < length), length)
    }
}

/// What the attention of one layer needs besides its input.
pub(super) struct Attention<'a> {
    pub config: &'a ModelConfig,
    pub backend: Backend,
    pub batch: &'a BatchLayout<'a>,
    /// Cosines and sines of the layer's rotary positions, each `[T, 1, D]`; `None` in a layer without them.
    pub cos_sin: Option<&'a (Tensor, Tensor)>,
    pub visible: &'a AttentionMasks,
    /// How many positions a token sees, itself included; `None` is all before it.
    pub window: Option<usize>,
    /// Norms of queries and of keys, by head, where the family has them.
    pub qk_norm: Option<&'a (RmsNorm, RmsNorm)>,
    /// What the adapter lays over these norms.
    pub overlays: &'a Overlays,
}

impl Attention<'_> {
    /// The attention block of one layer, `[P, H]` to `[P, H]`; `linear` is asked for its projections.
    pub(super) fn forward(
        &self,
        normed_PH: &Tensor,
        cache: Option<(usize, &mut KeyValueCache)>,
        linear: &impl Fn(Projection, &Tensor) -> TorchResult<Tensor>,
    ) -> TorchResult<Tensor> {
        let BatchLayout { rows, length, .. } = *self.batch;
        let [query, key, value] = self.project(normed_PH, linear)?;
        let (query, key) = match self.qk_norm {
            Some((of_query, of_key)) => (
                of_query.forward(&query, self.overlays)?,
                of_key.forward(&key, self.overlays)?,
            ),
            None => (query, key),
        };
        let turned = |all: Tensor| match self.cos_sin {
            Some((cos, sin)) => self.backend.rotated(&all, cos, sin),
            None => Ok(all),
        };
        let query_BNTD = turned(query)?.f_transpose(1, 2)?;
        let mut key_BKTD = turned(key)?.f_transpose(1, 2)?;
        let mut value_BKTD = value.f_transpose(1, 2)?;
        if let Some((layer, cache)) = cache {
            (key_BKTD, value_BKTD) = cache.extend(layer, key_BKTD, value_BKTD)?;
        }
        let mixed_BTND = match self.batch.packed {
            None => self.causal(&query_BNTD, &key_BKTD, &value_BKTD)?,
            Some(lengths) => {
                // One split each: the backward pass of slices would fill a whole row per sample.
                let parts = |all: &Tensor| all.f_split_with_sizes(lengths, 2);
                let (queries, keys, values) =
                    (parts(&query_BNTD)?, parts(&key_BKTD)?, parts(&value_BKTD)?);
                let mixed: Vec<Tensor> = queries
                    .iter()
                    .zip(keys.iter().zip(&values))
                    .map(|(query, (key, value))| self.causal(query, key, value))
                    .collect::<TorchResult<_>>()?;
                Tensor::f_cat(&mixed, 1)?
            }
        };
        let mixed_PO = mixed_BTND.f_reshape([rows * length, -1])?;
        linear(Projection::Output, &mixed_PO)
    }

    /// Queries, keys and values by head, `[B, T, N or K, D]`.
    fn project(
        &self,
        normed_PH: &Tensor,
        linear: &impl Fn(Projection, &Tensor) -> TorchResult<Tensor>,
    ) -> TorchResult<[Tensor; 3]> {
        let BatchLayout { rows, length, .. } = *self.batch;
        let head_dim = self.config.head_dim as i64;
        let heads = self.config.heads as i64;
        let groups = self.config.key_value_heads as i64;
        let split = |all: &Tensor, heads: i64| all.f_view([rows, length, heads, head_dim]);
        if self.config.fused_projections {
            let all = linear(Projection::QueryKeyValue, normed_PH)?;
            let widths = [heads * head_dim, groups * head_dim, groups * head_dim];
            let parts = all.f_split_with_sizes(&widths[..], -1)?;
            return Ok([
                split(&parts[0], heads)?,
                split(&parts[1], groups)?,
                split(&parts[2], groups)?,
            ]);
        }
        Ok([
            split(&linear(Projection::Query, normed_PH)?, heads)?,
            split(&linear(Projection::Key, normed_PH)?, groups)?,
            split(&linear(Projection::Value, normed_PH)?, groups)?,
        ])
    }

    /// The sum over values that each query takes from the keys up to its own position, `[B, T, N, D]`.
    fn causal(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> TorchResult<Tensor> {
        let length = query.size()[2];
        // One new token sees all that is there, or its window; more than one starts from an empty cache.
        let mask = (length > 1)
            .then(|| self.visible.get(self.window, length))
            .flatten();
        let there = key.size()[2];
        let window = self.window.and_then(|window| i64::try_from(window).ok());
        let recent = |all: &Tensor| match window {
            Some(window) if length == 1 && window < there => {
                all.f_narrow(2, there - window, window)
            }
            _ => Ok(all.shallow_clone()),
        };
        let (key, value) = (recent(key)?, recent(value)?);
        if let Some(cap) = self.config.attention_soft_cap {
            return self
                .capped(query, &key, &value, cap, mask)?
                .f_transpose(1, 2);
        }
        let causal = length > 1 && mask.is_none();
        let scale = self.config.query_scale;
        self.backend
            .attention([query, &key, &value], mask, causal, scale)
    }

    /// Attention whose scores have a soft cap, operator by operator: no fused kernel has one.
    fn capped(
        &self,
        query_BNTD: &Tensor,
        key_BKTD: &Tensor,
        value_BKTD: &Tensor,
        cap: f64,
        mask: Option<&Tensor>,
    ) -> TorchResult<Tensor> {
        let kind = query_BNTD.f_kind()?;
        let mut scores_BNTT = products(self.backend, query_BNTD, key_BKTD)?
            .f_mul_scalar(self.config.query_scale)?
            .f_div_scalar(cap)?
            .f_tanh()?
            .f_mul_scalar(cap)?;
        if let Some(mask) = mask {
            scores_BNTT = scores_BNTT.f_masked_fill(&mask.f_logical_not()?, f64::NEG_INFINITY)?;
        }
        let shares_BNTT = scores_BNTT.f_softmax(-1, Kind::Float)?.f_to_kind(kind)?;
        products(self.backend, &shares_BNTT, &value_BKTD.f_transpose(2, 3)?)
    }
}

/// `left [B, N, T, I]` times the transpose of `right [B, K, S, I]`: `[B, N, T, S]`. Each head of `right` serves N / K
/// heads of `left`.
///
/// On the CPU one product per head: libtorch would compute one for all on its one thread.
fn products(backend: Backend, left_BNTI: &Tensor, right_BKSI: &Tensor) -> TorchResult<Tensor> {
    let (rows, heads, length, _) = left_BNTI.size4()?;
    let (_, groups, there, width) = right_BKSI.size4()?;
    let each = heads / groups;
    if backend == Backend::Operators {
        let repeated = right_BKSI
            .f_unsqueeze(2)?
            .f_expand([rows, groups, each, there, width], false)?
            .f_reshape([rows, heads, there, width])?;
        return left_BNTI.f_matmul(&repeated.f_transpose(2, 3)?);
    }
    let by_head = |all: &Tensor| all.f_flatten(0, 1)?.f_unbind(0);
    let (left, right) = (by_head(left_BNTI)?, by_head(right_BKSI)?);
    let each = usize::try_from(each).unwrap_or(1).max(1);
    let served = right
        .iter()
        .flat_map(|right| std::iter::repeat_n(right, each));
    let found: Vec<Tensor> = left
        .iter()
        .zip(served)
        .map(|(left, right)| learning_linear(left, right))
        .collect::<TorchResult<_>>()?;
    Tensor::f_stack(&found, 0)?.f_view([rows, heads, length, there])
}
