//! What a configuration says about the base model's weights in memory.

use serde::{Deserialize, Serialize};

/// How the frozen linears are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantizationConfig {
    /// The form of a weight.
    pub form: Quantization,
    /// The scales of NF4 are quantized too.
    pub double: bool,
}

/// The form of a frozen weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// As the files hold it.
    #[default]
    None,
    /// Four bits: bitsandbytes' NF4 in blocks of 64.
    Nf4,
    /// Eight bits: bitsandbytes' codes by row.
    Int8,
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        Self {
            form: Quantization::None,
            double: true,
        }
    }
}
