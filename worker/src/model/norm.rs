//! Root mean square norms, in the two forms that families have.
//!
//! In: rows x `[P, H]` of any type. Out: for each of them
//!
//! ```text
//! y = x / sqrt(mean over H of x^2 + eps) * w                 w [H]: the weight, or 1 + the weight
//! ```
//!
//! Keeps: the mean is f32. The quotient is rounded to the type of x before the weight, or behind it where the weight is
//! meant as 1 + w: bf16 models see the difference.

use shared::error::Result;
use shared::model::ModelConfig;
use tch::{Kind, Tensor};

use super::BaseWeights;
use crate::device::{TorchResult, by_rows, failed, normed, normed_by_operators};

/// A norm over the last dimension.
#[derive(Debug)]
pub struct RmsNorm {
    /// The weight as the file has it.
    frozen_H: Tensor,
    /// The weight that frozen norms multiply with: as in the file, or 1 + w in f32.
    weight_H: Tensor,
    /// A weight that learns, f32, in the frozen one's place.
    learning_H: Option<Tensor>,
    eps: f64,
    plus_one: bool,
}

impl RmsNorm {
    /// Loads the norm whose weight has this name.
    pub(super) fn load(weights: &BaseWeights, config: &ModelConfig, name: &str) -> Result<Self> {
        let frozen_H = weights.tensor(&format!("{name}.weight"))?;
        let plus_one = config.norms.plus_one;
        let weight_H = if plus_one {
            let wide = frozen_H.f_to_kind(Kind::Float);
            wide.and_then(|wide| wide.f_add_scalar(1.0))
                .map_err(failed("preparing a norm"))?
        } else {
            frozen_H.shallow_clone()
        };
        Ok(Self {
            frozen_H,
            weight_H,
            learning_H: None,
            eps: config.rms_norm_eps,
            plus_one,
        })
    }

    /// The weight as the file has it.
    pub(crate) fn frozen(&self) -> &Tensor {
        &self.frozen_H
    }

    /// Takes an f32 weight that learns in the frozen one's place.
    pub(crate) fn learn(&mut self, weight_H: Tensor) {
        self.learning_H = Some(weight_H);
    }

    /// The normed rows; `hidden` may have any dimensions before the last one.
    pub(super) fn forward(&self, hidden: &Tensor) -> TorchResult<Tensor> {
        let hidden_PH = hidden.f_flatten(0, -2)?;
        let normed_PH = match &self.learning_H {
            Some(learning_H) => self.learning(&hidden_PH, learning_H),
            None => normed(&hidden_PH, &self.weight_H, self.eps),
        };
        normed_PH?.f_view_as(hidden)
    }

    fn learning(&self, hidden_PH: &Tensor, weight_H: &Tensor) -> TorchResult<Tensor> {
        let (eps, plus_one) = (self.eps, self.plus_one);
        by_rows(&[hidden_PH], &[weight_H], move |all| {
            let weight_H = if plus_one {
                all[1].f_add_scalar(1.0)?
            } else {
                all[1].f_to_kind(all[0].f_kind()?)?
            };
            normed_by_operators(&all[0], &weight_H, eps)
        })
    }
}
