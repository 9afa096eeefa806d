//! The walk from token ids to hidden states and logits, as transformers computes it.
//!
//! One walk for all families: the switches of [`ModelConfig`] say what is in a layer. Rows are padded on the right,
//! attention is causal: no real token ever sees a padded one, so no mask is needed. Everything but attention works on
//! one matrix with a row per position (P), where it makes no difference whether samples lie in rows of their own or
//! packed behind each other.

use shared::error::{Code, Error, Result};
use shared::model::{EMBEDDING, HEAD, LayerKind, ModelConfig, Projection};
use tch::{Device, Kind, TchError, Tensor};

use super::attention::{Attention, AttentionMasks, BatchLayout};
use super::mlp::ExpertLayer;
use super::norm::RmsNorm;
use super::rope::{FrequencySet, RopeTable};
use super::{BaseWeights, DropoutMasks, Embedding, KeyValueCache, Linear, Overlays};
use crate::device::{Backend, FrozenWeight, TorchResult, by_rows, failed};
use crate::progress::Counters;

/// Positions the rotary tables start with; they grow on demand.
const FIRST_POSITIONS: i64 = 512;

/// Path of the norm before the output head.
const LAST_NORM: &str = "model.norm";

/// A part of the decoder that an adapter may be laid over.
#[derive(Debug)]
pub enum Module<'a> {
    /// The token embedding.
    Embedding(&'a Embedding),
    /// A linear, or the output head.
    Linear(&'a Linear),
    /// A norm over the residual stream, over queries or over keys, or the last norm.
    Norm(&'a RmsNorm),
}

/// A decoder with frozen weights. After it is loaded nothing changes it: what an adapter changes comes with the pass.
#[derive(Debug)]
pub struct Decoder {
    /// Shape of the model, and which parts its layers have.
    pub config: ModelConfig,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    ropes: Vec<RopeTable>,
    backend: Backend,
    kind: Kind,
    progress: Counters,
    /// The mapped weight files, dropped last: the tensors above may be views of their pages.
    _weights: BaseWeights,
}

/// What one pass goes through the decoder with: the adapter's overlays, where the samples lie, and how far their
/// positions turn queries and keys.
#[derive(Debug)]
pub struct Pass<'a> {
    overlays: &'a Overlays,
    batch: BatchLayout<'a>,
    /// Cosines and sines for each of the model's kinds of rotary positions.
    cos_sin: Vec<(Tensor, Tensor)>,
    visible: AttentionMasks,
}

#[derive(Debug)]
struct Layer {
    kind: LayerKind,
    backend: Backend,
    /// Norm before attention, transformers' `input_layernorm`.
    input_layernorm: RmsNorm,
    /// Norm of what attention adds, where the family has four norms a layer: `post_attention_layernorm`.
    post_attention_layernorm: Option<RmsNorm>,
    /// `post_attention_layernorm`, or `pre_feedforward_layernorm` where a layer has four norms.
    pre_mlp_layernorm: RmsNorm,
    /// Norm of what the MLP adds, where a layer has four norms: `post_feedforward_layernorm`.
    post_mlp_layernorm: Option<RmsNorm>,
    /// `q_norm` and `k_norm`, over each head.
    qk_norm: Option<(RmsNorm, RmsNorm)>,
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
        let frozen_VH = weights.tensor(&format!("{EMBEDDING}.weight"))?;
        let backend = Backend::of(&frozen_VH);
        let kinds = config.layer_kinds.iter().enumerate();
        let layers =
            kinds.map(|(layer, &kind)| Layer::load(&config, &weights, (layer, kind), backend));
        let layers = layers.collect::<Result<_>>()?;
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
        let norm = RmsNorm::load(&weights, &config, LAST_NORM, backend)?;
        Ok(Self {
            config,
            embedding: Embedding { frozen_VH, scale },
            layers,
            norm,
            head: Linear {
                path: HEAD.to_owned(),
                weight_OI: head,
                bias_O: None,
            },
            ropes,
            backend,
            kind,
            progress: weights.progress().clone(),
            _weights: weights,
        })
    }

    /// The module of this path, as transformers names it: embedding, a linear, a norm, the head.
    #[must_use]
    pub fn module(&self, path: &str) -> Option<Module<'_>> {
        if path == EMBEDDING {
            return Some(Module::Embedding(&self.embedding));
        }
        let linear = self.linears().find(|linear| linear.path == path);
        let norm = || self.norms().find(|norm| norm.path() == path);
        linear
            .map(Module::Linear)
            .or_else(|| norm().map(Module::Norm))
    }

    /// Takes a dense weight in the place of a linear's, while the decoder is loaded: what PiSSA left of it.
    ///
    /// # Errors
    /// A path that no linear has, and libtorch's.
    pub fn replace_weight(&mut self, path: &str, weight_OI: &Tensor) -> TorchResult<()> {
        let layers = self.layers.iter_mut();
        let mut linears = layers.flat_map(|layer| &mut layer.linears);
        let linear = linears.find(|linear| linear.path == path);
        let head = (path == HEAD).then_some(&mut self.head);
        let unknown = || TchError::Shape(format!("no linear is called {path}"));
        linear.or(head).ok_or_else(unknown)?.weight_OI = FrozenWeight::dense(weight_OI)?;
        Ok(())
    }

    /// Computes anew what DoRA's linears derive from an adapter's values.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update_dora_norms(&self, overlays: &mut Overlays) -> TorchResult<()> {
        self.linears()
            .try_for_each(|linear| linear.update_dora_norm(overlays))
    }

    /// All linears that an adapter may be laid over, the output head last.
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let of_layers = self.layers.iter().flat_map(|layer| &layer.linears);
        of_layers.chain([&self.head])
    }

    /// All norms, the last norm last.
    fn norms(&self) -> impl Iterator<Item = &RmsNorm> {
        self.layers
            .iter()
            .flat_map(Layer::norms)
            .chain([&self.norm])
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
        &self,
        overlays: &'a Overlays,
        rows: i64,
        length: i64,
        packed: Option<&'a [i64]>,
        start: i64,
    ) -> TorchResult<Pass<'a>> {
        let cos_sin = self.ropes.iter().map(|rope| match packed {
            Some(lengths) => rope.packed(lengths),
            None => rope.at(start, length),
        });
        let cos_sin = cos_sin.collect::<TorchResult<_>>()?;
        let batch = BatchLayout {
            rows,
            length,
            packed,
        };
        let visible = AttentionMasks::of(&self.config, &batch, self.embedding.frozen_VH.device())?;
        Ok(Pass {
            overlays,
            batch,
            cos_sin,
            visible,
        })
    }

    /// Which rotary frequencies a sample of this length has: while they stay the same, keys and values that were read
    /// may be kept.
    pub(crate) fn frequency_sets(&self, length: i64) -> Vec<FrequencySet> {
        let sets = self.ropes.iter();
        sets.map(|rope| rope.frequency_set(length)).collect()
    }

    /// Hidden states `[P, H]` of token ids before the first layer.
    ///
    /// # Errors
    /// libtorch's.
    pub fn embed(&self, tokens_BT: &Tensor, overlays: &Overlays) -> TorchResult<Tensor> {
        self.embedding
            .forward(tokens_BT, &overlays.embedding, self.kind)
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

    /// What computes on the decoder's device.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
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
        &self,
        tokens_BT: &Tensor,
        packed: Option<&[i64]>,
        overlays: &Overlays,
        masks: DropoutMasks<'_>,
        mut cache: Option<&mut KeyValueCache>,
    ) -> TorchResult<Tensor> {
        let (rows, length) = tokens_BT.size2()?;
        let start = cache.as_deref().map_or(0, KeyValueCache::length);
        let pass = self.pass(overlays, rows, length, packed, start)?;
        let mut hidden_PH = self.embed(tokens_BT, overlays)?;
        for index in 0..self.layers() {
            hidden_PH = self.layer(index, &hidden_PH, &pass, masks, cache.as_deref_mut())?;
        }
        Ok(hidden_PH)
    }

    /// Logits `[P, V]` in f32 of hidden states `[P, H]`: last norm, output head, soft cap.
    ///
    /// # Errors
    /// libtorch's.
    pub fn logits(
        &self,
        hidden_PH: &Tensor,
        overlays: &Overlays,
        masks: DropoutMasks<'_>,
    ) -> TorchResult<Tensor> {
        let normed_PH = self.norm.forward(hidden_PH, overlays)?;
        let logits_PV = self.head.forward(&normed_PH, overlays, masks)?;
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
        (layer, kind): (usize, LayerKind),
        backend: Backend,
    ) -> Result<Self> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let norm = |part: &str| RmsNorm::load(weights, config, &name(part), backend);
        let linear = |&projection: &Projection| -> Result<Linear> {
            let tensor = |part| weights.tensor(&format!("{}.{part}", name(projection.path())));
            let biased = config.biased(projection);
            let bias_O = biased.then(|| tensor("bias")).transpose()?;
            let path = name(projection.path());
            let weight_OI = weights.frozen(&path)?;
            Ok(Linear {
                path,
                weight_OI,
                bias_O,
            })
        };
        let mut norms = config.norms.of_layer().iter().map(|part| norm(part));
        let mut next = || norms.next().transpose();
        let missing = || Error::new(Code::Internal, "a layer has two norms or four");
        let first = next()?.ok_or_else(missing)?;
        let post_attention_layernorm = if config.norms.around { next()? } else { None };
        let pre_mlp_layernorm = next()?.ok_or_else(missing)?;
        let post_mlp_layernorm = next()?;
        let qk_norm = config
            .norms
            .query_key
            .then(|| -> Result<_> { Ok((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?)) });
        let shape = config.experts.filter(|_| kind.experts);
        let experts = shape.map(|shape| ExpertLayer::load(weights, shape, layer, backend));
        let projections = config.projections(layer);
        Ok(Self {
            kind,
            backend,
            input_layernorm: first,
            post_attention_layernorm,
            pre_mlp_layernorm,
            post_mlp_layernorm,
            qk_norm: qk_norm.transpose()?,
            projections,
            linears: projections.iter().map(linear).collect::<Result<_>>()?,
            experts: experts.transpose()?,
        })
    }

    fn norms(&self) -> impl Iterator<Item = &RmsNorm> {
        let of_layer = [
            Some(&self.input_layernorm),
            self.post_attention_layernorm.as_ref(),
            Some(&self.pre_mlp_layernorm),
            self.post_mlp_layernorm.as_ref(),
        ];
        let of_heads = self.qk_norm.iter().flat_map(|(query, key)| [query, key]);
        of_layer.into_iter().flatten().chain(of_heads)
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
            found
                .ok_or_else(missing)?
                .forward(input, pass.overlays, masks)
        };
        let no_cos_sin = || TchError::Shape("no rotary positions".into());
        let cos_sin = self.kind.rope;
        let cos_sin = cos_sin.map(|rope| pass.cos_sin.get(rope).ok_or_else(no_cos_sin));
        let attention = Attention {
            config,
            backend: self.backend,
            batch: &pass.batch,
            cos_sin: cos_sin.transpose()?,
            visible: &pass.visible,
            window: self.kind.window,
            qk_norm: self.qk_norm.as_ref(),
            overlays: pass.overlays,
        };
        let behind = |norm: &Option<RmsNorm>, output: Tensor| match norm {
            Some(norm) => norm.forward(&output, pass.overlays),
            None => Ok(output),
        };
        let normed_PH = self.input_layernorm.forward(hidden_PH, pass.overlays)?;
        let attended_PH = attention.forward(&normed_PH, cache, &linear)?;
        let hidden_PH = hidden_PH.f_add(&behind(&self.post_attention_layernorm, attended_PH)?)?;

        let normed_PH = self.pre_mlp_layernorm.forward(&hidden_PH, pass.overlays)?;
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
                    &self.backend.gated(config.activation, &gate_PI, &up_PI)?,
                )?
            }
        };
        hidden_PH.f_add(&behind(&self.post_mlp_layernorm, output_PH)?)
    }
}
