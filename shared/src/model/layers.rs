//! What differs from layer to layer: windows, their rotary positions, experts.
//!
//! In: the keys of config.json, the family. Out: a [`LayerKind`] for each layer, and the [`Experts`]
//! that some of them have.

use serde_json::Value;

use super::family::{Family, Windows};
use super::keys::{Keys, bad};
use super::{Experts, LayerKind};
use crate::error::Result;

impl Keys<'_> {
    pub(super) fn layer_kinds(self, family: &Family, layers: usize) -> Result<Vec<LayerKind>> {
        let window = if self.has("sliding_window") {
            Some(self.size("sliding_window")?)
        } else {
            family
                .defaults
                .window
                .filter(|_| !self.is_null("sliding_window"))
        };
        let switched = self.flag("use_sliding_window")?;
        let window = match family.windows {
            Windows::Never => None,
            Windows::SwitchedAll | Windows::SwitchedFrom | Windows::SwitchedUnturned => {
                window.filter(|_| switched)
            }
            Windows::All | Windows::Alternating(..) => window,
        };
        let turned = self.turned_layers(family, layers)?;
        let slides = self.sliding_layers(family, &turned)?;
        if family.windows == Windows::SwitchedUnturned
            && window.is_none()
            && self.has("layer_types")
            && slides.contains(&true)
        {
            let why =
                "transformers gives such a layer a window or none, by how attention is computed";
            return Err(
                bad("`layer_types` has sliding_attention, and windows are switched off")
                    .why(why)
                    .fix("set `use_sliding_window` and `sliding_window`, or name full_attention"),
            );
        }
        let sparse = self.sparse_layers(family, layers)?;
        let kind = |((slides, turned), experts): ((bool, bool), bool)| LayerKind {
            window: window.filter(|_| slides),
            rope: turned.then_some(usize::from(family.local_rope && slides)),
            experts,
        };
        let kinds = slides.into_iter().zip(turned).zip(sparse);
        Ok(kinds.map(kind).collect())
    }

    /// Which layers have rotary positions.
    fn turned_layers(self, family: &Family, layers: usize) -> Result<Vec<bool>> {
        let Some(default) = family.unturned_every else {
            return Ok(vec![true; layers]);
        };
        let Some(listed) = self.get("no_rope_layers") else {
            let every = self.size_or("no_rope_layer_interval", default)?;
            let is_turned = |place: usize| !place.is_multiple_of(every);
            return Ok((1..=layers).map(is_turned).collect());
        };
        // Longer than needed is allowed, as in the reference.
        let listed = listed.as_array().filter(|list| list.len() >= layers);
        let one = |value: &Value| value.as_u64().filter(|&n| n < 2).map(|n| n == 1);
        let found = listed.and_then(|list| list.iter().take(layers).map(one).collect());
        found.ok_or_else(|| {
            bad(format!(
                "`no_rope_layers` is not a list of {layers} times 0 or 1"
            ))
        })
    }

    /// Which layers have a window, if there is one; `turned` which have rotary positions.
    fn sliding_layers(self, family: &Family, turned: &[bool]) -> Result<Vec<bool>> {
        let layers = turned.len();
        let typed = matches!(
            family.windows,
            Windows::SwitchedFrom | Windows::SwitchedUnturned | Windows::Alternating(..)
        );
        if typed && let Some(types) = self.get("layer_types") {
            let one = |kind: &Value| match kind.as_str() {
                Some("sliding_attention") => Some(true),
                Some("full_attention") => Some(false),
                _ => None,
            };
            let list = types.as_array();
            let found: Option<Vec<bool>> = list.and_then(|list| list.iter().map(one).collect());
            return found.filter(|found| found.len() == layers).ok_or_else(|| {
                bad(format!(
                    "`layer_types` is not a list of {layers} times full_attention or sliding_attention"
                ))
            });
        }
        Ok(match family.windows {
            Windows::Never => vec![false; layers],
            Windows::All | Windows::SwitchedAll => vec![true; layers],
            Windows::SwitchedFrom => {
                let first = self.get("max_window_layers").and_then(Value::as_u64);
                let first = first.map_or(28, |n| usize::try_from(n).unwrap_or(usize::MAX));
                (0..layers).map(|layer| layer >= first).collect()
            }
            Windows::SwitchedUnturned => turned.iter().map(|turned| !turned).collect(),
            Windows::Alternating(key, default) => {
                let every = key.map_or(Ok(default), |key| self.size_or(key, default))?;
                (1..=layers)
                    .map(|place| !place.is_multiple_of(every))
                    .collect()
            }
        })
    }

    /// Which layers have experts.
    fn sparse_layers(self, family: &Family, layers: usize) -> Result<Vec<bool>> {
        if family.experts.is_none() {
            return Ok(vec![false; layers]);
        }
        let every = self.size_or("decoder_sparse_step", 1)?;
        let dense = self.ids("mlp_only_layers")?;
        let is_dense = |layer: usize| dense.iter().any(|&d| usize::try_from(d) == Ok(layer));
        Ok((0..layers)
            .map(|layer| !is_dense(layer) && (layer + 1).is_multiple_of(every))
            .collect())
    }

    pub(super) fn experts(self, family: &Family) -> Result<Option<Experts>> {
        let Some(names) = &family.experts else {
            return Ok(None);
        };
        let count = names.count.iter().find(|key| self.has(key));
        let count = self.size(count.unwrap_or(&names.count[0]))?;
        let per_token = self.size("num_experts_per_tok")?;
        if per_token > count {
            return Err(bad(format!(
                "num_experts_per_tok is {per_token}, there are {count} experts"
            )));
        }
        Ok(Some(Experts {
            count,
            per_token,
            intermediate_size: self.size(names.width)?,
            normed: names.always_normed || self.flag("norm_topk_prob")?,
            wide_weights: names.wide_weights,
            module: names.module,
            parts: names.parts,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::model::ModelConfig;

    fn windows(architecture: &str, more: &[(&str, Value)]) -> Vec<Option<usize>> {
        let mut config = json!({"architectures": [architecture], "vocab_size": 64, "hidden_size": 32,
            "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 8, "head_dim": 8,
            "num_key_value_heads": 2});
        for (key, value) in more {
            config[key] = value.clone();
        }
        let config = ModelConfig::from_json(&config).unwrap();
        config.layer_kinds.iter().map(|kind| kind.window).collect()
    }

    #[test]
    fn a_window_is_where_the_family_and_its_switch_say() {
        let (none, some) = (None, Some(4096));
        assert_eq!(
            windows("LlamaForCausalLM", &[("sliding_window", json!(5))]),
            [none; 4]
        );
        assert_eq!(windows("MistralForCausalLM", &[]), [some; 4]);
        assert_eq!(
            windows("MistralForCausalLM", &[("sliding_window", Value::Null)]),
            [none; 4]
        );
        let from = ("max_window_layers", json!(3));
        let switch = ("use_sliding_window", json!(true));
        assert_eq!(
            windows("Qwen2ForCausalLM", std::slice::from_ref(&from)),
            [none; 4]
        );
        assert_eq!(
            windows("Qwen2ForCausalLM", &[from, switch]),
            [none, none, none, some]
        );
        assert_eq!(windows("Gemma2ForCausalLM", &[]), [some, none, some, none]);
        let every = ("sliding_window_pattern", json!(3));
        assert_eq!(
            windows("Gemma3ForCausalLM", &[every]),
            [some, some, none, some]
        );
        let types = json!([
            "full_attention",
            "full_attention",
            "sliding_attention",
            "full_attention"
        ]);
        let types = ("layer_types", types);
        assert_eq!(
            windows("Gemma3ForCausalLM", &[types]),
            [none, none, some, none]
        );
    }

    #[test]
    fn layers_without_rotary_positions_are_every_nth_or_those_listed() {
        let read = |more: &Value| {
            let mut config = json!({"model_type": "smollm3", "vocab_size": 64, "hidden_size": 32,
                "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4});
            for (key, value) in more.as_object().unwrap() {
                config[key] = value.clone();
            }
            ModelConfig::from_json(&config)
        };
        let kinds = |more: Value| {
            let kinds = read(&more).unwrap().layer_kinds;
            let (ropes, windows): (Vec<_>, Vec<_>) =
                kinds.iter().map(|kind| (kind.rope, kind.window)).unzip();
            (ropes, windows)
        };
        let (none, some, window) = (None, Some(0), Some(5));
        let off = vec![None; 4];
        assert_eq!(
            kinds(json!({})),
            (vec![some, some, some, none], off.clone())
        );
        assert_eq!(
            kinds(json!({"no_rope_layer_interval": 2, "sliding_window": 5})),
            (vec![some, none, some, none], off)
        );
        let listed = json!({"no_rope_layers": [0, 1, 0, 1, 1], "no_rope_layer_interval": 3,
            "use_sliding_window": true, "sliding_window": 5});
        let expected = vec![none, some, none, some];
        let windows = vec![window, None, window, None];
        assert_eq!(kinds(listed.clone()), (expected.clone(), windows));
        let (full, slides) = ("full_attention", "sliding_attention");
        let mut both = listed;
        both["layer_types"] = json!([full, full, slides, slides]);
        let windows = vec![None, None, window, window];
        assert_eq!(kinds(both.clone()), (expected, windows));
        both["use_sliding_window"] = json!(false);
        assert!(read(&both).is_err(), "a window that depends on the kernel");
        for wrong in [json!([1, 1, 1]), json!([1, 1, 1, 2]), json!(4)] {
            assert!(read(&json!({"no_rope_layers": wrong})).is_err());
        }
    }

    #[test]
    fn a_kind_of_layer_that_is_not_known_is_refused() {
        let config = json!({"architectures": ["Gemma2ForCausalLM"], "vocab_size": 64,
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
            "num_attention_heads": 4, "layer_types": ["chunked_attention"]});
        assert!(ModelConfig::from_json(&config).is_err());
    }
}
