//! Parquet files to conversations: a row per sample, read one after the other.
//!
//! In: a `.parquet` file. Out: the conversation of each row, in any of the forms a JSON object may
//! have: columns of texts, or a list of turns. Its "line" is the number of the row, from 1.
//! Keeps: a column of bytes that are no text is never read as one.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::RowIter;
use ::parquet::schema::types::SchemaDescriptor;
use serde_json::{Map, Value};
use shared::config::FormatConfig;
use shared::error::{Code, Error, Result};

use super::at::At;
use super::batches::{BATCH, Batches};
use super::quietly::quietly;
use super::renaming::Renaming;
use super::{by_keys, columns};
use crate::data::file_report::{FileReport, Form};
use crate::data::files::SourceFile;
use crate::data::sample::Conversation;

/// Opens a file; `taken` counts its bytes as its rows are read.
pub(super) fn open(
    file: &SourceFile,
    renaming: Renaming<'_>,
    taken: &Arc<AtomicU64>,
) -> Result<Box<dyn Batches>> {
    let renaming = Owned::of(renaming);
    let rows = quietly(|| rows(file, renaming, taken), || broken(file))?;
    Ok(Box::new(rows))
}

/// `Renaming` that a reader can keep.
pub(super) struct Owned {
    csv: Option<(String, String)>,
    formats: FormatConfig,
}

impl Owned {
    pub(super) fn of(renaming: Renaming<'_>) -> Self {
        Self {
            csv: renaming.csv.cloned(),
            formats: renaming.formats.clone(),
        }
    }

    pub(super) fn lent(&self) -> Renaming<'_> {
        Renaming {
            csv: self.csv.as_ref(),
            formats: &self.formats,
        }
    }
}

/// The rows of a file, a row group after another.
struct ParquetRows {
    file: SourceFile,
    renaming: Owned,
    rows: RowIter<'static>,
    line: u64,
    bytes: BTreeSet<String>,
    report: FileReport,
    taken: Arc<AtomicU64>,
    /// Bytes of the file that a row stands for.
    share: u64,
}

fn rows(file: &SourceFile, renaming: Owned, taken: &Arc<AtomicU64>) -> Result<ParquetRows> {
    let unreadable = |e: std::io::Error| {
        Error::new(Code::Io, "a data file cannot be read")
            .in_file(&file.path)
            .why(e.to_string())
    };
    let opened = File::open(&file.path).map_err(unreadable)?;
    let size = opened.metadata().map_err(unreadable)?.len();
    let reader = SerializedFileReader::new(opened).map_err(|e| malformed(file, None, &e))?;
    let metadata = reader.metadata().file_metadata();
    let schema = metadata.schema_descr();
    let bytes = columns_of_bytes(schema);
    let header: Vec<String> = schema
        .root_schema()
        .get_fields()
        .iter()
        .map(|f| f.name().to_owned())
        .collect();
    if let Some(pair) = &renaming.csv {
        known(file, &header, pair)?;
    }
    let share = size / u64::try_from(metadata.num_rows()).unwrap_or(1).max(1);
    let mut report = FileReport::new(&file.name, Form::Table);
    report.add_unused(bytes.iter().map(|name| format!("{name} (bytes)")).collect());
    Ok(ParquetRows {
        file: file.clone(),
        renaming,
        rows: RowIter::from_file_into(Box::new(reader)),
        line: 0,
        bytes,
        report,
        taken: Arc::clone(taken),
        share,
    })
}

impl ParquetRows {
    fn batch(&mut self) -> Result<Vec<Conversation>> {
        let mut batch = Vec::new();
        let first = self.line;
        while batch.len() < BATCH {
            let Some(row) = self.rows.next() else { break };
            self.line += 1;
            let row = row.map_err(|e| malformed(&self.file, Some(self.line), &e))?;
            batch.extend(self.conversation(row.to_json_value())?);
        }
        self.taken
            .fetch_add(self.share * (self.line - first), Ordering::Relaxed);
        Ok(batch)
    }

