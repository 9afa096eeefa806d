//! The token embedding, and how it computes under what an adapter lays over it.
//!
//! With t the id of a token, E the table `[V, H]`, A `[R, V]`, B `[H, R]`, s the pair's scaling and c the scale of
//! embeddings:
//!
//! ```text
//! y_t = c E[t] + c s (A[:, t]^T B^T)                         [H]
//! ```
//!
//! The pair's part is computed in f32. Shapes in names: B rows, T tokens, P all positions, V vocabulary, H hidden, R
//! rank.

use tch::{Kind, Tensor};

use super::overlay::EmbeddingOverlay;
use crate::device::{TorchResult, learning_linear};

/// The token embedding.
#[derive(Debug)]
pub struct Embedding {
    /// The table of the base model, in the type of compute.
    pub frozen_VH: Tensor,
    /// Factor on the rows of the table and of the pair, in the type of compute.
    pub scale: Option<Tensor>,
}

impl Embedding {
    /// Hidden states `[P, H]` of token ids, in the type of compute.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(
        &self,
        tokens_BT: &Tensor,
        overlay: &EmbeddingOverlay,
        kind: Kind,
    ) -> TorchResult<Tensor> {
        let rows = |table: &Tensor| {
            let width = table.size()[1];
            Tensor::f_embedding(table, tokens_BT, -1, false, false)?.f_view([-1, width])
        };
        let scaled = |value_PH: Tensor| match &self.scale {
            Some(scale) => value_PH.f_mul(scale),
            None => Ok(value_PH),
        };
        let weight_VH = overlay.learning_VH.as_ref().unwrap_or(&self.frozen_VH);
        let base_PH = scaled(rows(weight_VH)?.f_to_kind(kind)?)?;
        let Some(pair) = &overlay.pair else {
            return Ok(base_PH);
        };
        let low_PR = rows(&pair.a_RV.f_transpose(0, 1)?)?;
        let change_PH = learning_linear(&low_PR, &pair.b_HR)?.f_mul_scalar(pair.scaling)?;
        base_PH.f_add(&scaled(change_PH)?)?.f_to_kind(kind)
    }
}
