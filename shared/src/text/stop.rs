//! The tokens that end an answer.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::TextTokenizer;
use crate::error::{Code, Error, Result};

/// Every end-of-text id of generation_config.json, else of config.json, else the tokenizer's.
///
/// # Errors
/// [`Code::BadModelConfig`] for a generation_config.json that cannot be used.
pub fn stop_ids(base: &Path, of_config: &[u32], tokenizer: &TextTokenizer) -> Result<Vec<u32>> {
    let of_generation = generation_stop_ids(&base.join("generation_config.json"))?;
    if !of_generation.is_empty() {
        return Ok(of_generation);
    }
    if !of_config.is_empty() {
        return Ok(of_config.to_vec());
    }
    Ok(tokenizer
        .eos_token()
        .and_then(|token| tokenizer.token_id(token))
        .into_iter()
        .collect())
}

fn generation_stop_ids(file: &Path) -> Result<Vec<u32>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::new(
                Code::BadModelConfig,
                "generation_config.json cannot be read",
            )
            .in_file(file)
            .why(error.to_string()));
        }
    };
    let bad = |why: String| {
        Error::new(
            Code::BadModelConfig,
            "generation_config.json cannot be used",
        )
        .in_file(file)
        .why(why)
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value.get("eos_token_id") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(id).collect(),
        Some(one) => id(one).map(|id| vec![id]),
    };
    ids.ok_or_else(|| bad("eos_token_id is neither a token id nor a list of them".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stop_id_several_or_none_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("generation_config.json");
        assert!(generation_stop_ids(&file).unwrap().is_empty());
        for (text, expected) in [
            (r#"{"eos_token_id": 2}"#, &[2][..]),
            (r#"{"eos_token_id": [128001, 128009]}"#, &[128_001, 128_009]),
            (r#"{"eos_token_id": null}"#, &[]),
            ("{}", &[]),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(generation_stop_ids(&file).unwrap(), expected);
        }
        std::fs::write(&file, r#"{"eos_token_id": "</s>"}"#).unwrap();
        assert_eq!(
            generation_stop_ids(&file).unwrap_err().code,
            Code::BadModelConfig
        );
    }
}
