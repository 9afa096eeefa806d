//! The walk from token ids to hidden states and logits, as transformers computes it.
//!
//! One walk for all families: the switches of [`ModelConfig`] say what is in a layer. Rows are padded on the right,
//! attention is causal: no real token ever sees a padded one, so no mask is needed. Everything but attention works on
//! one matrix with a row per position (P), where it makes no difference whether samples lie in rows of their own or
//! packed behind each other.

use shared::error::{Code, Error, Result};
use shared::model::{EMBEDDING, HEAD, LayerKind, ModelConfig, Projection};
use tch::{Device, Kind, TchError, Tensor};

use super::attention::{Attention, AttentionMasks, Samples};
use super::mlp::ExpertLayer;
use super::norm::RmsNorm;
use super::rope::{RopeTable, Stage};
use super::{BaseWeights, DropoutMasks, Embedding, KeyValueCache, Linear};
use crate::device::{FrozenWeight, TorchResult, by_rows, failed, gated};
use crate::progress::Counters;

/// Positions the rotary tables start with; they grow on demand.
const FIRST_POSITIONS: i64 = 512;

/// Path of the norm before the output head.
const LAST_NORM: &str = "model.norm";

/// A part of the decoder that an adapter may be laid over.
#[derive(Debug)]
pub enum Module<'a> {
    /// The token embedding.
    Embedding(&'a mut Embedding),
    /// A linear, or the output head.
    Linear(&'a mut Linear),
    /// A norm over the residual stream, over queries or over keys, or the last norm.
    Norm(&'a mut RmsNorm),
}

/// A decoder with frozen weights.
#[derive(Debug)]
pub struct Decoder {
    /// Shape of the model, and which parts its layers have.
    pub config: ModelConfig,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    ropes: Vec<RopeTable>,
    kind: Kind,
    progress: Counters,
    /// The mapped weight files, dropped last: the tensors above may be views of their pages.
    _weights: BaseWeights,
}

/// Where the samples of one pass lie, and how far their positions turn queries and keys.
#[derive(Debug)]
pub struct Pass<'a> {
    samples: Samples<'a>,
    /// Cosines and sines for each of the model's kinds of rotary positions.
    cos_sin: Vec<(Tensor, Tensor)>,
    visible: AttentionMasks,
}

#[derive(Debug)]
struct Layer {
    kind: LayerKind,
    /// Norm before attention, transformers' `input_layernorm`.
    input_layernorm: RmsNorm,
    /// Norm of what attention adds, where the family has four norms a layer: `post_attention_layernorm`.
    post_attention_layernorm: Option<RmsNorm>,
    /// `post_attention_layernorm`, or `pre_feedforward_layernorm` where a layer has four norms.
    pre_mlp_layernorm: RmsNorm,
    /// Norm of what the MLP adds, where a layer has four norms: `post_feedforward_layernorm`.
    post_mlp_layernorm: Option<RmsNorm>,
    /// `q_norm` and `k_norm`, over each head.
    query_key: Option<(RmsNorm, RmsNorm)>,
    /// What each of `linears` is for, in model order.
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
        let frozen_VH = weights.tensor(&format!("{EMBEDDING}.weight"))?;
        let head_VH = if config.tie_word_embeddings {
            frozen_VH.shallow_clone()
        } else {
            weights.tensor(&format!("{HEAD}.weight"))?
        };
        let head = FrozenWeight::dense(&head_VH).map_err(failed("preparing the output head"))?;
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
        // Rounded to the type of compute, as the reference rounds it.
        let scale = config.embedding_scale.map(scale).transpose();
        let scale = scale.map_err(failed("preparing embeddings"))?;
        let norm = RmsNorm::load(&weights, &config, LAST_NORM)?;
        Ok(Self {
            config,
            embedding: Embedding {
                frozen_VH,
                learning_VH: None,
                scale,
                pair: None,
            },
            layers,
            norm,
            head: Linear::frozen(head, None),
            ropes,
            kind,
            progress: weights.progress().clone(),
            _weights: weights,
        })
    }

    /// The module of this path, as transformers names it: embedding, a linear, a norm, the head.
    pub fn module(&mut self, path: &str) -> Option<Module<'_>> {
        match path {
            EMBEDDING => return Some(Module::Embedding(&mut self.embedding)),
            HEAD => return Some(Module::Linear(&mut self.head)),
            LAST_NORM => return Some(Module::Norm(&mut self.norm)),
            _ => {}
        }
        let (layer, part) = path.strip_prefix("model.layers.")?.split_once('.')?;
        let layer = self.layers.get_mut(layer.parse::<usize>().ok()?)?;
        layer.module(&self.config, part)
    }

    /// Computes anew what DoRA's linears derive from the adapter's values.
    ///
    /// # Errors
    /// libtorch's.
    pub fn renew(&mut self) -> TorchResult<()> {
        let of_layers = self
            .layers
            .iter_mut()
            .flat_map(|layer| layer.linears.iter_mut());
        for linear in of_layers.chain([&mut self.head]) {
            linear.renew()?;
        }
        Ok(())
    }

    /// Number of decoder layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Prepares a pass over rows of `length` tokens that begin at position `start`: rotary tables and attention masks.
    ///
    /// `packed` gives the tokens of each sample, where all lie behind each other in one row: positions begin anew with
    /// each, and none sees another. `None` is a sample a row.
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
        let cos_sin = self.ropes.iter_mut().map(|rope| match packed {
            Some(lengths) => rope.restarted(lengths),
            None => rope.at(start, length),
        });
        let cos_sin = cos_sin.collect::<TorchResult<_>>()?;
        let samples = Samples {
            rows,
            length,
            packed,
        };
        let visible =
            AttentionMasks::of(&self.config, &samples, self.embedding.frozen_VH.device())?;
        Ok(Pass {
            samples,
            cos_sin,
            visible,
        })
    }

    /// Which rotary frequencies a sample of this length has: while they stay the same, keys and values that were read
    /// may be kept.
    pub(crate) fn stages(&self, length: i64) -> Vec<Stage> {
        self.ropes.iter().map(|rope| rope.stage(length)).collect()
    }

    /// Hidden states `[P, H]` of token ids before the first layer.
    ///
    /// # Errors
    /// libtorch's.
    pub fn embed(&self, tokens_BT: &Tensor) -> TorchResult<Tensor> {
        self.embedding.forward(tokens_BT, self.kind)
    }

    /// Hidden states `[P, H]` behind the layer of this index.
    ///
    /// # Errors
    /// libtorch's; an index that no layer has.
    pub fn layer(
        &self,
        index: usize,
        hidden_PH: &Tensor,
        pass: &Pass<'_>,
        masks: DropoutMasks<'_>,
        cache: Option<&mut KeyValueCache>,
    ) -> TorchResult<Tensor> {
        let layer = self.layers.get(index).ok_or_else(|| {
            TchError::Shape(format!(
                "a decoder of {} layers has no {index}",
                self.layers()
            ))
        })?;
        let cache = cache.map(|cache| (index, cache));
        let output_PH = layer.forward(&self.config, hidden_PH, pass, masks, cache)?;
        self.progress.device(1);
        Ok(output_PH)
    }

    /// Counters of layers forward; who goes back through a layer, or computes long outside of layers, counts there too.
    #[must_use]
    pub fn progress(&self) -> &Counters {
        &self.progress
    }

    /// Hidden states `[P, H]` after the last layer, before the last norm; `packed` as [`Self::pass`].
    ///
    /// # Errors
    /// libtorch's.
    pub fn hidden(
        &mut self,
        tokens_BT: &Tensor,
        packed: Option<&[i64]>,
        masks: DropoutMasks<'_>,
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

    /// Logits `[P, V]` in f32 of hidden states `[P, H]`: last norm, output head, soft cap.
    ///
    /// # Errors
    /// libtorch's.
    pub fn logits(&self, hidden_PH: &Tensor, masks: DropoutMasks<'_>) -> TorchResult<Tensor> {
        let normed_PH = self.norm.forward(hidden_PH)?;
        let logits_PV = self.head.forward(&normed_PH, masks)?;
        let cap = self.config.logit_soft_cap;
        if cap.is_none() && logits_PV.f_kind()? == Kind::Float {
            return Ok(logits_PV);
        }
        by_rows(&[&logits_PV], &[], move |all| {
            let capped_PV = match cap {
                Some(cap) => all[0].f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?,
                None => all[0].shallow_clone(),
            };
            capped_PV.f_to_kind(Kind::Float)
        })
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
            let bias_O = biased.then(|| tensor("bias")).transpose()?;
            let weight_OI = weights.frozen(&name(projection.path()))?;
            Ok(Linear::frozen(weight_OI, bias_O))
        };
        let mut norms = config.norms.of_layer().iter().map(|part| norm(part));
        let mut next = || norms.next().transpose();
        let missing = || Error::new(Code::Internal, "a layer has two norms or four");
        let first = next()?.ok_or_else(missing)?;
        let post_attention_layernorm = if config.norms.around { next()? } else { None };
        let pre_mlp_layernorm = next()?.ok_or_else(missing)?;
        let post_mlp_layernorm = next()?;
        let query_key = config
            .norms
            .query_key
            .then(|| -> Result<_> { Ok((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?)) });
        let shape = config.experts.filter(|_| kind.experts);
        let experts = shape.map(|shape| ExpertLayer::load(weights, shape, layer));
        let projections = config.projections(layer);
        Ok(Self {
            kind,
            input_layernorm: first,
            post_attention_layernorm,
            pre_mlp_layernorm,
            post_mlp_layernorm,
            query_key: query_key.transpose()?,
            projections,
            linears: projections.iter().map(linear).collect::<Result<_>>()?,
            experts: experts.transpose()?,
        })
    }

    /// The linear or norm of this path within the layer.
    fn module(&mut self, config: &ModelConfig, part: &str) -> Option<Module<'_>> {
        let linear = self
            .projections
            .iter()
            .position(|projection| projection.path() == part);
        if let Some(place) = linear {
            return self.linears.get_mut(place).map(Module::Linear);
        }
        let (query, key) = self.query_key.as_mut().map(|(q, k)| (q, k)).unzip();
        let norm = match part {
            "self_attn.q_norm" => query,
            "self_attn.k_norm" => key,
            _ => {
                let mut names = config.norms.of_layer().iter();
                let place = names.position(|name| *name == part)?;
                let norms = [
                    Some(&mut self.input_layernorm),
                    self.post_attention_layernorm.as_mut(),
                    Some(&mut self.pre_mlp_layernorm),
                    self.post_mlp_layernorm.as_mut(),
                ];
                norms.into_iter().flatten().nth(place)
            }
        };
        norm.map(Module::Norm)
    }

    fn forward(
        &self,
        config: &ModelConfig,
        hidden_PH: &Tensor,
        pass: &Pass<'_>,
        masks: DropoutMasks<'_>,
        cache: Option<(usize, &mut KeyValueCache)>,
    ) -> TorchResult<Tensor> {
        let linear = |projection: Projection, input: &Tensor| {
            let place = self.projections.iter().position(|&p| p == projection);
            let found = place.and_then(|place| self.linears.get(place));
            let missing = || TchError::Shape(format!("a layer has no {}", projection.path()));
            found.ok_or_else(missing)?.forward(input, masks)
        };
        let no_cos_sin = || TchError::Shape("no rotary positions".into());
        let cos_sin = self.kind.rope;
        let cos_sin = cos_sin.map(|rope| pass.cos_sin.get(rope).ok_or_else(no_cos_sin));
        let attention = Attention {
            config,
            samples: &pass.samples,
            cos_sin: cos_sin.transpose()?,
            visible: &pass.visible,
            window: self.kind.window,
            query_key: self.query_key.as_ref(),
        };
        let behind = |norm: &Option<RmsNorm>, output: Tensor| match norm {
            Some(norm) => norm.forward(&output),
            None => Ok(output),
        };
        let normed_PH = self.input_layernorm.forward(hidden_PH)?;
        let attended_PH = attention.forward(&normed_PH, cache, &linear)?;
        let hidden_PH = hidden_PH.f_add(&behind(&self.post_attention_layernorm, attended_PH)?)?;

        let normed_PH = self.pre_mlp_layernorm.forward(&hidden_PH)?;
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
                let up_PI = up_PI.map_or_else(|| linear(Projection::Up, &normed_PH), Ok)?;
                linear(
                    Projection::Down,
                    &gated(config.activation, &gate_PI, &up_PI)?,
                )?
            }
        };
        hidden_PH.f_add(&behind(&self.post_mlp_layernorm, output_PH)?)
    }
}
