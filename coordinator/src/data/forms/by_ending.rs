//! One file to conversations: its ending says which reader it needs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::error::Result;

use super::batches::{self, Batches, Whole};
use super::cells::Cells;
use super::parsed::Parsed;
use super::renaming::Renaming;
use super::table::{self, Rows};
use super::{arrow, dialogue, json, parquet, plain, sheet};
use crate::data::config::DataConfig;
use crate::data::file_report::{FileReport, Form};
use crate::data::files::{self, SourceFile, decode};
use crate::data::sample::Conversation;

/// Opens one file with the reader of its ending, `None` when there is none; `taken` counts the bytes
/// that are read.
pub(crate) fn open(
    config: &DataConfig,
    file: &SourceFile,
    taken: &Arc<AtomicU64>,
) -> Result<Option<Box<dyn Batches>>> {
    let extension = file.extension();
    if plain::said(config) && extension != "parquet" {
        let parsed = plain::parse(config, file, taken)?;
        return Ok(Some(Box::new(Whole::new(parsed))));
    }
    if !files::KNOWN.contains(&extension.as_str()) {
        return Ok(None);
    }
    let renaming = Renaming::of(config);
    let encoding = config.formats.encoding;
    Ok(Some(match extension.as_str() {
        "parquet" => parquet::open(file, renaming, taken)?,
        "arrow" => arrow::open(file, renaming, taken)?,
        "xlsx" | "xlsm" | "xls" | "ods" => sheets(config, file, taken)?,
        "csv" | "tsv" => {
            let (rows, notices) = rows(config, file, taken)?;
            with(table::open(file, rows, renaming)?, notices)
        }
        kind => {
            let decode::Text { text, recoded } = decode::text(&file.path, encoding, taken)?;
            let mut parsed = match kind {
                "txt" => dialogue::parse(file, &text, config.dialogue, &config.formats)?,
                _ => json::parse(file, &text, renaming)?,
            };
            parsed
                .notices
                .extend(recoded.map(|encoding| decode::notice(&file.name, encoding)));
            Box::new(Whole::new(parsed))
        }
    }))
}

/// Reads one file whole with the reader of its ending, `None` when there is none.
pub(crate) fn parse(config: &DataConfig, file: &SourceFile) -> Result<Option<Parsed>> {
    open(config, file, &Arc::default())?
        .map(batches::whole)
        .transpose()
}

/// The rows of a table, and what is to be said of its file.
pub(super) fn rows(
    config: &DataConfig,
    file: &SourceFile,
    taken: &Arc<AtomicU64>,
) -> Result<(Rows, Vec<String>)> {
    let separator = if file.extension() == "tsv" { '\t' } else { ',' };
    let (input, recoded) = decode::input(&file.path, config.formats.encoding, taken)?;
    let rows = Rows::of_text(Cells::new(&file.path, input, separator))?;
    let notice = recoded.map(|encoding| decode::notice(&file.name, encoding));
    Ok((rows, notice.into_iter().collect()))
}

/// The sheets of a workbook, one after another.
fn sheets(
    config: &DataConfig,
    file: &SourceFile,
    taken: &Arc<AtomicU64>,
) -> Result<Box<dyn Batches>> {
    let sheets = sheet::sheets(file, &config.formats.sheets)?;
    taken.fetch_add(
        std::fs::metadata(&file.path).map_or(0, |m| m.len()),
        Ordering::Relaxed,
    );
    let (several, mut all) = (sheets.len() > 1, Vec::new());
    for sheet in sheets {
        let mut of_sheet = file.clone();
        if several {
            of_sheet.name = format!("{}[{}]", file.name, sheet.name);
        }
        let rows = Rows::Sheet(sheet.rows.into_iter());
        let table = table::open(&of_sheet, rows, Renaming::of(config));
        let table = table.map_err(|e| e.why(format!("sheet {}", sheet.name)))?;
        all.push(with(table, sheet.notices));
    }
    let report = FileReport::new(&file.name, Form::Sheet);
    Ok(Box::new(Chain {
        rest: all.into(),
        report,
        notices: Vec::new(),
    }))
}

/// Parts of a file, one after another.
struct Chain {
    rest: VecDeque<Box<dyn Batches>>,
    report: FileReport,
    notices: Vec<String>,
}

impl Batches for Chain {
    fn next(&mut self) -> Result<Vec<Conversation>> {
        while let Some(mut part) = self.rest.pop_front() {
            let batch = part.next()?;
            if !batch.is_empty() {
                self.rest.push_front(part);
                return Ok(batch);
            }
            let (report, notices) = part.finish();
            self.report.add_part(report);
            self.notices.extend(notices);
        }
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>) -> (FileReport, Vec<String>) {
        (self.report, self.notices)
    }
}

fn with(batches: Box<dyn Batches>, notices: Vec<String>) -> Box<dyn Batches> {
    if notices.is_empty() {
        return batches;
    }
    Box::new(Noted { batches, notices })
}

/// A file of which something is to be said.
struct Noted {
    batches: Box<dyn Batches>,
    notices: Vec<String>,
}

impl Batches for Noted {
    fn next(&mut self) -> Result<Vec<Conversation>> {
        self.batches.next()
    }

    fn finish(self: Box<Self>) -> (FileReport, Vec<String>) {
        let Self {
            batches,
            mut notices,
        } = *self;
        let (report, more) = batches.finish();
        notices.extend(more);
        (report, notices)
    }
}
