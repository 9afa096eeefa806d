//! Rotary positions, in the spellings of old and new transformers.
//!
//! In: config.json of a family. Out: one [`Rope`], or two where layers with a window have their own.
//! Keeps: what a key stands for when it is absent is decided here, so that frequencies follow from a
//! [`Rope`] alone. Not here: frequencies.

use super::family::Family;
use super::keys::{Keys, bad};
use crate::error::Result;

/// Base of the wavelengths in layers with a window, where they have their own.
const LOCAL_THETA: f64 = 10_000.0;

/// Rotary position embeddings of queries and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the wavelengths: pair j has `theta^(2 j / dims)`.
    pub theta: f64,
    /// Elements of a head that are turned, an even number; the others stay.
    pub dims: usize,
    /// How wavelengths are stretched.
    pub scaling: RopeScaling,
}

/// How rotary wavelengths are stretched.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// No wavelength is stretched.
    Default,
    /// All wavelengths are stretched by one factor.
    Linear {
        /// Factor on every wavelength.
        factor: f64,
    },
    /// Samples that are longer than the model was made for have a larger base.
    Dynamic {
        /// Factor in the larger base `theta * (factor * length / max - (factor - 1))^(dims / (dims - 2))`.
        factor: f64,
        /// Samples up to this length are as without scaling.
        max_position_embeddings: f64,
    },
    /// Long wavelengths are stretched by a factor, short ones are not, those between by a mixture.
    Llama3 {
        /// Factor on the long wavelengths.
        factor: f64,
        /// Wavelengths above `original / low` are stretched whole.
        low_freq_factor: f64,
        /// Wavelengths below `original / high` are not.
        high_freq_factor: f64,
        /// Context length of the first training.
        original_max_position_embeddings: f64,
    },
    /// Wavelengths of pairs that turn seldom are stretched by a factor, those of other pairs are not, with a ramp over
    /// the pairs between.
    Yarn {
        /// Factor on the wavelengths of pairs that turn seldom.
        factor: f64,
        /// Context length of the first training.
        original_max_position_embeddings: f64,
        /// Pairs that turn more often than this within it are not stretched.
        beta_fast: f64,
        /// Pairs that turn less often than this are stretched whole.
        beta_slow: f64,
        /// The ramp begins and ends at whole pairs.
        truncate: bool,
        /// Factor on cosines and sines.
        attention_factor: f64,
    },
    /// Each wavelength is stretched by a factor of its own, of which there are two lists.
    LongRope {
        /// Factors for samples up to the original length, one for each pair.
        short_factor: Vec<f64>,
        /// Factors for longer samples, one for each pair.
        long_factor: Vec<f64>,
        /// Context length of the first training.
        original_max_position_embeddings: f64,
        /// Factor on cosines and sines.
        attention_factor: f64,
    },
}

/// The rotary positions of a model: for all layers, or for those without and with a window.
pub(super) fn ropes(
    keys: Keys<'_>,
    family: &Family,
    head_dim: usize,
    max_position_embeddings: usize,
) -> Result<Vec<Rope>> {
    let reader = Reader {
        keys,
        family,
        head_dim,
        max_position_embeddings,
    };
    let parameters = keys.object("rope_parameters")?;
    let scaling = keys.object("rope_scaling")?.filter(|s| !s.0.is_empty());
    if !family.local_rope {
        let found = scaling.or(parameters);
        if let Some(map) = found
            && ["full_attention", "sliding_attention"]
                .iter()
                .any(|l| map.has(l))
        {
            return Err(bad("`rope_parameters` differ by layer type").why(format!(
                "{} has the same rotary positions in all layers",
                family.architecture
            )));
        }
        return Ok(vec![reader.rope(
            found,
            "rope_theta",
            family.defaults.rope_theta,
        )?]);
    }
    let of_type = |layer: &str| match parameters {
        Some(map) => map.object(layer),
        None => Ok(None),
    };
    if parameters.is_some_and(|map| map.has("rope_type") || map.has("rope_theta")) {
        return Err(bad("`rope_parameters` do not differ by layer type")
            .why("this family needs `full_attention` and `sliding_attention` in it"));
    }
    let full = scaling.or(of_type("full_attention")?);
    Ok(vec![
        reader.rope(full, "rope_theta", family.defaults.rope_theta)?,
        reader.rope(
            of_type("sliding_attention")?,
            "rope_local_base_freq",
            LOCAL_THETA,
        )?,
    ])
}

struct Reader<'a> {
    keys: Keys<'a>,
    family: &'a Family,
    head_dim: usize,
    max_position_embeddings: usize,
}

