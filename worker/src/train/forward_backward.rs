//! Losses per token and the adapter's gradient of one micro-batch.
//!
//! In: tokens, labels, the adapter's values. Out: the cross entropy of every predicted token, and the gradient of
//!
//! ```text
//! L = loss_scale / step_loss_units * sum over q of nll_q        q in Q, the positions that predict
//! ```
//!
//! with respect to the adapter's N elements, after which the loss scale is taken off again. The output head runs only
//! on rows that predict something. Keeps: the frozen base model never asks for a gradient. Shapes in names: B rows, T
//! tokens, P all positions, Q positions that predict, H hidden, V vocabulary.

#![allow(non_snake_case)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::config::{LoraInit, Precision, RunConfig};
use shared::error::{Code, Error, Result};
use shared::model::{AdapterShape, AdapterSpec, ModelConfig, Part, Role, check_init};
use shared::numerics;
use shared::objective::{NextToken, Objective};
use tch::{Device, Kind, Tensor, no_grad};

use super::MicroBatch;
use super::dropout::DropoutKeys;
use super::gradients::Gradients;
use super::head::Head;
use super::layerwise::Layers;
use super::objective::DeviceObjective;
use crate::adapter::{AdapterLayout, Draw, LiveAdapter, PeftAdapter, drawn, from_peft, take_out};
use crate::device::{DevicePeak, Dropout, TorchResult, caught, failed, gradients, held_bytes};
use crate::generate::generate_greedy;
use crate::model::{BaseWeights, Decoder, DropoutMasks};
use crate::progress::Counters;

/// A base model and the adapter that learns on it, on one device.
#[derive(Debug)]
pub struct Trainer {
    decoder: Decoder,
    adapter: LiveAdapter,
    layout: AdapterLayout,
    spec: AdapterSpec,
    /// A and B of what PiSSA took out of the base model, flat and in canonical order; `None` for other inits.
    pissa_initial: Option<Arc<Vec<f32>>>,
    /// Number of inputs of each adapted linear, by its site: the width of its dropout mask.
    site_widths: Vec<usize>,
    /// PEFT folder that the first values are read from: `init_adapter` or `parent`.
    init_folder: Option<PathBuf>,
    /// Rule by which the first values are drawn, where there is no such folder.
    init: LoraInit,
    seed: u64,
    lora_dropout: f64,
    device: Device,
    kind: Kind,
    /// Recompute activations in the backward pass instead of keeping them.
    recompute: bool,
    objective: Box<dyn DeviceObjective>,
}

impl Trainer {
    /// Maps the base model and lays an adapter of zeros over it.
    ///
    /// # Errors
    /// Anything wrong with the base model, `target_modules` or `lora_rank`; libtorch's.
    pub fn load(config: &RunConfig, base: &Path, device: Device) -> Result<Self> {
        Self::load_counted(config, base, device, &Counters::default())
    }

