//! Losses per token and the adapter's gradient of one micro-batch.
//!
//! In: tokens, labels, the adapter's values. Out: the cross entropy of every predicted token, and
//! the gradient of their sum over the step's predicted tokens. The output head runs only on rows
//! that predict something. Keeps: the frozen base model never asks for a gradient.
//! Shapes in names: B rows, T tokens, P all positions, Q positions that predict, H hidden, V vocabulary.

#![allow(non_snake_case)]

use std::path::Path;

use shared::config::{Precision, RunConfig};
use shared::error::{Code, Error, Result};
use shared::numerics;
use shared::model::{ModelConfig, check_rank, linears, match_targets};
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use super::dropout::DropoutKeys;
use super::{IGNORED, MicroBatch};
use crate::adapter::{AdapterLayout, LiveAdapter, PeftAdapter, drawn, from_peft};
use crate::device::{Dropout, TorchResult, caught, failed, gradients};
use crate::model::{BaseWeights, Decoder, Masks, write};

/// A base model and the adapter that learns on it, on one device.
#[derive(Debug)]
pub struct Trainer {
    decoder: Decoder,
    adapter: LiveAdapter,
    layout: AdapterLayout,
    /// Inputs of every adapted linear.
    sites: Vec<usize>,
    config: RunConfig,
    device: Device,
    kind: Kind,
}

impl Trainer {
    /// Maps the base model and lays an adapter of zeros over it.
    ///
    /// # Errors
    /// Anything wrong with the base model, `target_modules` or `lora_rank`; libtorch's.
    pub fn load(config: &RunConfig, base: &Path, device: Device) -> Result<Self> {
        let kind = match config.precision {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Fp16 => Kind::Half,
        };
        let shape = ModelConfig::load(base)?;
        let all = linears(&shape);
        let chosen = match_targets(&config.target_modules, &all)?;
        check_rank(config.lora_rank, &chosen)?;
        let layout = AdapterLayout::new(config.lora_rank, &chosen);
        let adapted: Vec<bool> = all.iter().map(|spec| chosen.contains(spec)).collect();
        let weights = BaseWeights::open(base, &shape, device, kind)?;
        let mut decoder = Decoder::new(shape, weights, device, kind)?;
        let adapter =
            LiveAdapter::attach(&mut decoder, &adapted, &layout, config.scaling(), device)
                .map_err(failed("laying the adapter over the base model"))?;
        let sites = chosen.iter().map(|spec| spec.in_features).collect();
        Ok(Self {
            decoder,
            adapter,
            layout,
            sites,
            config: config.clone(),
            device,
            kind,
        })
    }

    /// Names and places of the adapter's tensors.
    #[must_use]
    pub fn layout(&self) -> &AdapterLayout {
        &self.layout
    }

    /// The adapter's first values: those of `init_adapter` or `parent`, or PEFT's draws from the seed.
    ///
    /// # Errors
    /// [`Code::BadInitAdapter`], and libtorch's.
    pub fn initial_adapter(&self) -> Result<Vec<f32>> {
        let earlier = self.config.init_adapter.as_ref();
        match earlier.or(self.config.parent.as_ref()) {
            Some(path) => {
                let found = PeftAdapter::load(path)?;
                from_peft(
                    &found,
                    &self.layout,
                    self.config.lora_rank,
                    self.config.scaling(),
                )
            }
            None => drawn(self.config.seed, &self.layout, self.kind)
                .map_err(failed("drawing the first adapter")),
        }
    }

    /// Takes new values of the adapter, in canonical order.
    ///
    /// # Errors
    /// [`Code::Internal`] for another length, and libtorch's.
    pub fn set_adapter(&mut self, params: &[f32]) -> Result<()> {
        self.check_length(params.len())?;
        self.adapter
            .set(params)
            .map_err(failed("taking a new adapter"))
    }

