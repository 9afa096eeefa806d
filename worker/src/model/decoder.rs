//! The walk from token ids to hidden states and logits, as transformers' Llama computes it.
//!
//! Rows are padded on the right, attention is causal: no real token ever sees a padded one, so no
//! mask is needed. Everything but attention works on one matrix with a row per position (P), where
//! it makes no difference whether samples lie in rows of their own or packed behind each other.

use shared::error::Result;
use shared::model::ModelConfig;
use tch::{Device, Kind, TchError, Tensor};

use super::attention::{Samples, attention};
use super::rope::RopeTable;
use super::{BaseWeights, KeyValueCache, Linear, Masks};
use crate::device::{TorchResult, failed, frozen_linear};

/// Positions the rotary tables start with; they grow on demand.
const FIRST_POSITIONS: usize = 512;

/// A decoder with frozen weights.
#[derive(Debug)]
pub struct Decoder {
    /// Its shape.
    pub config: ModelConfig,
    embedding_VH: Tensor,
    layers: Vec<Layer>,
    norm_H: Tensor,
    head_VH: Tensor,
    rope: RopeTable,
    /// Last: the tensors above may be views of its pages.
    _weights: BaseWeights,
}

/// Where the samples of one pass lie, and how far their positions turn queries and keys.
#[derive(Debug)]
pub struct Pass<'a> {
    samples: Samples<'a>,
    turns: (Tensor, Tensor),
}

#[derive(Debug)]
struct Layer {
    input_norm_H: Tensor,
    post_norm_H: Tensor,
    /// q k v o gate up down.
    linears: [Linear; 7],
}

impl Decoder {
    /// Builds the decoder over a base model's tensors.
    ///
    /// # Errors
    /// A tensor that is missing, and libtorch's.
    pub fn new(
        config: ModelConfig,
        weights: BaseWeights,
        device: Device,
        kind: Kind,
    ) -> Result<Self> {
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let linear = |part: &str, biased: bool| -> Result<Linear> {
                let bias_O = if biased {
                    Some(weights.tensor(&name(&format!("{part}.bias")))?)
                } else {
                    None
                };
                let weight_OI = weights.tensor(&name(&format!("{part}.weight")))?;
                Ok(Linear {
                    weight_OI,
                    bias_O,
                    lora: None,
                })
            };
            let (attention, mlp) = (config.attention_bias, config.mlp_bias);
            layers.push(Layer {
                input_norm_H: weights.tensor(&name("input_layernorm.weight"))?,
                post_norm_H: weights.tensor(&name("post_attention_layernorm.weight"))?,
                linears: [
                    linear("self_attn.q_proj", attention)?,
                    linear("self_attn.k_proj", attention)?,
                    linear("self_attn.v_proj", attention)?,
                    linear("self_attn.o_proj", attention)?,
                    linear("mlp.gate_proj", mlp)?,
                    linear("mlp.up_proj", mlp)?,
                    linear("mlp.down_proj", mlp)?,
                ],
            });
        }
        let embedding_VH = weights.tensor("model.embed_tokens.weight")?;
        let head_VH = if config.tie_word_embeddings {
            embedding_VH.shallow_clone()
        } else {
            weights.tensor("lm_head.weight")?
        };
        let rope = RopeTable::new(&config.rope, config.head_dim, FIRST_POSITIONS, device, kind)
            .map_err(failed("preparing rotary positions"))?;
        let norm_H = weights.tensor("model.norm.weight")?;
        Ok(Self {
            config,
            embedding_VH,
            layers,
            norm_H,
            head_VH,
            rope,
            _weights: weights,
        })
    }

    /// All linears in model order, as `shared::model::linears` names them.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.layers
            .iter_mut()
            .flat_map(|layer| layer.linears.iter_mut())
    }

    /// Layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Prepares a pass over rows of `length` tokens that begin at position `start`.
    ///
    /// `packed` says how many tokens the samples have that lie behind each other in the one row:
    /// positions begin anew with each, and none sees another. `None` is a sample a row.
    ///
    /// # Errors
    /// libtorch's.
    pub fn pass<'a>(
        &mut self,
        rows: i64,
        length: i64,
        packed: Option<&'a [i64]>,
        start: i64,
    ) -> TorchResult<Pass<'a>> {
        let turns = match packed {
            Some(lengths) => self.rope.restarted(lengths)?,
            None => self.rope.at(start, length)?,
        };
        let samples = Samples {
            rows,
            length,
            packed,
        };
        Ok(Pass { samples, turns })
    }

    /// Hidden states `[P, H]` of token ids before the first layer.
    ///
    /// # Errors
    /// libtorch's.
    pub fn embed(&self, tokens_BT: &Tensor) -> TorchResult<Tensor> {
        let width = self.embedding_VH.size()[1];
        Tensor::f_embedding(&self.embedding_VH, tokens_BT, -1, false, false)?.f_view([-1, width])
    }

    /// Hidden states `[P, H]` behind the layer of this index.
    ///
    /// # Errors
    /// libtorch's; a layer that is not there.
    pub fn layer(
        &self,
        index: usize,
        hidden_PH: &Tensor,
        pass: &Pass<'_>,
        masks: Masks<'_>,
        cache: Option<&mut KeyValueCache>,
    ) -> TorchResult<Tensor> {
        let layer = self.layers.get(index).ok_or_else(|| {
            TchError::Shape(format!(
                "a decoder of {} layers has no {index}",
                self.layers()
            ))
        })?;
        let cache = cache.map(|cache| (index, cache));
        layer.forward(
            &self.config,
            hidden_PH,
            &pass.samples,
            &pass.turns,
            masks,
            cache,
        )
    }

    /// Hidden states `[P, H]` after the last layer, before the last norm; `packed` as [`Self::pass`].
    ///
    /// # Errors
    /// libtorch's.
    pub fn hidden(
        &mut self,
        tokens_BT: &Tensor,
        packed: Option<&[i64]>,
        masks: Masks<'_>,
        mut cache: Option<&mut KeyValueCache>,
    ) -> TorchResult<Tensor> {
        let (rows, length) = tokens_BT.size2()?;
        let start = cache.as_deref().map_or(0, KeyValueCache::length);
        let pass = self.pass(rows, length, packed, start)?;
        let mut hidden_PH = self.embed(tokens_BT)?;
        for index in 0..self.layers() {
            hidden_PH = self.layer(index, &hidden_PH, &pass, masks, cache.as_deref_mut())?;
        }
        Ok(hidden_PH)
    }

    /// Logits `[P, V]` in f32 of hidden states.
    ///
    /// # Errors
    /// libtorch's.
    pub fn logits(&self, hidden_PH: &Tensor) -> TorchResult<Tensor> {
        let normed_PH = rms_norm(hidden_PH, &self.norm_H, self.config.rms_norm_eps)?;
        frozen_linear(&normed_PH, &self.head_VH, None)?.f_to_kind(Kind::Float)
    }
}

