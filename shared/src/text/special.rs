//! The named special tokens of a Hugging Face folder: `bos_token`, `eos_token` and their kin.
//!
//! In: `tokenizer_config.json`, for names it lacks `special_tokens_map.json`. Out: name to text.
//! Each is a string or an object with `content`; anything else under such a name is not a token.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{Code, Error, Result};

/// The file with the tokenizer's settings.
pub(super) const CONFIG: &str = "tokenizer_config.json";
/// The file beside it that older tokenizers keep their special tokens in.
pub(super) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";

/// What the folder says about its special tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct SpecialTokens {
    /// `eos_token` and so on, to the token's text.
    pub named: BTreeMap<String, String>,
    /// Tokens the settings add to those of `tokenizer.json`, in id order.
    pub added: Vec<(u32, AddedToken)>,
    /// Special tokens without a name of their own.
    pub unnamed: Vec<String>,
}

impl SpecialTokens {
    /// Reads both files of a folder; a missing one says nothing.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut tokens = Self::default();
        for file in [CONFIG, SPECIAL_TOKENS_MAP] {
            if let Some(object) = read_object(&folder.join(file))? {
                tokens.take(&object);
            }
        }
        tokens.added.sort_by_key(|(id, _)| *id);
        Ok(tokens)
    }

    fn take(&mut self, object: &Map<String, Value>) {
        for (key, value) in object {
            if key.ends_with("_token")
                && let Some(text) = token_text(value)
            {
                self.named.entry(key.clone()).or_insert(text);
            }
        }
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            let list = object.get(key).and_then(Value::as_array);
            self.unnamed
                .extend(list.into_iter().flatten().filter_map(token_text));
        }
        let decoder = object
            .get("added_tokens_decoder")
            .and_then(Value::as_object);
        for (id, value) in decoder.into_iter().flatten() {
            if let (Ok(id), Some(text)) = (id.parse(), token_text(value)) {
                let flag = |name| value.get(name).and_then(Value::as_bool).unwrap_or(false);
                let token = AddedToken::from(text, flag("special"))
                    .single_word(flag("single_word"))
                    .lstrip(flag("lstrip"))
                    .rstrip(flag("rstrip"))
                    .normalized(flag("normalized"));
                self.added.push((id, token));
            }
        }
    }
}

fn token_text(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads a JSON object, `None` when the file is not there.
pub(super) fn read_object(path: &Path) -> Result<Option<Map<String, Value>>> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(broken(path, "it holds no JSON object")),
        Err(e) => Err(broken(path, &e.to_string())),
    }
}

/// Reads a text file, `None` when it is not there.
pub(super) fn read_text(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(
                text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned(),
            )),
            Err(e) => Err(broken(path, &format!("it is not UTF-8: {e}"))),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(broken(path, &e.to_string())),
    }
}

/// [`Code::BadTokenizer`] for a file.
pub(super) fn broken(path: &Path, why: &str) -> Error {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Error::new(Code::BadTokenizer, format!("{name} cannot be used"))
        .in_file(path)
        .why(why)
        .fix("take the file from the model's publisher again")
}
