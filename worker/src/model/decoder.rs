//! The walk from token ids to hidden states and logits, as transformers computes it.
//!
//! One walk for all families: the switches of [`ModelConfig`] say what is in a layer. Rows are padded on the right, attention is causal: no real token ever sees a padded one, so no
//! mask is needed. Everything but attention works on one matrix with a row per position (P), where
//! it makes no difference whether samples lie in rows of their own or packed behind each other.

use shared::error::{Code, Error, Result};
use shared::model::{LayerKind, ModelConfig, Projection};
use tch::{Device, Kind, TchError, Tensor};

use super::attention::{Attention, Samples, Visible};
use super::mlp::{ExpertLayer, activate};
use super::norm::RmsNorm;
use super::rope::{RopeTable, Stage};
use super::{BaseWeights, KeyValueCache, Linear, Masks};
use crate::device::{TorchResult, failed, frozen_linear};

/// Positions the rotary tables start with; they grow on demand.
const FIRST_POSITIONS: i64 = 512;

/// A decoder with frozen weights.
#[derive(Debug)]
pub struct Decoder {
    /// Its shape.
    pub config: ModelConfig,
    embedding_VH: Tensor,
    /// Rounded to the type of compute, as the reference rounds it.
    embedding_scale: Option<Tensor>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head_VH: Tensor,
    ropes: Vec<RopeTable>,
    /// Last: the tensors above may be views of its pages.
    _weights: BaseWeights,
}

/// Where the samples of one pass lie, and how far their positions turn queries and keys.
#[derive(Debug)]
pub struct Pass<'a> {
    samples: Samples<'a>,
    /// For each of the model's rotary positions.
    turns: Vec<(Tensor, Tensor)>,
    visible: Visible,
}

#[derive(Debug)]
struct Layer {
    kind: LayerKind,
    before_attention: RmsNorm,
    behind_attention: Option<RmsNorm>,
    before_mlp: RmsNorm,
    behind_mlp: Option<RmsNorm>,
    query_key: Option<(RmsNorm, RmsNorm)>,
    /// What each linear is for, in model order.
    projections: &'static [Projection],
    linears: Vec<Linear>,
    experts: Option<ExpertLayer>,
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
        let kinds = config.layer_kinds.iter().enumerate();
        let layers = kinds.map(|(layer, &kind)| Layer::load(&config, &weights, layer, kind));
        let layers = layers.collect::<Result<_>>()?;
        let embedding_VH = weights.tensor("model.embed_tokens.weight")?;
        let head_VH = if config.tie_word_embeddings {
            embedding_VH.shallow_clone()
        } else {
            weights.tensor("lm_head.weight")?
        };
        let ropes = config.ropes.iter();
        let ropes = ropes.map(|rope| RopeTable::new(rope, FIRST_POSITIONS, device, kind));
        let ropes = ropes
            .collect::<TorchResult<_>>()
            .map_err(failed("preparing rotary positions"))?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the reference rounds it to f32 first"
        )]
        let scale = |scale: f64| {
            Tensor::from(scale as f32)
                .f_to_device(device)?
                .f_to_kind(kind)
        };
        let embedding_scale = config.embedding_scale.map(scale).transpose();
        let embedding_scale = embedding_scale.map_err(failed("preparing embeddings"))?;
        let norm = RmsNorm::load(&weights, &config, "model.norm")?;
        Ok(Self {
            config,
            embedding_VH,
            embedding_scale,
            layers,
            norm,
            head_VH,
            ropes,
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
        let turns = self.ropes.iter_mut().map(|rope| match packed {
            Some(lengths) => rope.restarted(lengths),
            None => rope.at(start, length),
        });
        let turns = turns.collect::<TorchResult<_>>()?;
        let samples = Samples {
            rows,
            length,
            packed,
        };
        let visible = Visible::of(&self.config, &samples, self.embedding_VH.device())?;
        Ok(Pass {
            samples,
            turns,
            visible,
        })
    }

    /// Which rotary frequencies a sample of this length has: while they stay the same, what was read
    /// of it may be kept.
    pub(super) fn stages(&self, length: i64) -> Vec<Stage> {
        self.ropes.iter().map(|rope| rope.stage(length)).collect()
    }

    /// Hidden states `[P, H]` of token ids before the first layer.
    ///
    /// # Errors
    /// libtorch's.
    pub fn embed(&self, tokens_BT: &Tensor) -> TorchResult<Tensor> {
        let width = self.embedding_VH.size()[1];
        let embedded_PH = Tensor::f_embedding(&self.embedding_VH, tokens_BT, -1, false, false)?
            .f_view([-1, width])?;
        match &self.embedding_scale {
            Some(scale) => embedded_PH.f_mul(scale),
            None => Ok(embedded_PH),
        }
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
        layer.forward(&self.config, hidden_PH, pass, masks, cache)
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
        let normed_PH = self.norm.forward(hidden_PH)?;
        let logits_PV = frozen_linear(&normed_PH, &self.head_VH, None)?;
        let logits_PV = match self.config.logit_soft_cap {
            Some(cap) => logits_PV.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?,
            None => logits_PV,
        };
        logits_PV.f_to_kind(Kind::Float)
    }
}

