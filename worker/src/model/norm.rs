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

use super::{BaseWeights, Overlays};
use crate::device::{Backend, TorchResult, by_rows, failed};

/// A norm over the last dimension.
#[derive(Debug)]
pub struct RmsNorm {
    /// Path of the module, under which a weight that learns is found.
    path: String,
    /// The weight as the file has it.
    frozen_H: Tensor,
    /// The weight that frozen norms multiply with: as in the file, or 1 + w in f32.
    weight_H: Tensor,
    eps: f64,
    plus_one: bool,
    backend: Backend,
}

impl RmsNorm {
    /// Loads the norm of this path.
    pub(super) fn load(
        weights: &BaseWeights,
        config: &ModelConfig,
        path: &str,
        backend: Backend,
    ) -> Result<Self> {
        let frozen_H = weights.tensor(&format!("{path}.weight"))?;
        let plus_one = config.norms.plus_one;
        let weight_H = if plus_one {
            let wide = frozen_H.f_to_kind(Kind::Float);
            wide.and_then(|wide| wide.f_add_scalar(1.0))
                .map_err(failed("preparing a norm"))?
        } else {
            frozen_H.shallow_clone()
        };
        Ok(Self {
            path: path.to_owned(),
            frozen_H,
            weight_H,
            eps: config.rms_norm_eps,
            plus_one,
            backend,
        })
    }

    /// Path of the module, as transformers names it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The weight as the file has it.
    pub(crate) fn frozen(&self) -> &Tensor {
        &self.frozen_H
    }

    /// The normed rows; `hidden` may have any dimensions before the last one.
    pub(super) fn forward(&self, hidden: &Tensor, overlays: &Overlays) -> TorchResult<Tensor> {
        let hidden_PH = hidden.f_flatten(0, -2)?;
        let normed_PH = match overlays.norms.get(&self.path) {
            Some(learning_H) => self.learning(&hidden_PH, learning_H),
            None => self.backend.normed(&hidden_PH, &self.weight_H, self.eps),
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
            Backend::Operators.normed(&all[0], &weight_H, eps)
        })
    }
}
