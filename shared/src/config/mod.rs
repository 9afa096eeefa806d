//! One YAML to one resolved value: defaults < file < `--set`, each with its origin.
//!
//! `document` YAML with places · `keys` the one table · `aliases` what others call them · `layers`
//! file and `--set` laid over each other · `value` one value · `reader` all values · `rules` several
//! values together · `load` all of it · `resolved`, `identity`, `schema` what is written from it ·
//! `paths` whether they lead anywhere.
//!
//! [`RunConfig`] is what everybody past this room sees. How it came to be stays here.

mod adapted;
mod adapter;
mod aliases;
mod document;
mod evaluation;
mod formats;
mod formatted;
mod identity;
mod keys;
mod layers;
mod load;
mod nearest;
mod paths;
mod privacy;
mod private;
mod quantization;
mod reader;
mod resolved;
mod rules;
mod run;
mod schema;
mod stability;
mod value;
mod words;

#[cfg(test)]
mod tests;

pub use adapter::{AdapterConfig, AdapterKind, BiasMode, Checkpointing, LoraInit, names_module};
pub use document::{Item, Mark, Node, Source};
pub use evaluation::EvaluationConfig;
pub use formats::{DataSource, FormatConfig, Mixing, Named};
pub use identity::{difference, identity_fields};
pub use keys::is_key;
pub use load::{Loaded, Origins, load, load_text};
pub use paths::{check_paths, missing_paths};
pub use privacy::{PrivacyConfig, PrivacyKind, PrivacyMode, PrivacyRule};
pub use quantization::{Quantization, QuantizationConfig};
pub use resolved::{json_values, node_yaml, resolved_yaml, values};
pub use rules::micro_batches_per_step;
pub use run::{
    DeviceClassPolicy, Dialogue, LossOn, LrSchedulerType, Overflow, Precision, RunConfig,
    TargetModules, TaskType,
};
pub use schema::json_schema;
pub use stability::{OnNonFinite, StabilityConfig};