impl Reader<'_> {
    fn rope(&self, map: Option<Keys<'_>>, theta_key: &str, theta: f64) -> Result<Rope> {
        let empty = serde_json::Map::new();
        let map = map.unwrap_or(Keys(&empty));
        let theta = if map.has("rope_theta") {
            map.number("rope_theta")?
        } else {
            self.keys.number_or(theta_key, theta)?
        };
        let part = map.number_or(
            "partial_rotary_factor",
            self.keys.number_or("partial_rotary_factor", 1.0)?,
        )?;
        let dims = self.dims(part)?;
        let kind = map.text("rope_type").or_else(|| map.text("type"));
        let scaling = self.scaling(map, kind.unwrap_or("default"), dims)?;
        Ok(Rope {
            theta,
            dims,
            scaling,
        })
    }

    fn dims(&self, part: f64) -> Result<usize> {
        if (part - 1.0).abs() > 0.0 && !self.family.partial_rotary {
            return Err(bad(format!(
                "partial_rotary_factor {part} is not supported, only 1 is"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a head's width is small, and cut as the reference cuts it"
        )]
        let dims = (self.head_dim as f64 * part) as usize;
        if dims == 0 || !dims.is_multiple_of(2) || dims > self.head_dim {
            return Err(bad(format!(
                "{dims} of {} elements of a head would be turned, pairs are needed",
                self.head_dim
            )));
        }
        Ok(dims)
    }

    fn scaling(&self, map: Keys<'_>, kind: &str, dims: usize) -> Result<RopeScaling> {
        let fused = self.family.partial_rotary;
        Ok(match kind {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear {
                factor: map.number("factor")?,
            },
            "dynamic" if dims < 4 => {
                return Err(bad(format!(
                    "dynamic rope scaling of {dims} elements of a head"
                )));
            }
            "dynamic" => RopeScaling::Dynamic {
                factor: map.number("factor")?,
                max_position_embeddings: as_number(self.max_position_embeddings),
            },
            "llama3" => RopeScaling::Llama3 {
                factor: map.number("factor")?,
                low_freq_factor: map.number("low_freq_factor")?,
                high_freq_factor: map.number("high_freq_factor")?,
                original_max_position_embeddings: self.original(map)?,
            },
            "longrope" => self.long(map, dims)?,
            // Phi-3's older names.
            "su" | "yarn" if fused => self.long(map, dims)?,
            "yarn" => self.yarn(map)?,
            other => {
                return Err(bad(format!("rope scaling `{other}` is not supported"))
                    .why("supported: default, linear, dynamic, llama3, yarn, longrope"));
            }
        })
    }

    /// Context length of the first training: the model's own key goes first.
    fn original(&self, map: Keys<'_>) -> Result<f64> {
        const KEY: &str = "original_max_position_embeddings";
        if self.keys.has(KEY) {
            return self.keys.number(KEY);
        }
        if self.family.partial_rotary {
            // The configuration class has the key, with this default, and its own goes first.
            return Ok(4096.0);
        }
        map.number_or(KEY, as_number(self.max_position_embeddings))
    }

    fn factor(&self, map: Keys<'_>, original: f64) -> Result<f64> {
        map.number_or("factor", as_number(self.max_position_embeddings) / original)
    }

    fn yarn(&self, map: Keys<'_>) -> Result<RopeScaling> {
        let original = self.original(map)?;
        let factor = self.factor(map, original)?;
        let scale = |mscale: f64| {
            if factor <= 1.0 {
                1.0
            } else {
                0.1 * mscale * factor.ln() + 1.0
            }
        };
        let attention_factor = if map.has("attention_factor") {
            map.number("attention_factor")?
        } else if map.has("mscale") && map.has("mscale_all_dim") {
            scale(map.number("mscale")?) / scale(map.number("mscale_all_dim")?)
        } else {
            scale(1.0)
        };
        Ok(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: original,
            beta_fast: map.number_or("beta_fast", 32.0)?,
            beta_slow: map.number_or("beta_slow", 1.0)?,
            truncate: map.flag_or("truncate", true)?,
            attention_factor,
        })
    }

    fn long(&self, map: Keys<'_>, dims: usize) -> Result<RopeScaling> {
        let original = self.original(map)?;
        let factor = self.factor(map, original)?;
        let attention_factor = if map.has("attention_factor") {
            map.number("attention_factor")?
        } else if factor <= 1.0 {
            1.0
        } else {
            (1.0 + factor.ln() / original.ln()).sqrt()
        };
        let factors = |key: &str| -> Result<Vec<f64>> {
            let found = map.numbers(key)?;
            if found.len() == dims / 2 {
                return Ok(found);
            }
            let what = format!(
                "`{key}` has {} numbers, {} are needed",
                found.len(),
                dims / 2
            );
            Err(bad(what))
        };
        Ok(RopeScaling::LongRope {
            short_factor: factors("short_factor")?,
            long_factor: factors("long_factor")?,
            original_max_position_embeddings: original,
            attention_factor,
        })
    }
}

fn as_number(length: usize) -> f64 {
    f64::from(u32::try_from(length).unwrap_or(u32::MAX))
}