    /// Computes one micro-batch: the cross entropy of every predicted token into `losses`, and
    /// the gradient of their sum over `step_target_tokens` into `gradient`, in canonical order.
    ///
    /// # Errors
    /// [`Code::OutOfMemory`], and libtorch's.
    pub fn micro_batch(
        &mut self,
        batch: &MicroBatch,
        gradient: &mut [f32],
        losses: &mut Vec<f32>,
    ) -> Result<()> {
        self.check_length(gradient.len())?;
        losses.clear();
        let (places, wanted) = batch.predictions();
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
    pub fn evaluate(&mut self, batch: &MicroBatch) -> Result<(Vec<f32>, Vec<bool>)> {
        let (places, wanted) = batch.predictions();
        if places.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let found = no_grad(|| -> TorchResult<(Vec<f32>, Vec<bool>)> {
            let (losses_Q, logits_QV, wanted_Q) = forward(
                &mut self.decoder,
                self.device,
                batch,
                &places,
                &wanted,
                None,
            )?;
            let right_Q = logits_QV.f_argmax(-1, false)?.f_eq_tensor(&wanted_Q)?;
            let losses = losses_Q.f_to_device(Device::Cpu)?;
            let right = right_Q.f_to_device(Device::Cpu)?;
            Ok((Vec::try_from(losses)?, Vec::try_from(right)?))
        });
        found.map_err(failed("evaluating a micro-batch"))
    }

    /// The likeliest answer to a prompt, without dropout and without the token that ends it.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, [`Code::OutOfMemory`], libtorch's.
    pub fn answer(&mut self, prompt: &[u32], longest: usize, stop: &[u32]) -> Result<Vec<u32>> {
        let mut answer = Vec::new();
        write(
            &mut self.decoder,
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
    pub fn logits(&mut self, tokens: &[i64]) -> Result<Vec<f32>> {
        let logits = no_grad(|| -> TorchResult<Vec<f32>> {
            let tokens_BT = Tensor::f_from_slice(tokens)?
                .f_to_device(self.device)?
                .f_unsqueeze(0)?;
            let hidden_PH = self.decoder.hidden(&tokens_BT, None, None, None)?;
            let logits_PV = self.decoder.logits(&hidden_PH)?.f_to_device(Device::Cpu)?;
            Vec::try_from(logits_PV.f_flatten(0, -1)?)
        });
        logits.map_err(failed("computing logits"))
    }

    fn compute(
        &mut self,
        batch: &MicroBatch,
        places: &[i64],
        wanted: &[i64],
        gradient: &mut [f32],
        losses: &mut [f32],
    ) -> TorchResult<()> {
        let device = self.device;
        let keys = DropoutKeys {
            seed: self.config.seed,
            p: self.config.lora_dropout,
            batch,
        };
        let sites = &self.sites;
        let mask = |site: usize| -> TorchResult<Dropout> {
            keys.mask(site, sites.get(site).copied().unwrap_or(0), device)
        };
        let drops = self.config.lora_dropout > 0.0;
        let masks: Masks<'_> = if drops { Some(&mask) } else { None };
        // The logits are as large as the gradients that are to come, and no longer needed.
        let (losses_Q, _, _) = forward(&mut self.decoder, device, batch, places, wanted, masks)?;

        #[expect(
            clippy::cast_precision_loss,
            reason = "a step has fewer tokens than 2^52"
        )]
        let share = 1.0 / batch.step_target_tokens as f64;
        let seed_Q = losses_Q.f_full_like(share * f64::from(batch.loss_scale))?;
        let windows: Vec<&Tensor> = self.adapter.windows().iter().collect();
        let found = gradients(&losses_Q, &seed_Q, &windows)?;

        losses_Q
            .f_detach()?
            .f_to_device(Device::Cpu)?
            .f_copy_data(losses, places.len())?;
        if device == Device::Cpu {
            for (tensor, values) in self.layout.tensors.iter().zip(&found) {
                if let Some(place) = gradient.get_mut(tensor.range()) {
                    values
                        .f_contiguous()?
                        .f_copy_data(place, tensor.elements())?;
                }
            }
            return Ok(());
        }
        let flat: Vec<Tensor> = found
            .iter()
            .map(|values| values.f_reshape([-1]))
            .collect::<TorchResult<_>>()?;
        let elements = gradient.len();
        Tensor::f_cat(&flat, 0)?
            .f_to_device(Device::Cpu)?
            .f_copy_data(gradient, elements)
    }

    fn check_length(&self, found: usize) -> Result<()> {
        if found == self.layout.len() {
            return Ok(());
        }
        let what = format!("{found} values for an adapter of {}", self.layout.len());
        Err(Error::new(Code::Internal, what))
    }
}

/// Cross entropies of the predicted tokens, their logits, and the tokens themselves.
fn forward(
    decoder: &mut Decoder,
    device: Device,
    batch: &MicroBatch,
    places: &[i64],
    wanted: &[i64],
    masks: Masks<'_>,
) -> TorchResult<(Tensor, Tensor, Tensor)> {
    let here = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(device);
    let lengths = batch.lengths();
    // Samples of one length are rows, others lie behind each other in one row.
    let even = lengths.windows(2).all(|pair| pair[0] == pair[1]);
    let rows = if even { lengths.len() } else { 1 };
    let tokens_BT = here(&batch.tokens)?.f_view([i64::try_from(rows).unwrap_or(1), -1])?;
    let packed = if even { None } else { Some(&lengths[..]) };
    let (places_Q, wanted_Q) = (here(places)?, here(wanted)?);
    let hidden_PH = decoder.hidden(&tokens_BT, packed, masks, None)?;
    let logits_QV = decoder.logits(&hidden_PH.f_index_select(0, &places_Q)?)?;
    let losses_Q = logits_QV.f_cross_entropy_loss(
        &wanted_Q,
        None::<&Tensor>,
        Reduction::None,
        IGNORED,
        0.0,
    )?;
    Ok((losses_Q, logits_QV, wanted_Q))
}