    fn conversation(&mut self, row: Value) -> Result<Option<Conversation>> {
        let mut object = match row {
            Value::Object(object) => object,
            other => [("row".to_owned(), other)].into_iter().collect(),
        };
        object.retain(|name, _| !self.bytes.contains(name));
        let at = At {
            path: &self.file.path,
            line: self.line,
        };
        let renaming = self.renaming.lent();
        row_of(object, renaming, at, &self.file.name, &mut self.report)
            .map_err(|e| in_a_row(e, &self.bytes, "a Parquet file"))
    }
}

/// The conversation of a row of columns, which is counted in the report; none where the row says that it is
/// not to be learned.
pub(super) fn row_of(
    object: Map<String, Value>,
    renaming: Renaming<'_>,
    at: At<'_>,
    name: &str,
    report: &mut FileReport,
) -> Result<Option<Conversation>> {
    let found = by_keys::sample(pair(object, renaming.csv), renaming, at)?;
    Ok(found.into_sample(name, at.line, report))
}

impl Batches for ParquetRows {
    fn next(&mut self) -> Result<Vec<Conversation>> {
        let file = self.file.clone();
        quietly(|| self.batch(), || broken(&file))
    }

    fn finish(self: Box<Self>) -> (FileReport, Vec<String>) {
        (self.report, Vec::new())
    }
}

/// Columns with a part that is bytes and not marked as text.
fn columns_of_bytes(schema: &SchemaDescriptor) -> BTreeSet<String> {
    let columns = schema.columns().iter();
    let no_text = columns.filter(|column| {
        let kind = column.physical_type();
        let marked = matches!(
            column.logical_type_ref(),
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
        ) || matches!(
            column.converted_type(),
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
        );
        matches!(kind, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY) && !marked
    });
    no_text
        .filter_map(|column| column.path().parts().first().cloned())
        .collect()
}

/// The configured columns, which must be there.
pub(super) fn known(file: &SourceFile, header: &[String], named: &(String, String)) -> Result<()> {
    for name in [&named.0, &named.1] {
        if !header.contains(name) {
            let why = format!("`csv_columns` names `{name}`, which is not among them");
            return Err(columns::unknown(&file.path, header, &why));
        }
    }
    Ok(())
}

/// The configured columns alone, under the names that are known.
fn pair(mut object: Map<String, Value>, named: Option<&(String, String)>) -> Map<String, Value> {
    let Some((question, answer)) = named else {
        return object;
    };
    let mut take = |name: &str| object.remove(name).unwrap_or(Value::Null);
    [
        ("question".to_owned(), take(question)),
        ("answer".to_owned(), take(answer)),
    ]
    .into_iter()
    .collect()
}

/// An error about an object, said of a row.
pub(super) fn in_a_row(mut error: Error, bytes: &BTreeSet<String>, of: &str) -> Error {
    if !error.what.starts_with("a JSON object") {
        return error;
    }
    error.what = format!("a row of {of} is in a form nobody knows");
    if !bytes.is_empty() {
        let names: Vec<_> = bytes.iter().map(String::as_str).collect();
        error = error
            .why(format!(
                "columns of bytes, not read as texts: {}",
                names.join(", ")
            ))
            .fix("write texts as strings: the column's type must be UTF-8");
    }
    error.fix("--set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names the columns")
}

fn broken(file: &SourceFile) -> Error {
    malformed(file, None, &"its pages do not fit its own description")
}

fn malformed(file: &SourceFile, row: Option<u64>, error: &dyn Display) -> Error {
    let (what, place) = match row {
        Some(row) => ("a row of a Parquet file cannot be read", row),
        None => ("a Parquet file cannot be read", 0),
    };
    let found = Error::new(Code::MalformedCsv, what);
    let found = match place {
        0 => found.in_file(&file.path),
        row => found.at_line(&file.path, row),
    };
    found
        .why(error.to_string())
        .fix("write the file again, or give the rows as JSONL")
}
