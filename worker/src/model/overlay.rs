//! What an adapter lays over a frozen decoder, module by module.
//!
//! In: tensors that learn, f32, under the paths of the modules they change. Out: what each module asks for in a pass.
//! Keeps: the decoder holds none of it, so that one frozen base carries any number of adapters, each handed in with its
//! pass; an empty value is the base model alone. The formulas are in `linear`, `dora`, `embedding` and `norm`. Shapes
//! in names: V vocabulary, H hidden, I inputs, O outputs, R lora rank.

use std::collections::HashMap;

use tch::Tensor;

use crate::device::{LoraWeights, TorchResult};

/// The overlays of one adapter.
#[derive(Debug, Default)]
pub struct Overlays {
    /// Overlay of the token embedding.
    pub embedding: EmbeddingOverlay,
    /// Overlays of linears and of the output head, by path.
    pub linears: HashMap<String, LinearOverlay>,
    /// Norm weights that learn, f32, in the frozen ones' place, by path.
    pub norms: HashMap<String, Tensor>,
}

/// The overlay of a token embedding.
#[derive(Debug, Default)]
pub struct EmbeddingOverlay {
    /// A table that learns, f32, in the frozen one's place.
    pub learning_VH: Option<Tensor>,
    /// LoRA's pair, where the table is adapted.
    pub pair: Option<EmbeddingPair>,
}

/// LoRA's pair of an adapted embedding.
#[derive(Debug)]
pub struct EmbeddingPair {
    /// A, a column for each token, f32.
    pub a_RV: Tensor,
    /// B, from rank to hidden states, f32.
    pub b_HR: Tensor,
    /// Factor on the product of A and B.
    pub scaling: f64,
}

/// The overlay of a linear.
#[derive(Debug, Default)]
pub struct LinearOverlay {
    /// What changes the product with the weight.
    pub weight: WeightOverlay,
    /// Bias that learns, f32, in the frozen bias's place.
    pub bias_O: Option<Tensor>,
}

/// What changes a linear's product. A pair knows its site: its index among all pairs of linears, in the order of the
/// adapter's tensors.
#[derive(Debug, Default)]
pub enum WeightOverlay {
    /// The product of the frozen weight.
    #[default]
    None,
    /// LoRA: the site, and A and B, f32.
    Lora(usize, LoraWeights),
    /// DoRA: a LoRA pair, and a magnitude for each output.
    Dora {
        /// Index of the pair among all pairs of linears, which keys its dropout mask.
        site: usize,
        /// A and B of the pair, f32.
        pair: LoraWeights,
        /// Magnitude of each output, f32, which learns.
        magnitude_O: Tensor,
        /// Norm of each row of W + s B A, f32; a constant in the backward pass, computed anew by
        /// [`Decoder::update_dora_norms`](super::Decoder::update_dora_norms) whenever the pair has new values.
        weight_norm_O: Tensor,
    },
    /// IA3: a factor for each input, f32.
    ScaledInput(Tensor),
    /// IA3: a factor for each output, f32.
    ScaledOutput(Tensor),
    /// A weight that learns, f32, in the frozen weight's place.
    Whole(Tensor),
}

impl WeightOverlay {
    /// A pair with magnitudes, whose weight norms are 1 until the decoder computes them.
    ///
    /// # Errors
    /// libtorch's.
    pub fn dora(site: usize, pair: LoraWeights, magnitude_O: Tensor) -> TorchResult<Self> {
        let weight_norm_O = magnitude_O.f_detach()?.f_ones_like()?;
        Ok(Self::Dora {
            site,
            pair,
            magnitude_O,
            weight_norm_O,
        })
    }
}

impl Overlays {
    /// The overlay of the linear of this path, made where there is none yet.
    pub fn linear(&mut self, path: &str) -> &mut LinearOverlay {
        self.linears.entry(path.to_owned()).or_default()
    }
}