impl Layer {
    fn forward(
        &self,
        config: &ModelConfig,
        hidden_PH: &Tensor,
        samples: &Samples<'_>,
        turns: &(Tensor, Tensor),
        masks: Masks<'_>,
        cache: Option<(usize, &mut KeyValueCache)>,
    ) -> TorchResult<Tensor> {
        let linear = |index: usize, input: &Tensor| self.linears[index].forward(input, masks);
        let normed_PH = rms_norm(hidden_PH, &self.input_norm_H, config.rms_norm_eps)?;
        let attended_PH = attention(config, &normed_PH, samples, turns, cache, &linear)?;
        let hidden_PH = hidden_PH.f_add(&attended_PH)?;

        let normed_PH = rms_norm(&hidden_PH, &self.post_norm_H, config.rms_norm_eps)?;
        let gate_PI = linear(4, &normed_PH)?.f_silu()?;
        let inner_PI = gate_PI.f_mul(&linear(5, &normed_PH)?)?;
        hidden_PH.f_add(&linear(6, &inner_PI)?)
    }
}

/// Root mean square norm: statistics in f32, cast back before the weight.
fn rms_norm(hidden_PH: &Tensor, weight_H: &Tensor, eps: f64) -> TorchResult<Tensor> {
    let kind = hidden_PH.f_kind()?;
    let wide_PH = hidden_PH.f_to_kind(Kind::Float)?;
    let variance = wide_PH.f_square()?.f_mean_dim(-1, true, Kind::Float)?;
    let scaled_PH = wide_PH.f_mul(&variance.f_add_scalar(eps)?.f_rsqrt()?)?;
    weight_H.f_mul(&scaled_PH.f_to_kind(kind)?)
}
