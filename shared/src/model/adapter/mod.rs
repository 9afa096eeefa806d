//! The tensors of an adapter: PEFT's name, shape and role of each, in canonical order.
//!
//! In: what the adapter is ([`AdapterSpec`]) and what the base model is. Out: an [`AdapterShape`].
//! Order: embedding, layers, output head, each in the model's own order; A, B and magnitude of a
//! module side by side, then biases, then whole modules by name. The worker's flat vector and
//! every file that is written follow it.

mod bias;
mod groups;
mod spec;
mod targets;
mod whole;

#[cfg(test)]
mod tests;

pub use groups::groups;
pub use spec::AdapterSpec;
pub use targets::match_targets;

use super::{LinearSpec, ModelConfig};
use crate::config::AdapterKind;
use crate::error::{Code, Error, Result};
use crate::manifest::ExpectedTensor;

/// What PEFT puts before a module path.
const PREFIX: &str = "base_model.model.";
/// Path of the embedding.
pub const EMBEDDING: &str = "model.embed_tokens";
/// Path of the output head.
pub const HEAD: &str = "lm_head";

/// Where in the decoder something lies, in the order in which it is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The token embedding.
    Embedding,
    /// A layer, from 0.
    Layer(usize),
    /// The last norm and the output head.
    Head,
}

/// What a tensor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A of a linear, `[rank, in]`.
    LoraA,
    /// B of a linear, `[out, rank]`.
    LoraB,
    /// DoRA's magnitude, `[out]`.
    Magnitude,
    /// A of the embedding, `[rank, vocabulary]`.
    EmbeddingA,
    /// B of the embedding, `[hidden, rank]`.
    EmbeddingB,
    /// IA3 on the inputs of a linear, `[1, in]`.
    ScaledInput,
    /// IA3 on the outputs of a linear, `[out, 1]`.
    ScaledOutput,
    /// A bias of the base model.
    Bias,
    /// A weight of a module that is trained whole.
    Whole,
}

/// One tensor that learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterTensor {
    /// PEFT's key, such as `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub key: String,
    /// Shape of the tensor as PEFT writes it; [`Role`] says what its dimensions are.
    pub shape: Vec<usize>,
    /// Path of the module, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Where the module lies.
    pub part: Part,
    /// What it does.
    pub role: Role,
}

impl AdapterTensor {
    /// Number of elements, the product of the shape.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Everything of a decoder that learns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterShape {
    /// In canonical order.
    pub tensors: Vec<AdapterTensor>,
    /// The linears that something is laid over, in model order; embedding and head are not among them.
    pub adapted: Vec<LinearSpec>,
}

/// A module that something can be laid over.
#[derive(Clone, Debug)]
struct Candidate {
    spec: LinearSpec,
    part: Part,
}

impl AdapterShape {
    /// The adapter of this description on this base model.
    ///
    /// # Errors
    /// [`Code::NoTargetModule`] for names that match nothing, [`Code::RankTooLarge`],
    /// [`Code::Contradiction`] for a module that would be adapted and trained whole.
    pub fn new(spec: &AdapterSpec, model: &ModelConfig) -> Result<Self> {
        let chosen = targets::chosen(spec, model)?;
        let whole = whole::modules(spec, model)?;
        if let Some(both) = chosen
            .iter()
            .find(|c| whole.iter().any(|w| w.path == c.spec.name))
        {
            let name = both.spec.name.clone();
            let what = format!("{name} is named by target_modules and by modules_to_save");
            return Err(Error::new(Code::Contradiction, what)
                .why("a module is adapted or trained whole, not both")
                .fix("take it out of one of the two"));
        }
        spec.patterns_match(&chosen)?;
        if spec.kind == AdapterKind::Lora {
            targets::check_ranks(spec, &chosen)?;
        }
        let mut tensors = Vec::new();
        for candidate in &chosen {
            overlay(spec, candidate, &mut tensors);
        }
        tensors.extend(bias::tensors(spec, model, &chosen, &whole));
        tensors.extend(whole.iter().flat_map(whole::Module::tensors));
        // Stable: within a part the order is the one above.
        tensors.sort_by_key(|tensor| tensor.part);
        let adapted = chosen.into_iter().map(|candidate| candidate.spec);
        Ok(Self {
            tensors,
            adapted: adapted
                .filter(|spec| spec.name != EMBEDDING && spec.name != HEAD)
                .collect(),
        })
    }

    /// Elements of all tensors.
    #[must_use]
    pub fn elements(&self) -> u64 {
        let elements = self.tensors.iter().map(AdapterTensor::elements);
        elements.map(|n| n as u64).sum()
    }

    /// What an adapter's file must hold.
    #[must_use]
    pub fn expected(&self) -> Vec<ExpectedTensor> {
        let expected = |tensor: &AdapterTensor| ExpectedTensor {
            key: tensor.key.clone(),
            shape: tensor.shape.clone(),
        };
        self.tensors.iter().map(expected).collect()
    }
}

/// What is laid over one module.
fn overlay(spec: &AdapterSpec, candidate: &Candidate, tensors: &mut Vec<AdapterTensor>) {
    let LinearSpec {
        name,
        in_features,
        out_features,
        ..
    } = &candidate.spec;
    let (inputs, outputs) = (*in_features, *out_features);
    let mut add = |end: &str, shape: &[usize], role: Role| {
        tensors.push(AdapterTensor {
            key: format!("{PREFIX}{name}.{end}"),
            shape: shape.to_vec(),
            module: name.clone(),
            part: candidate.part,
            role,
        });
    };
    if spec.kind == AdapterKind::Ia3 {
        if spec.scales_input(name) {
            add("ia3_l", &[1, inputs], Role::ScaledInput);
        } else {
            add("ia3_l", &[outputs, 1], Role::ScaledOutput);
        }
        return;
    }
    let rank = usize::try_from(spec.rank_of(name)).unwrap_or(usize::MAX);
    if candidate.part == Part::Embedding {
        add("lora_embedding_A", &[rank, inputs], Role::EmbeddingA);
        add("lora_embedding_B", &[outputs, rank], Role::EmbeddingB);
        return;
    }
    add("lora_A.weight", &[rank, inputs], Role::LoraA);
    add("lora_B.weight", &[outputs, rank], Role::LoraB);
    if spec.use_dora {
        add("lora_magnitude_vector", &[outputs], Role::Magnitude);
    }
}