    /// [`Self::load`], counting in `progress` each tensor that is loaded, and later each layer forward and backward,
    /// each part of the output head and each token written.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_counted(
        config: &RunConfig,
        base: &Path,
        device: Device,
        progress: &Counters,
    ) -> Result<Self> {
        let kind = match config.precision {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Fp16 => Kind::Half,
        };
        let shape = ModelConfig::load(base)?;
        let spec = AdapterSpec::from(config);
        let layout = AdapterLayout::new(&AdapterShape::new(&spec, &shape)?);
        let weights = BaseWeights::open(base, &shape, device, kind)?.counted(progress);
        let weights = weights.held(config.quantization)?;
        check_init(weights.is_quantized(), config.adapter.init)?;
        let mut decoder = Decoder::new(shape, weights, device, kind)?;
        let pissa = config.adapter.init == LoraInit::Pissa;
        let pissa_initial = pissa
            .then(|| take_out(&mut decoder, &layout, &spec))
            .transpose();
        let pissa_initial =
            pissa_initial.map_err(failed("taking PiSSA's part out of the base model"))?;
        let adapter = LiveAdapter::new(&decoder, &layout, &spec, device)
            .map_err(failed("laying the adapter over the base model"))?;
        let pairs = layout
            .tensors
            .iter()
            .filter(|tensor| tensor.role == Role::LoraA);
        let site_widths = pairs.filter_map(|a| a.shape.last().copied()).collect();
        Ok(Self {
            decoder,
            adapter,
            layout,
            spec,
            pissa_initial: pissa_initial.map(Arc::new),
            site_widths,
            init_folder: config.init_adapter.clone().or(config.parent.clone()),
            init: config.adapter.init,
            seed: config.seed,
            lora_dropout: config.lora_dropout,
            device,
            kind,
            recompute: false,
            objective: Box::new(NextToken),
        })
    }

    /// Whether the trainer computes on the CPU.
    #[must_use]
    pub fn is_on_cpu(&self) -> bool {
        self.device == Device::Cpu
    }

    /// The most of the GPU's memory that was needed so far; nothing on the CPU.
    ///
    /// # Errors
    /// libtorch's.
    pub fn device_peak(&self) -> Result<Option<DevicePeak>> {
        DevicePeak::of(self.device).map_err(failed("asking for the device's memory"))
    }

    /// Whether activations are recomputed in the backward pass.
    #[must_use]
    pub fn recomputes_activations(&self) -> bool {
        self.recompute
    }

    /// Sets whether activations are recomputed in the backward pass instead of being kept; the gradient is the same to
    /// the bit.
    pub fn recompute_activations(&mut self, recompute: bool) {
        self.recompute = recompute;
    }

    /// What a step learns from.
    #[must_use]
    pub fn objective(&self) -> &dyn Objective {
        &*self.objective
    }

    /// Names and places of the adapter's tensors.
    #[must_use]
    pub fn layout(&self) -> &AdapterLayout {
        &self.layout
    }

    /// A and B of what PiSSA took out of the base model, at their places in the flat vector.
    #[must_use]
    pub fn pissa_initial(&self) -> Option<&Arc<Vec<f32>>> {
        self.pissa_initial.as_ref()
    }

    /// The adapter's first values `[N]`: those of `init_adapter` or `parent`, or PEFT's draws from the seed.
    ///
    /// # Errors
    /// [`Code::BadInitAdapter`], and libtorch's.
    pub fn initial_adapter(&self) -> Result<Vec<f32>> {
        match &self.init_folder {
            Some(path) => from_peft(&PeftAdapter::load(path)?, &self.layout, &self.spec),
            None => {
                let draw = Draw {
                    seed: self.seed,
                    init: self.init,
                    base_kind: self.kind,
                    pissa_initial: self.pissa_initial.as_ref().map(|all| all.as_slice()),
                };
                drawn(draw, &self.layout, &self.decoder)
                    .map_err(failed("drawing the first adapter"))
            }
        }
    }

    /// Takes new values `[N]` of the adapter, in canonical order.
    ///
    /// # Errors
    /// [`Code::Internal`] for another length, and libtorch's.
    pub fn set_adapter(&mut self, params: &[f32]) -> Result<()> {
        self.check_length(params.len())?;
        self.adapter
            .set(&self.decoder, params)
            .map_err(failed("taking a new adapter"))
    }

    /// Bytes on the CPU that a micro-batch would keep between forward and backward: those of the first layer that
    /// learns, times the number of layers from there on.
    ///
    /// # Errors
    /// [`Code::OutOfMemory`], and libtorch's.
    pub fn keeps(&self, batch: &MicroBatch) -> Result<u64> {
        let measured = caught(|| {
            let on_device = DeviceBatch::of(batch, &[], &[], self.device)?;
            let lengths = batch.lengths();
            let packed = on_device.packed.then_some(&lengths[..]);
            let (rows, length) = on_device.tokens_BT.size2()?;
            let overlays = self.adapter.overlays();
            let pass = self.decoder.pass(overlays, rows, length, packed, 0)?;
            let embedded_PH = self
                .decoder
                .embed(&on_device.tokens_BT, overlays)?
                .f_detach()?;
            let learns = |part: Part| !self.layout.of_part(part).is_empty();
            let layers = 0..self.decoder.layers();
            let first = if learns(Part::Embedding) {
                Some(0)
            } else {
                layers.clone().find(|&layer| learns(Part::Layer(layer)))
            };
            let Some(first) = first else { return Ok(0) };
            let input_PH = embedded_PH.f_set_requires_grad(true)?;
            let mask = |site: usize| self.dropout(batch, site);
            let masks: DropoutMasks<'_> = self.drops().then_some(&mask);
            let before = held_bytes();
            let output_PH = self.decoder.layer(first, &input_PH, &pass, masks, None)?;
            let kept = held_bytes().saturating_sub(before);
            drop(output_PH);
            Ok(kept * (layers.len() - first) as u64)
        });
        measured.map_err(failed("measuring what a layer keeps"))
    }

    /// Computes one micro-batch: the cross entropy of every predicted token into `losses` `[Q]`, and the gradient of
    /// their sum over `step_loss_units` into `gradient` `[N]`, in canonical order.
    ///
    /// # Errors
    /// [`Code::OutOfMemory`], and libtorch's.
    pub fn micro_batch(
        &self,
        batch: &MicroBatch,
        gradient: &mut [f32],
        losses: &mut Vec<f32>,
    ) -> Result<()> {
        self.check_length(gradient.len())?;
        losses.clear();
        let (places, wanted) = self.objective.places(batch);
        if places.is_empty() {
            gradient.fill(0.0);
            return Ok(());
        }
        losses.resize(places.len(), 0.0);
        caught(|| self.compute(batch, &places, &wanted, gradient, losses))
            .map_err(failed("computing a micro-batch"))?;
        numerics::unscale(gradient, batch.loss_scale);
        Ok(())
    }

    /// The cross entropy of every predicted token without dropout and without a gradient, and
    /// whether that token is the most probable one.
    ///
    /// # Errors
    /// [`Code::OutOfMemory`], and libtorch's.
    pub fn evaluate(&self, batch: &MicroBatch) -> Result<(Vec<f32>, Vec<bool>)> {
        let (places, wanted) = self.objective.places(batch);
        if places.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let compute = || -> TorchResult<(Vec<f32>, Vec<bool>)> {
            let on_device = DeviceBatch::of(batch, &places, &wanted, self.device)?;
            let lengths = batch.lengths();
            let packed = on_device.packed.then_some(&lengths[..]);
            let overlays = self.adapter.overlays();
            let hidden_PH =
                self.decoder
                    .hidden(&on_device.tokens_BT, packed, overlays, None, None)?;
            let hidden_QH = hidden_PH.f_index_select(0, &on_device.places_Q)?;
            let mut losses = vec![0.0; places.len()];
            let head = Head {
                decoder: &self.decoder,
                overlays,
                masks: None,
                places_Q: &on_device.places_Q,
                windows: &[],
            };
            let wanted_Q = &on_device.wanted_Q;
            let hits = self
                .objective
                .losses_and_hits(&head, &hidden_QH, wanted_Q, &mut losses)?;
            Ok((losses, hits))
        };
        no_grad(compute).map_err(failed("evaluating a micro-batch"))
    }

    /// The likeliest answer to a prompt, without dropout and without the token that ends it.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, [`Code::OutOfMemory`], libtorch's.
    pub fn answer(&self, prompt: &[u32], longest: usize, stop: &[u32]) -> Result<Vec<u32>> {
        let mut answer = Vec::new();
        generate_greedy(
            (&self.decoder, self.adapter.overlays()),
            self.device,
            prompt,
            longest,
            stop,
            |id| {
                answer.push(id);
                Ok(true)
            },
        )?;
        Ok(answer)
    }

    /// Logits of every position of one row, `[T, V]` flat, without dropout.
    ///
    /// # Errors
    /// libtorch's.
    pub fn logits(&self, tokens: &[i64]) -> Result<Vec<f32>> {
        let compute = || -> TorchResult<Vec<f32>> {
            let tokens_BT = Tensor::f_from_slice(tokens)?
                .f_to_device(self.device)?
                .f_unsqueeze(0)?;
            let overlays = self.adapter.overlays();
            let hidden_PH = self
                .decoder
                .hidden(&tokens_BT, None, overlays, None, None)?;
            let logits_PV = self
                .decoder
                .logits(&hidden_PH, overlays, None)?
                .f_to_device(Device::Cpu)?;
            Vec::try_from(logits_PV.f_flatten(0, -1)?)
        };
        no_grad(compute).map_err(failed("computing logits"))
    }

    /// Whether the inputs of LoRA's pairs are dropped out.
    fn drops(&self) -> bool {
        self.lora_dropout > 0.0
    }

    /// The dropout mask of one adapted linear for a micro-batch.
    fn dropout(&self, batch: &MicroBatch, site: usize) -> TorchResult<Dropout> {
        let keys = DropoutKeys {
            seed: self.seed,
            p: self.lora_dropout,
            batch,
        };
        let width = self.site_widths.get(site).copied().unwrap_or(0);
        keys.mask(site, width, self.device)
    }

    fn compute(
        &self,
        batch: &MicroBatch,
        places: &[i64],
        wanted: &[i64],
        gradient: &mut [f32],
        losses: &mut [f32],
    ) -> TorchResult<()> {
        let mask = |site: usize| self.dropout(batch, site);
        let masks: DropoutMasks<'_> = self.drops().then_some(&mask);
        let on_device = DeviceBatch::of(batch, places, wanted, self.device)?;
        let lengths = batch.lengths();
        let packed = on_device.packed.then_some(&lengths[..]);
        let (rows, length) = on_device.tokens_BT.size2()?;
        let overlays = self.adapter.overlays();
        let pass = self.decoder.pass(overlays, rows, length, packed, 0)?;
        let layers = Layers {
            decoder: &self.decoder,
            pass: &pass,
            masks,
            recompute: self.recompute,
        };
        let windows = |part: Part| {
            let all = self.adapter.windows();
            all.get(self.layout.of_part(part)).unwrap_or_default()
        };
        let of_layer = |layer: usize| windows(Part::Layer(layer));
        let embedded_PH = layers.decoder.embed(&on_device.tokens_BT, overlays)?;
        let flows = !windows(Part::Embedding).is_empty();
        let (hidden_PH, tape) = layers.forward(&embedded_PH, of_layer, flows)?;

        #[expect(
            clippy::cast_precision_loss,
            reason = "a step has fewer tokens than 2^52"
        )]
        let share = f64::from(batch.loss_scale) / batch.step_loss_units as f64;
        let hidden_QH = hidden_PH.f_index_select(0, &on_device.places_Q)?;
        let head = Head {
            decoder: &self.decoder,
            overlays,
            masks,
            places_Q: &on_device.places_Q,
            windows: windows(Part::Head),
        };
        let (gradient_QH, of_head) = self.objective.losses_and_gradient(
            &head,
            &hidden_QH,
            &on_device.wanted_Q,
            share,
            losses,
        )?;
        let gradient_PH =
            hidden_PH
                .f_zeros_like()?
                .f_index_add_(0, &on_device.places_Q, &gradient_QH)?;
        drop((hidden_PH, hidden_QH, gradient_QH));

        let mut found = Gradients::new(&self.layout, gradient, self.decoder.backend());
        found.add(Part::Head, of_head)?;
        let further = layers.backward(tape, gradient_PH, of_layer, |layer, values| {
            found.add(Part::Layer(layer), values)
        })?;
        if let Some(gradient_PH) = further {
            let wanted: Vec<&Tensor> = windows(Part::Embedding).iter().collect();
            found.add(
                Part::Embedding,
                gradients(&embedded_PH, &gradient_PH, &wanted)?,
            )?;
        }
        found.finish()
    }

    fn check_length(&self, found: usize) -> Result<()> {
        if found == self.layout.len() {
            return Ok(());
        }
        let what = format!("{found} values for an adapter of {}", self.layout.len());
        Err(Error::new(Code::Internal, what))
    }
}

/// A micro-batch as tensors on the device.
struct DeviceBatch {
    tokens_BT: Tensor,
    places_Q: Tensor,
    wanted_Q: Tensor,
    /// True where samples lie behind each other in one row; otherwise each is a row, all of one length.
    packed: bool,
}

impl DeviceBatch {
    fn of(batch: &MicroBatch, places: &[i64], wanted: &[i64], device: Device) -> TorchResult<Self> {
        let here = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(device);
        let segments = &batch.segments;
        let packed = segments
            .windows(2)
            .any(|pair| pair[0].length != pair[1].length);
        let rows = if packed { 1 } else { segments.len() };
        Ok(Self {
            tokens_BT: here(&batch.tokens)?.f_view([i64::try_from(rows).unwrap_or(1), -1])?,
            places_Q: here(places)?,
            wanted_Q: here(wanted)?,
            packed,
        })
    }
}