impl Layer {
    fn load(
        config: &ModelConfig,
        weights: &BaseWeights,
        layer: usize,
        kind: LayerKind,
    ) -> Result<Self> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let norm = |part: &str| RmsNorm::load(weights, config, &name(part));
        let linear = |&projection: &Projection| -> Result<Linear> {
            let tensor = |part| weights.tensor(&format!("{}.{part}", name(projection.path())));
            let biased = config.biased(projection);
            Ok(Linear {
                weight_OI: tensor("weight")?,
                bias_O: biased.then(|| tensor("bias")).transpose()?,
                lora: None,
            })
        };
        let mut norms = config.norms.of_layer().iter().map(|part| norm(part));
        let mut next = || norms.next().transpose();
        let missing = || Error::new(Code::Internal, "a layer has two norms or four");
        let first = next()?.ok_or_else(missing)?;
        let behind_attention = if config.norms.around { next()? } else { None };
        let before_mlp = next()?.ok_or_else(missing)?;
        let behind_mlp = next()?;
        let query_key = config
            .norms
            .query_key
            .then(|| -> Result<_> { Ok((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?)) });
        let shape = config.experts.filter(|_| kind.experts);
        let experts = shape.map(|shape| ExpertLayer::load(weights, shape, layer));
        let projections = config.projections(layer);
        Ok(Self {
            kind,
            before_attention: first,
            behind_attention,
            before_mlp,
            behind_mlp,
            query_key: query_key.transpose()?,
            projections,
            linears: projections.iter().map(linear).collect::<Result<_>>()?,
            experts: experts.transpose()?,
        })
    }

    fn forward(
        &self,
        config: &ModelConfig,
        hidden_PH: &Tensor,
        pass: &Pass<'_>,
        masks: Masks<'_>,
        cache: Option<(usize, &mut KeyValueCache)>,
    ) -> TorchResult<Tensor> {
        let linear = |projection: Projection, input: &Tensor| {
            let place = self.projections.iter().position(|&p| p == projection);
            let found = place.and_then(|place| self.linears.get(place));
            let missing = || TchError::Shape(format!("a layer has no {}", projection.path()));
            found.ok_or_else(missing)?.forward(input, masks)
        };
        let turns = pass.turns.get(self.kind.rope);
        let attention = Attention {
            config,
            samples: &pass.samples,
            turns: turns.ok_or_else(|| TchError::Shape("no rotary positions".into()))?,
            visible: &pass.visible,
            window: self.kind.window,
            query_key: self.query_key.as_ref(),
        };
        let behind = |norm: &Option<RmsNorm>, output: Tensor| match norm {
            Some(norm) => norm.forward(&output),
            None => Ok(output),
        };
        let normed_PH = self.before_attention.forward(hidden_PH)?;
        let attended_PH = attention.forward(&normed_PH, cache, &linear)?;
        let hidden_PH = hidden_PH.f_add(&behind(&self.behind_attention, attended_PH)?)?;

        let normed_PH = self.before_mlp.forward(&hidden_PH)?;
        let output_PH = match &self.experts {
            Some(experts) => experts.forward(config.activation, &normed_PH)?,
            None => {
                let (gate_PI, up_PI) = if config.fused_projections {
                    let both = linear(Projection::GateUp, &normed_PH)?;
                    let mut parts = both.f_chunk(2, -1)?;
                    let up = parts.pop();
                    match (parts.pop(), up) {
                        (Some(gate), Some(up)) => (gate, Some(up)),
                        _ => return Err(TchError::Shape("gate and up are not two".into())),
                    }
                } else {
                    (linear(Projection::Gate, &normed_PH)?, None)
                };
                let gate_PI = activate(config.activation, &gate_PI)?;
                let up_PI = up_PI.map_or_else(|| linear(Projection::Up, &normed_PH), Ok)?;
                linear(Projection::Down, &gate_PI.f_mul(&up_PI)?)?
            }
        };
        hidden_PH.f_add(&behind(&self.behind_mlp, output_PH)?)
    }
}
