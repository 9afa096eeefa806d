//! Greedy text: one token after the other, each the likeliest.
//!
//! In: a base model, perhaps an adapter, the ids of a prompt. Out: new ids as they come. Every token
//! is read once; its keys and values stay. Weights keep the type of the file, as transformers does,
//! but for halves on the CPU, which are widened.

#![allow(non_snake_case)]

use std::path::Path;

use shared::error::{Code, Error, Result};
use shared::model::{AdapterShape, ModelConfig};
use tch::{Device, Kind, Tensor, no_grad};

use crate::adapter::{AdapterLayout, LiveAdapter, PeftAdapter, from_peft};
use crate::device::{TorchResult, failed};
use crate::model::{BaseWeights, Decoder, KeyValueCache, Overlays};

/// A base model, perhaps with an adapter, that writes greedily.
#[derive(Debug)]
pub struct GreedyModel {
    decoder: Decoder,
    device: Device,
    overlays: Overlays,
}

impl GreedyModel {
    /// Loads a base model, and lays an adapter over it.
    ///
    /// # Errors
    /// Anything wrong with the base model; [`Code::BadInitAdapter`] when the adapter does not fit.
    pub fn load(base: &Path, adapter: Option<&PeftAdapter>, device: Device) -> Result<Self> {
        let config = ModelConfig::load(base)?;
        let kind = BaseWeights::stored_kind(base, &config)?;
        let kind = if kind == Kind::Half && device == Device::Cpu {
            Kind::Float
        } else {
            kind
        };
        let weights = BaseWeights::open(base, &config, device, kind)?;
        let decoder = Decoder::new(config, weights, device, kind)?;
        let overlays = adapter.map(|adapter| overlays_of(adapter, &decoder, device));
        let overlays = overlays.transpose()?.unwrap_or_default();
        Ok(Self {
            decoder,
            device,
            overlays,
        })
    }

    /// The base model's shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.decoder.config
    }

    /// Gives new tokens to `each` until it says no, a token of `stop` comes (not given), or there
    /// are `max_new_tokens`.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, libtorch's, and those of `each`.
    pub fn generate(
        &self,
        prompt: &[u32],
        max_new_tokens: usize,
        stop: &[u32],
        each: impl FnMut(u32) -> Result<bool>,
    ) -> Result<()> {
        let adapted = (&self.decoder, &self.overlays);
        generate_greedy(adapted, self.device, prompt, max_new_tokens, stop, each)
    }
}

/// As [`GreedyModel::generate`], with a decoder and what an adapter lays over it.
pub fn generate_greedy(
    (decoder, overlays): (&Decoder, &Overlays),
    device: Device,
    prompt: &[u32],
    max_new_tokens: usize,
    stop: &[u32],
    mut each: impl FnMut(u32) -> Result<bool>,
) -> Result<()> {
    let vocabulary = decoder.config.vocab_size;
    let stranger = prompt.iter().find(|&&id| id as usize >= vocabulary);
    if let Some(id) = stranger {
        let what = format!("the prompt has token {id}, the model knows {vocabulary}");
        return Err(Error::new(Code::BadTokenizer, what)
            .fix("tokenizer and base model must belong together"));
    }
    if prompt.is_empty() {
        return Err(Error::new(Code::Usage, "the prompt has no token"));
    }
    let layers = decoder.config.layers;
    let mut cache = KeyValueCache::new(layers);
    let mut text: Vec<i64> = prompt.iter().map(|&id| i64::from(id)).collect();
    let length = |text: &[i64]| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let mut sets = decoder.frequency_sets(length(&text));
    let mut read = 0;
    for _ in 0..max_new_tokens {
        let best = no_grad(|| next((decoder, overlays), device, &text[read..], &mut cache))
            .map_err(failed("computing the next token"))?;
        decoder.progress().device(1);
        let id = u32::try_from(best).unwrap_or(u32::MAX);
        if stop.contains(&id) || !each(id)? {
            break;
        }
        read = text.len();
        text.push(best);
        let now = decoder.frequency_sets(length(&text));
        if now != sets {
            // The length has changed what positions are turned by: what was kept is of no use.
            (sets, read) = (now, 0);
            cache = KeyValueCache::new(layers);
        }
    }
    Ok(())
}

/// Reads what is unread and returns the likeliest next token.
fn next(
    (decoder, overlays): (&Decoder, &Overlays),
    device: Device,
    unread: &[i64],
    cache: &mut KeyValueCache,
) -> TorchResult<i64> {
    let tokens_BT = Tensor::f_from_slice(unread)?
        .f_to_device(device)?
        .f_unsqueeze(0)?;
    let hidden_PH = decoder.hidden(&tokens_BT, None, overlays, None, Some(cache))?;
    let last_PH = hidden_PH.f_narrow(0, hidden_PH.size()[0] - 1, 1)?;
    decoder
        .logits(&last_PH, overlays, None)?
        .f_argmax(-1, false)?
        .f_int64_value(&[0])
}

fn overlays_of(adapter: &PeftAdapter, decoder: &Decoder, device: Device) -> Result<Overlays> {
    let shape = AdapterShape::new(&adapter.spec, &decoder.config)
        .map_err(|error| error.in_file(&adapter.file))?;
    let layout = AdapterLayout::new(&shape);
    let values = from_peft(adapter, &layout, &adapter.spec)?;
    let lay = || {
        let mut live = LiveAdapter::new(decoder, &layout, &adapter.spec, device)?;
        live.set(decoder, &values)?;
        Ok(live.into_overlays())
    };
    lay().map_err(failed("laying the adapter over the base model"))
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;
