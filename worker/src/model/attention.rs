//! Causal attention within each sample, whether samples are rows or lie behind each other in one.
//!
//! In: normed hidden states, positions, a cache in generation. Out: what each position takes from
//! those before it. Keeps: no token sees a token of another sample; nothing of the size of a mask
//! is made. Shapes in names: B rows, T tokens, P all positions, N heads, K key/value heads, D head
//! size, H hidden, O heads times head size.

use shared::model::ModelConfig;
use tch::Tensor;

use super::KeyValueCache;
use super::rope::rotate;
use crate::device::TorchResult;

/// Where the samples lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples<'a> {
    /// Rows.
    pub rows: i64,
    /// Tokens of a row.
    pub length: i64,
    /// Tokens of the samples in the one row there is; `None` is a sample a row.
    pub packed: Option<&'a [i64]>,
}

/// The attention block of one layer; `linear` is asked for q k v o as 0 to 3.
pub(super) fn attention(
    config: &ModelConfig,
    normed_PH: &Tensor,
    samples: &Samples<'_>,
    turns: &(Tensor, Tensor),
    cache: Option<(usize, &mut KeyValueCache)>,
    linear: &impl Fn(usize, &Tensor) -> TorchResult<Tensor>,
) -> TorchResult<Tensor> {
    let (heads, groups) = (config.heads as i64, config.key_value_heads as i64);
    let head_dim = config.head_dim as i64;
    let (rows, length) = (samples.rows, samples.length);
    let split = |index: usize, heads: i64| {
        linear(index, normed_PH)?.f_view([rows, length, heads, head_dim])
    };
    let query_BNTD = rotate(&split(0, heads)?, turns)?.f_transpose(1, 2)?;
    let mut key_BKTD = rotate(&split(1, groups)?, turns)?.f_transpose(1, 2)?;
    let mut value_BKTD = split(2, groups)?.f_transpose(1, 2)?;
    if let Some((layer, cache)) = cache {
        (key_BKTD, value_BKTD) = cache.extend(layer, key_BKTD, value_BKTD)?;
    }
    let mixed_BTND = match samples.packed {
        None => causal(&query_BNTD, &key_BKTD, &value_BKTD, heads != groups)?,
        Some(lengths) => {
            // One split each: the backward pass of slices would fill a whole row per sample.
            let parts = |all: &Tensor| all.f_split_with_sizes(lengths, 2);
            let (queries, keys, values) =
                (parts(&query_BNTD)?, parts(&key_BKTD)?, parts(&value_BKTD)?);
            let mixed: Vec<Tensor> = queries
                .iter()
                .zip(keys.iter().zip(&values))
                .map(|(query, (key, value))| causal(query, key, value, heads != groups))
                .collect::<TorchResult<_>>()?;
            Tensor::f_cat(&mixed, 1)?
        }
    };
    let mixed_PO = mixed_BTND.f_reshape([rows * length, heads * head_dim])?;
    linear(3, &mixed_PO)
}

/// What the positions of each row take from those before them.
fn causal(
    query_BNTD: &Tensor,
    key_BKTD: &Tensor,
    value_BKTD: &Tensor,
    grouped: bool,
) -> TorchResult<Tensor> {
    let (length, head_dim) = (query_BNTD.size()[2], query_BNTD.size()[3]);
    #[expect(clippy::cast_precision_loss, reason = "a head's width is small")]
    let scale = 1.0 / (head_dim as f64).sqrt();
    // One new token sees all that is there; more than one starts from an empty cache.
    Tensor::f_scaled_dot_product_attention(
        query_BNTD,
        key_BKTD,
        value_BKTD,
        None::<&Tensor>,
        0.0,
        length > 1,
        scale,
        grouped,
    )?
    .f_transpose(1, 2)
}
