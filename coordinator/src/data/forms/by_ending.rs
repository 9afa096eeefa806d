//! One file to conversations: its ending says which reader it needs.

use shared::error::Result;

use super::parsed::Parsed;
use super::renaming::Renaming;
use super::{dialogue, json, parquet, plain, table};
use crate::data::config::DataConfig;
use crate::data::files::{self, SourceFile, decode};

/// Reads one file whole with the reader of its ending, `None` when there is none.
pub(crate) fn parse(config: &DataConfig, file: &SourceFile) -> Result<Option<Parsed>> {
    let extension = file.extension();
    if plain::said(config) && extension != "parquet" {
        return plain::parse(config, file).map(Some);
    }
    if !files::KNOWN.contains(&extension.as_str()) {
        return Ok(None);
    }
    if extension == "parquet" {
        return parquet::parse(file, Renaming::of(config)).map(Some);
    }
    let renaming = Renaming::of(config);
    let text = decode::text(&file.path)?;
    Ok(Some(match extension.as_str() {
        "txt" => dialogue::parse(file, &text, config.dialogue, &config.formats)?,
        "jsonl" | "json" => json::parse(file, &text, renaming)?,
        _ => table::parse(file, &text, renaming)?,
    }))
}
