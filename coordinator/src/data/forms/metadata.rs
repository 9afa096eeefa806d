//! A CSV or JSONL whose rows are the samples, some of them pointing at files.
//!
//! In: `metadata_path` and the data folder. Out: conversations in row order. A row without a file
//! column is an ordinary row. With one, the file below `train_data_dir` is what the row lacks: all
//! of the sample when it names neither question nor answer (read by the file's own reader), the
//! answer when it has only a question, the question when it has only an answer, and further input
//! to the question when it has both.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::sync::Arc;

use serde_json::Value;
use shared::dataset::RowOrigin;
use shared::error::{Code, Error, Result};

use super::at::At;
use super::columns::{self, Columns};
use super::header::columns as columns_of;
use super::parsed::Parsed;
use super::renaming::Renaming;
use super::row_marks::RowMarks;
use super::table::{self, Table};
use super::{by_ending, json};
use crate::data::config::DataConfig;
use crate::data::file_report::{FileReport, Form};
use crate::data::files::{self, SourceFile, decode};
use crate::data::listed::listed;
use crate::data::sample::Conversation;

/// Reads all samples the metadata file names.
pub(crate) fn parse(config: &DataConfig, path: &Path) -> Result<Vec<Parsed>> {
    let file = SourceFile::single(path);
    let table = match file.extension().as_str() {
        "csv" | "tsv" => table::read(&file, by_ending::rows(config, &file, &Arc::default())?.0)?,
        "jsonl" | "json" => match from_objects(&file, &read(config, path)?)? {
            Some(table) => table,
            None => return Ok(by_ending::parse(config, &file)?.into_iter().collect()),
        },
        other => {
            return Err(
                Error::new(Code::UnknownForm, "metadata_path is neither CSV nor JSONL")
                    .in_file(path)
                    .why(format!(
                        "its ending is `.{other}`; known: .csv, .tsv, .jsonl, .json"
                    ))
                    .fix("give the rows in one of these forms"),
            );
        }
    };
    let mut renaming = Renaming::of(config);
    renaming.csv = renaming.csv.filter(|_| file.extension().ends_with("sv"));
    let columns = match &table.header[..] {
        [] => Columns::default(),
        header => columns_of(At { path, line: 1 }, header, renaming)?,
    };
    if columns.file.is_none() {
        return Ok(by_ending::parse(config, &file)?.into_iter().collect());
    }
    let mut rows = MetadataRows::new(config, &file, &columns);
    rows.report
        .add_unused(columns::unused(&table.header, &columns.used(true)));
    let marks = RowMarks::of(&table.header, &columns);
    marks.are_used(&mut rows.report);
    for (line, cells) in table.rows {
        if let Some(field) = marks.left_out(&cells, renaming, rows.at(line))? {
            let place = format!("{}:{line} ({field})", file.name);
            rows.report.leave_out(place);
            continue;
        }
        rows.take(line, &cells)?;
    }
    rows.finish()
}

fn read(config: &DataConfig, path: &Path) -> Result<String> {
    Ok(decode::text(path, config.formats.encoding, &Arc::default())?.text)
}

/// The rows of a JSON file whose objects have a file key, as a table; `None` when none has.
fn from_objects(file: &SourceFile, text: &str) -> Result<Option<Table>> {
    let objects = json::objects(file, text)?;
    let mut header: Vec<String> = Vec::new();
    for key in objects.iter().flat_map(|(_, object)| object.keys()) {
        if !header.contains(key) {
            header.push(key.clone());
        }
    }
    let Ok(Columns { file: Some(_), .. }) = Columns::find(&header) else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    for (line, object) in objects {
        let at = At {
            path: &file.path,
            line,
        };
        let cell = |key: &String| match object.get(key) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) if Columns::find(&[key]).is_ok_and(|c| c != Columns::default()) => Err(at
                .unknown(format!("`{key}` is no text"))
                .why(format!("it is {other}"))),
            Some(other) => Ok(other.to_string()),
        };
        rows.push((line, header.iter().map(cell).collect::<Result<_>>()?));
    }
    Ok(Some(Table { header, rows }))
}

/// MetadataRows with a file column, on their way to conversations.
struct MetadataRows<'a> {
    config: &'a DataConfig,
    file: &'a SourceFile,
    columns: &'a Columns,
    report: FileReport,
    others: Vec<Parsed>,
    named: BTreeSet<String>,
    conversations: Vec<Conversation>,
}

