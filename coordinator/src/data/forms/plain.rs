//! Plain text without speakers: files of it, and rows of one field. Read where `data_form: text` says so.
//!
//! In: a file, or an object. Out: its text, unchanged. Keeps: nothing is taken for plain text that nobody called so.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::{Map, Value};
use shared::config::DataForm;
use shared::dataset::RowOrigin;
use shared::error::{Code, Error, Result};
use shared::text::Message;

use super::at::At;
use super::json;
use super::object::{Object, text};
use super::parsed::Parsed;
use super::renaming::Renaming;
use crate::data::config::DataConfig;
use crate::data::file_report::{FileReport, Form};
use crate::data::files::{SourceFile, decode};
use crate::data::sample::{Conversation, PLAIN};

/// Names of fields that hold plain text.
pub(super) const FIELDS: &[&str] = &["text", "content", "raw_content", "document", "正文", "文本"];
/// Endings of files that are one text.
const WHOLE: &[&str] = &["txt", "md"];

/// Whether the files are plain text.
pub(crate) fn said(config: &DataConfig) -> bool {
    config.formats.form == DataForm::Text
}

/// Whether a file of this ending is one text.
pub(crate) fn is_whole(extension: &str) -> bool {
    WHOLE.contains(&extension)
}

/// Reads a file that is one text, or has rows of text.
pub(super) fn parse(
    config: &DataConfig,
    file: &SourceFile,
    taken: &Arc<AtomicU64>,
) -> Result<Parsed> {
    let extension = file.extension();
    let decode::Text {
        text: content,
        recoded,
    } = decode::text(&file.path, config.formats.encoding, taken)?;
    let notice = recoded.map(|encoding| decode::notice(&file.name, encoding));
    if matches!(extension.as_str(), "json" | "jsonl") {
        let mut parsed = json::parse(file, &content, Renaming::of(config))?;
        parsed.notices.extend(notice);
        return Ok(parsed);
    }
    if !is_whole(&extension) {
        return Err(
            Error::new(Code::UnknownForm, "a table is not read as plain text")
                .in_file(&file.path)
                .why("`data_form: text` reads .txt and .md files whole, and the field `text` of JSON and Parquet")
                .fix("give its rows as JSONL, each with its text under `text`, or --set data_form=auto"),
        );
    }
    let mut report = FileReport::new(&file.name, Form::Text);
    let mut conversations = Vec::new();
    if !content.trim().is_empty() {
        let origin = RowOrigin {
            file: file.name.clone(),
            line: 1,
        };
        conversations.push(Conversation::plain(content, origin));
        report.samples = 1;
    }
    let mut parsed = Parsed::new(conversations, report);
    parsed.notices.extend(notice);
    Ok(parsed)
}

/// Reads an object with a text.
pub(super) fn read(object: &Map<String, Value>, at: At<'_>) -> Result<Object> {
    let there = FIELDS
        .iter()
        .copied()
        .filter(|key| object.contains_key(*key));
    let there: Vec<&str> = there.collect();
    let key = match there[..] {
        ["text", ..] => "text",
        [one] => one,
        _ => {
            let keys: Vec<&str> = object.keys().map(String::as_str).collect();
            return Err(at
                .unknown("a row has no text, or several")
                .why(format!("its keys: {}", keys.join(", ")))
                .why("`data_form: text` reads the field `text`")
                .fix("call the field with the text `text`, or --set data_form=auto for conversations"));
        }
    };
    let content = text(&object[key], &format!("`{key}`"), at)?;
    let mut found = Object::new(Form::Text, vec![Message::new(PLAIN, content)]);
    let unused = object.iter().filter(|(k, v)| *k != key && !v.is_null());
    found.unused = unused.map(|(k, _)| k.clone()).collect();
    Ok(found)
}
