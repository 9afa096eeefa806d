//! One YAML to one resolved value: defaults < file < `--set`, each with its origin.
//!
//! `document` YAML with places · `key` what a key is · `keys` the one table, `row` what is made of a row
//! · `field` the types · `aliases` what others call them · `layers` file and `--set` laid over each
//! other · `mistakes` lines that are no YAML, `look_alike` characters that are others · `value` one value · `reader` all values · `joined`, `rules` several values together · `load`
//! all of it · `yaml`, `resolved`, `identity`, `schema` what is written from it · `paths` whether they
//! lead anywhere, `path_hints` what was meant where they do not.
//!
//! [`RunConfig`] is what everybody past this room sees. How it came to be stays here.

mod adapted;
mod adapter;
mod aliases;
mod choices;
mod document;
mod field;
mod formats;
mod formatted;
mod guess;
mod identity;
mod joined;
mod key;
mod keys;
mod layers;
mod load;
mod loaded;
mod look_alike;
mod mistakes;
mod path_hints;
mod paths;
mod privacy;
mod private;
mod reader;
mod resolved;
mod row;
mod rules;
mod run;
mod schema;
#[doc(hidden)]
pub mod testing;
mod value;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

pub use adapter::{AdapterKind, BiasMode, LoraInit, TargetModules, names_module};
pub use choices::{
    Checkpointing, DeviceClassPolicy, Dialogue, LossOn, LrSchedulerType, OnNonFinite, Overflow,
    Precision, Quantization, SpecialTokensInText, TaskType,
};
pub use document::{Item, Mark, Node, Source};
pub use formats::{DataForm, DataSource, Mixing, Named, Preference, TextEncoding};
pub use identity::{changes_pace, difference, identity_fields};
pub use keys::{
    AdapterConfig, EvaluationConfig, FormatConfig, PrivacyConfig, QuantizationConfig, RunConfig,
    StabilityConfig, is_key,
};
pub use load::{load, load_text};
pub use loaded::{Loaded, Origins};
pub use paths::{check_paths, missing_paths};
pub use privacy::{PrivacyKind, PrivacyMode, PrivacyRule};
pub use resolved::{json_values, resolved_yaml, values};
pub use rules::micro_batches_per_step;
pub use schema::json_schema;
pub use yaml::node_yaml;
