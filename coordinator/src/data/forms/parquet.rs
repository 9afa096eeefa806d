//! Parquet files to conversations: a row per sample, read one after the other.
//!
//! In: a `.parquet` file. Out: the conversation of each row, in any of the forms a JSON object may
//! have: columns of texts, or a list of turns. Its "line" is the number of the row, from 1.
//! Keeps: a column of bytes that are no text is never read as one.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::sync::Once;

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::SchemaDescriptor;
use serde_json::{Map, Value};
use shared::error::{Code, Error, Result};

use super::at::At;
use super::parsed::Parsed;
use super::renaming::Renaming;
use super::{by_keys, columns};
use crate::data::file_report::{FileReport, Form};
use crate::data::files::SourceFile;

/// Its panics are told as errors, not printed.
const THREAD: &str = "parquet reader";

/// Reads the conversations of a file.
pub(crate) fn parse(file: &SourceFile, renaming: Renaming<'_>) -> Result<Parsed> {
    // The library panics at some damaged files: it does so on a thread of its own, and quietly.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some(THREAD) {
                usual(panic);
            }
        }));
    });
    let outcome = std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name(THREAD.into());
        let reader = reader.spawn_scoped(scope, || read(file, renaming));
        reader.map(std::thread::ScopedJoinHandle::join)
    });
    match outcome {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => Err(malformed(
            file,
            None,
            &"its pages do not fit its own description",
        )),
        Err(e) => Err(Error::new(Code::Io, "no thread to read a data file").why(e.to_string())),
    }
}

fn read(file: &SourceFile, renaming: Renaming<'_>) -> Result<Parsed> {
    let opened = File::open(&file.path).map_err(|e| {
        Error::new(Code::Io, "a data file cannot be read")
            .in_file(&file.path)
            .why(e.to_string())
    })?;
    let reader = SerializedFileReader::new(opened).map_err(|e| malformed(file, None, &e))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let bytes = columns_of_bytes(schema);
    let header: Vec<String> = schema
        .root_schema()
        .get_fields()
        .iter()
        .map(|f| f.name().to_owned())
        .collect();
    let named = renaming
        .csv
        .map(|pair| known(file, &header, pair))
        .transpose()?;
    let mut report = FileReport::new(&file.name, Form::Table);
    report.add_unused(bytes.iter().map(|name| format!("{name} (bytes)")).collect());
    let mut conversations = Vec::new();
    let rows = reader
        .get_row_iter(None)
        .map_err(|e| malformed(file, None, &e))?;
    for (line, row) in (1..).zip(rows) {
        let row = row.map_err(|e| malformed(file, Some(line), &e))?;
        let mut object = match row.to_json_value() {
            Value::Object(object) => object,
            other => [("row".to_owned(), other)].into_iter().collect(),
        };
        object.retain(|name, _| !bytes.contains(name));
        let at = At {
            path: &file.path,
            line,
        };
        let found = by_keys::sample(pair(object, named), renaming, at);
        let found = found.map_err(|e| in_a_row(e, &bytes))?;
        conversations.extend(found.into_sample(&file.name, line, &mut report));
    }
    Ok(Parsed::new(conversations, report))
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
fn known<'a>(
    file: &SourceFile,
    header: &[String],
    named: &'a (String, String),
) -> Result<&'a (String, String)> {
    for name in [&named.0, &named.1] {
        if !header.contains(name) {
            let why = format!("`csv_columns` names `{name}`, which is not among them");
            return Err(columns::unknown(&file.path, header, &why));
        }
    }
    Ok(named)
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
fn in_a_row(mut error: Error, bytes: &BTreeSet<String>) -> Error {
    if !error.what.starts_with("a JSON object") {
        return error;
    }
    error.what = "a row of a Parquet file is in a form nobody knows".into();
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
