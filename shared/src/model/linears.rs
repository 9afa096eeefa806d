//! Which linears of a decoder are adapted.
//!
//! In: all linears in model order, `target_modules`. Out: those it names, in model order.

use super::LinearSpec;
use crate::config::TargetModules;
use crate::error::{Code, Error, Result};

/// The linears that `target_modules` names, in model order: exact name, or suffix after a dot.
///
/// # Errors
/// [`Code::NoTargetModule`] when a name matches nothing; it shows what exists.
pub fn match_targets(targets: &TargetModules, linears: &[LinearSpec]) -> Result<Vec<LinearSpec>> {
    let TargetModules::Names(names) = targets else {
        return Ok(linears.to_vec());
    };
    let matches = |spec: &LinearSpec, name: &str| {
        spec.name == name
            || spec
                .name
                .strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    let strangers: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !linears.iter().any(|spec| matches(spec, name)))
        .collect();
    if !strangers.is_empty() || names.is_empty() {
        let mut exist: Vec<&str> = Vec::new();
        for short in linears.iter().map(LinearSpec::short_name) {
            if !exist.contains(&short) {
                exist.push(short);
            }
        }
        let what = if names.is_empty() {
            "target_modules is empty".to_owned()
        } else {
            format!("target_modules match nothing: {}", strangers.join(", "))
        };
        return Err(Error::new(Code::NoTargetModule, what)
            .why(format!("the base model has {}", exist.join(", ")))
            .fix("name some of them in target_modules, or write all-linear"));
    }
    Ok(linears
        .iter()
        .filter(|spec| names.iter().any(|name| matches(spec, name)))
        .cloned()
        .collect())
}

/// Checks that the rank fits every adapted matrix.
///
/// # Errors
/// [`Code::RankTooLarge`] names the first matrix it does not fit.
pub fn check_rank(lora_rank: u32, adapted: &[LinearSpec]) -> Result<()> {
    let rank = usize::try_from(lora_rank).unwrap_or(usize::MAX);
    let Some(spec) = adapted
        .iter()
        .find(|s| rank > s.in_features.min(s.out_features))
    else {
        return Ok(());
    };
    let largest = adapted
        .iter()
        .map(|s| s.in_features.min(s.out_features))
        .min()
        .unwrap_or(0);
    Err(Error::new(
        Code::RankTooLarge,
        format!("lora_rank {lora_rank} is larger than the matrix it adapts"),
    )
    .why(format!(
        "{} is {} x {}",
        spec.name, spec.out_features, spec.in_features
    ))
    .fix(format!("set lora_rank to {largest} or less")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{ModelConfig, linears};

    fn specs() -> Vec<LinearSpec> {
        let config = json!({"model_type": "llama", "vocab_size": 64, "hidden_size": 32,
            "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2});
        linears(&ModelConfig::from_json(&config).unwrap())
    }

    fn names(list: &[&str]) -> TargetModules {
        TargetModules::Names(list.iter().map(|&s| s.to_owned()).collect())
    }

    #[test]
    fn names_are_suffixes_after_a_dot_in_model_order() {
        let found = match_targets(&names(&["v_proj", "q_proj"]), &specs()).unwrap();
        let found: Vec<_> = found.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            found,
            [
                "model.layers.0.self_attn.q_proj",
                "model.layers.0.self_attn.v_proj",
                "model.layers.1.self_attn.q_proj",
                "model.layers.1.self_attn.v_proj",
            ]
        );
        assert_eq!(
            match_targets(&names(&["layers.1.mlp.up_proj"]), &specs())
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            match_targets(&TargetModules::AllLinear, &specs())
                .unwrap()
                .len(),
            14
        );
    }

    #[test]
    fn a_name_that_matches_nothing_shows_what_exists() {
        for list in [&["q_proj", "c_attn"][..], &["proj"], &["lm_head"], &[]] {
            let error = match_targets(&names(list), &specs()).unwrap_err();
            assert_eq!(error.code, Code::NoTargetModule);
            assert!(
                error
                    .why
                    .concat()
                    .contains("q_proj, k_proj, v_proj, o_proj, gate_proj")
            );
        }
    }

    #[test]
    fn a_rank_larger_than_the_smallest_matrix_is_refused() {
        let adapted = match_targets(&names(&["v_proj"]), &specs()).unwrap();
        assert!(check_rank(16, &adapted).is_ok(), "v_proj is 16 x 32");
        let error = check_rank(17, &adapted).unwrap_err();
        assert_eq!(error.code, Code::RankTooLarge);
        assert!(error.fix.concat().contains("16 or less"), "{error:?}");
    }
}
