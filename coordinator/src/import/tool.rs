//! Which tool a file is for.
//!
//! In: the keys of a file. Out: the tool and how it was decided, or an error that asks for `--from`.
//! Keeps: only keys count that exactly one of the two tools has and our configuration does not.

use clap::ValueEnum;
use serde::Serialize;
use shared::config::{Item, Source, is_key};
use shared::error::{Code, Error, Result};

use super::rules;
use super::work::Work;
use super::{axolotl, llama_factory};

/// A tool whose training configurations can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// A LLaMA-Factory training configuration.
    LlamaFactory,
    /// An Axolotl training configuration.
    Axolotl,
}

impl Tool {
    /// The tool's name, as its authors write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LlamaFactory => "LLaMA-Factory",
            Self::Axolotl => "Axolotl",
        }
    }

    /// Adds our lines for defaults of the tool that differ from ours.
    pub(super) fn defaults(self, work: &mut Work<'_>) -> Result<()> {
        match self {
            Self::LlamaFactory => llama_factory::defaults(work),
            Self::Axolotl => axolotl::defaults(work),
        }
    }
}

/// The tool of a file, and how it was decided.
pub(super) fn decide(
    source: &Source,
    pairs: &[(String, Item, Item)],
    from: Option<Tool>,
) -> Result<(Tool, String)> {
    if let Some(tool) = from {
        return Ok((tool, format!("read as {}: --from says so", tool.name())));
    }
    let of = |tool: Tool| -> Vec<&str> {
        let known = pairs
            .iter()
            .filter(|(name, ..)| !is_key(name) && rules::only_of(name) == Some(tool));
        known.map(|(name, ..)| name.as_str()).collect()
    };
    let (factory, axolotl) = (of(Tool::LlamaFactory), of(Tool::Axolotl));
    let (tool, found, other) = match factory.len().cmp(&axolotl.len()) {
        std::cmp::Ordering::Greater => (Tool::LlamaFactory, factory, axolotl),
        std::cmp::Ordering::Less => (Tool::Axolotl, axolotl, factory),
        std::cmp::Ordering::Equal => return Err(neither(source, pairs, &factory, &axolotl)),
    };
    let mut decided = format!(
        "read as {}: {} of its own keys are there, such as {}",
        tool.name(),
        found.len(),
        shown(&found)
    );
    if !other.is_empty() {
        decided.push_str(&format!(
            ", and {} of the other tool's: {}",
            other.len(),
            shown(&other)
        ));
    }
    Ok((tool, decided))
}

fn shown(names: &[&str]) -> String {
    let first: Vec<String> = names
        .iter()
        .take(4)
        .map(|name| format!("`{name}`"))
        .collect();
    first.join(", ")
}

fn neither(
    source: &Source,
    pairs: &[(String, Item, Item)],
    factory: &[&str],
    axolotl: &[&str],
) -> Error {
    if pairs.is_empty() {
        return Error::new(Code::Usage, "the file says nothing")
            .in_file(&source.name)
            .fix("name a LLaMA-Factory or Axolotl configuration");
    }
    let ours = pairs.iter().filter(|(name, ..)| is_key(name)).count();
    let mut error = Error::new(
        Code::Usage,
        "it cannot be told whether this is of LLaMA-Factory or of Axolotl",
    )
    .in_file(&source.name)
    .why(format!(
        "{} of its keys are LLaMA-Factory's only, {} Axolotl's only",
        factory.len(),
        axolotl.len()
    ));
    if ours == pairs.len() {
        error = error
            .why("all of its keys are ours: it needs no import")
            .fix(format!("coordinator check --config {}", source.name));
    }
    error.fix("say it with --from llama-factory or --from axolotl")
}