impl<'a> MetadataRows<'a> {
    fn new(config: &'a DataConfig, file: &'a SourceFile, columns: &'a Columns) -> Self {
        let report = FileReport::new(&file.name, Form::Metadata);
        let (others, named, conversations) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self {
            config,
            file,
            columns,
            report,
            others,
            named,
            conversations,
        }
    }

    fn take(&mut self, line: u64, cells: &[String]) -> Result<()> {
        let cell = |index: Option<usize>| {
            index
                .and_then(|i| cells.get(i))
                .filter(|text| !text.is_empty())
                .cloned()
        };
        let columns = self.columns;
        let (question, answer) = (cell(columns.question), cell(columns.answer));
        let Some(name) = cell(columns.file) else {
            let (Some(question), Some(answer)) = (question, answer) else {
                return Err(self
                    .at(line)
                    .unknown("a row names no file and is no pair")
                    .fix("fill in the file column, or both question and answer"));
            };
            self.push(line, table::pair(columns, cells, question, None, answer));
            return Ok(());
        };
        let source = self.resolve(line, name.trim())?;
        if question.is_none() && answer.is_none() {
            let parsed = by_ending::parse(self.config, &source)?.ok_or_else(|| {
                self.at(line)
                    .unknown(format!(
                        "the row names a file of a kind nobody knows: {name}"
                    ))
                    .why(format!("known endings: {}", files::KNOWN.join(", ")))
            })?;
            self.conversations
                .extend(parsed.conversations.iter().cloned());
            self.others.push(parsed);
            return Ok(());
        }
        let content = read(self.config, &source.path)?
            .replace("\r\n", "\n")
            .trim()
            .to_owned();
        let messages = match (question, answer) {
            (Some(question), None) => table::pair(columns, cells, question, None, content),
            (None, Some(answer)) => table::pair(columns, cells, content, None, answer),
            (question, answer) => {
                if cell(columns.input).is_some() {
                    return Err(self
                        .at(line)
                        .unknown("a row has question, input, answer and a file")
                        .why("the file would be the input, and there is one already")
                        .fix("empty the file cell or the input cell"));
                }
                let (question, answer) = (question.unwrap_or_default(), answer.unwrap_or_default());
                table::pair(columns, cells, question, Some(content), answer)
            }
        };
        self.push(line, messages);
        Ok(())
    }

    fn push(&mut self, line: u64, messages: Vec<shared::text::Message>) {
        let origin = RowOrigin {
            file: self.file.name.clone(),
            line,
        };
        self.conversations.push(Conversation::new(messages, origin));
        self.report.samples += 1;
    }

    fn at(&self, line: u64) -> At<'_> {
        At {
            path: &self.file.path,
            line,
        }
    }

    fn resolve(&mut self, line: u64, name: &str) -> Result<SourceFile> {
        let relative = Path::new(name);
        let root = files::folder(&self.config.train_data_dir);
        let below = relative
            .components()
            .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        let path = root.join(relative);
        if !below || !path.is_file() {
            let why = if below {
                "there is no such file"
            } else {
                "the path leaves train_data_dir"
            };
            return Err(Error::new(
                Code::MissingPath,
                format!("a row names a file that cannot be read: {name}"),
            )
            .at_line(&self.file.path, line)
            .why(format!("{why}: {}", path.display()))
            .fix("paths in the file column start from train_data_dir"));
        }
        let name = name.trim_start_matches("./").to_owned();
        self.named.insert(name.clone());
        Ok(SourceFile { name, path })
    }

    /// One parsed whole: conversations in row order, the files' own reports after it.
    fn finish(mut self) -> Result<Vec<Parsed>> {
        let mut notices = Vec::new();
        let all = files::list(&self.config.train_data_dir)?;
        let unnamed: Vec<String> = all
            .into_iter()
            .filter(|f| !self.named.contains(&f.name) && f.path != self.file.path)
            .map(|f| f.name)
            .collect();
        if !unnamed.is_empty() {
            notices.push(format!(
                "files in train_data_dir that no row of {} names, not read: {}",
                self.file.name,
                listed(&unnamed)
            ));
        }
        for other in &mut self.others {
            other.conversations.clear();
        }
        let whole = Parsed {
            conversations: self.conversations,
            report: self.report,
            notices,
        };
        Ok(std::iter::once(whole).chain(self.others).collect())
    }
}
