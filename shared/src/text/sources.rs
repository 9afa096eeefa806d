//! Where the chat templates of a folder are, and which of them renders a conversation.
//!
//! In: a folder. Out: templates by name. Keeps: what transformers reads: `chat_template.jinja` and
//! `additional_chat_templates/NAME.jinja`, else `chat_template` of `tokenizer_config.json`, one text or a list of
//! named ones. A conversation with tools is rendered by `tool_use` where there is one, every other by `default`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::special;
use crate::error::{Code, Error, Result};

/// The file that wins over `tokenizer_config.json`.
pub(super) const FILE: &str = "chat_template.jinja";
/// Folder of further templates, by name.
pub(super) const MORE: &str = "additional_chat_templates";
pub(super) const KEY: &str = "chat_template";
pub(super) const DEFAULT: &str = "default";
/// The template for conversations with tools.
pub(super) const TOOL_USE: &str = "tool_use";

/// The templates of a folder.
pub(super) struct Sources {
    /// The file that the default one is in.
    pub file: PathBuf,
    pub named: BTreeMap<String, String>,
}

/// The templates of a folder, `None` when it has none.
pub(super) fn find(folder: &Path) -> Result<Option<Sources>> {
    let mut named = BTreeMap::new();
    let mut file = folder.join(FILE);
    if let Some(source) = special::read_text(&file)? {
        named.insert(DEFAULT.to_owned(), source);
    }
    for more in additional(folder) {
        let name = more.file_stem().unwrap_or_default().to_string_lossy();
        if let Some(source) = special::read_text(&more)? {
            named.insert(name.into_owned(), source);
            if !named.contains_key(DEFAULT) {
                file = more;
            }
        }
    }
    if named.is_empty() {
        file = folder.join(special::CONFIG);
        let config = special::read_object(&file)?;
        match config.as_ref().and_then(|config| config.get(KEY)) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => named = of_config(value),
        }
    }
    if named.contains_key(DEFAULT) || named.contains_key(TOOL_USE) {
        return Ok(Some(Sources { file, named }));
    }
    let names: Vec<String> = named.into_keys().collect();
    Err(Error::new(
        Code::BadTokenizer,
        "the base model names no default chat template",
    )
    .in_file(file)
    .why(format!("it has: {}", names.join(", ")))
    .fix(format!("put the template to use into the folder as {FILE}")))
}

/// The files of further templates, in the order of their names.
pub(super) fn additional(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(MORE)).into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    let jinja = |path: &PathBuf| path.extension() == Some(OsStr::new("jinja")) && path.is_file();
    let mut files: Vec<PathBuf> = paths.filter(jinja).collect();
    files.sort();
    files
}

fn of_config(value: &Value) -> BTreeMap<String, String> {
    if let Some(source) = value.as_str() {
        return BTreeMap::from([(DEFAULT.to_owned(), source.to_owned())]);
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(object) = value.as_object() {
        let named = object.iter();
        return named
            .filter_map(|(name, source)| Some((name.clone(), text(source)?)))
            .collect();
    }
    let list = value.as_array().into_iter().flatten();
    list.filter_map(|entry| Some((text(entry.get("name")?)?, text(entry.get("template")?)?)))
        .collect()
}
