//! Modules that are trained whole.
//!
//! In: `modules_to_save`. Out: their weights, and the biases of linears. Keeps: embedding, head,
//! linears and norms can be trained whole; routers and experts cannot.

use super::super::{expected_tensors, linears};
use super::{AdapterSpec, AdapterTensor, EMBEDDING, HEAD, ModelConfig, PREFIX, Part, Role};
use crate::error::{Code, Error, Result};

/// A module of the base model that can be trained whole.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// Path of the module, such as `model.norm`.
    pub path: String,
    part: Part,
    /// Shape of the module's weight.
    weight: Vec<usize>,
    /// Shape of the module's bias, for a linear that has one.
    bias: Option<Vec<usize>>,
}

impl Module {
    pub(super) fn tensors(&self) -> Vec<AdapterTensor> {
        let tensor = |end: &str, shape: &Vec<usize>, role: Role| AdapterTensor {
            key: format!("{PREFIX}{}.{end}", self.path),
            shape: shape.clone(),
            module: self.path.clone(),
            part: self.part,
            role,
        };
        let weight = tensor("weight", &self.weight, Role::Whole);
        let bias = self.bias.as_ref();
        let bias = bias.map(|shape| tensor("bias", shape, Role::Bias));
        std::iter::once(weight).chain(bias).collect()
    }
}

/// The modules of a description, by name.
pub(super) fn modules(spec: &AdapterSpec, model: &ModelConfig) -> Result<Vec<Module>> {
    if spec.modules_to_save.is_empty() {
        return Ok(Vec::new());
    }
    let all = candidates(model);
    // As PEFT has it: by the end of the path, whole parts or not.
    let means = |name: &str, module: &Module| module.path.ends_with(name);
    let stranger = spec
        .modules_to_save
        .iter()
        .find(|name| !all.iter().any(|module| means(name, module)));
    if let Some(name) = stranger {
        let mut exist: Vec<&str> = Vec::new();
        for module in &all {
            let short = module.path.rsplit('.').next().unwrap_or_default();
            if !exist.contains(&short) {
                exist.push(short);
            }
        }
        return Err(Error::new(
            Code::NoTargetModule,
            format!("modules_to_save match nothing: {name}"),
        )
        .why(format!("the base model has {}", exist.join(", ")))
        .fix("name some of them in modules_to_save"));
    }
    let names = &spec.modules_to_save;
    let chosen = all.into_iter();
    let chosen = chosen.filter(|module| names.iter().any(|name| means(name, module)));
    let mut chosen: Vec<Module> = chosen.collect();
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(chosen)
}

fn candidates(model: &ModelConfig) -> Vec<Module> {
    let there = expected_tensors(model);
    let linears = linears(model);
    let bias_of = |path: &str| {
        let name = format!("{path}.bias");
        let found = there.iter().find(|(tensor, _)| *tensor == name);
        found.map(|(_, shape)| shape.clone())
    };
    let layer = |path: &str| {
        let rest = path.strip_prefix("model.layers.")?;
        rest.split('.').next()?.parse::<usize>().ok()
    };
    let mut all: Vec<Module> = there
        .iter()
        .filter_map(|(tensor, shape)| Some((tensor.strip_suffix(".weight")?, shape)))
        .filter(|(path, shape)| {
            shape.len() == 1
                || [EMBEDDING, HEAD].contains(path)
                || linears.iter().any(|linear| linear.name == *path)
        })
        .map(|(path, shape)| Module {
            part: match layer(path) {
                Some(layer) => Part::Layer(layer),
                None if path == EMBEDDING => Part::Embedding,
                None => Part::Head,
            },
            path: path.to_owned(),
            weight: shape.clone(),
            bias: bias_of(path),
        })
        .collect();
    if !all.iter().any(|module| module.path == HEAD) {
        // Tied to the embedding in the files; trained whole it is one of its own.
        all.push(Module {
            path: HEAD.to_owned(),
            part: Part::Head,
            weight: vec![model.vocab_size, model.hidden_size],
            bias: None,
        });
    }
    all
}
