//! Arrow files to conversations: what `datasets` writes by `save_to_disk`, a row per sample.
//!
//! In: an `.arrow` file, as a stream or with a footer. Out: the conversation of each row, as of a Parquet
//! file; its "line" is the number of the row, from 1. Keeps: a batch is in memory, no more; a column of
//! bytes is never read as text.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types as t;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use serde_json::{Map, Value};
use shared::error::{Code, Error, Result};

use super::at::At;
use super::batches::{BATCH, Batches};
use super::parquet::{Owned, in_a_row, known, row_of};
use super::quietly::quietly;
use super::renaming::Renaming;
use crate::data::file_report::{FileReport, Form};
use crate::data::files::SourceFile;
use crate::data::sample::Conversation;

type Batch = std::result::Result<RecordBatch, ArrowError>;

/// The rows of a file.
struct ArrowRows {
    file: SourceFile,
    renaming: Owned,
    batches: Box<dyn Iterator<Item = Batch> + Send>,
    /// The batch that is read, and rows of it that are done.
    batch: Option<(RecordBatch, usize)>,
    line: u64,
    bytes: BTreeSet<String>,
    report: FileReport,
}

/// Opens a file; `taken` counts its bytes.
pub(super) fn open(
    file: &SourceFile,
    renaming: Renaming<'_>,
    taken: &Arc<AtomicU64>,
) -> Result<Box<dyn Batches>> {
    let renaming = Owned::of(renaming);
    let rows = quietly(|| rows(file, renaming), || broken(file))?;
    taken.fetch_add(
        std::fs::metadata(&file.path).map_or(0, |m| m.len()),
        Ordering::Relaxed,
    );
    Ok(Box::new(rows))
}

fn rows(file: &SourceFile, renaming: Owned) -> Result<ArrowRows> {
    let unreadable = |e: std::io::Error| crate::data::files::decode::failed(&file.path, &e);
    let mut opened = BufReader::with_capacity(1 << 20, File::open(&file.path).map_err(unreadable)?);
    let mut magic = [0; 6];
    let footer = opened.read_exact(&mut magic).is_ok() && &magic == b"ARROW1";
    opened.rewind().map_err(unreadable)?;
    let wrong = |e: ArrowError| malformed(file, None, &e);
    let (schema, batches): (SchemaRef, Box<dyn Iterator<Item = Batch> + Send>) = if footer {
        let reader = FileReader::try_new(opened, None).map_err(wrong)?;
        (reader.schema(), Box::new(reader))
    } else {
        let reader = StreamReader::try_new(opened, None).map_err(wrong)?;
        (reader.schema(), Box::new(reader))
    };
    let header: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    if let Some(pair) = renaming.lent().csv {
        known(file, &header, pair)?;
    }
    let bytes = schema
        .fields()
        .iter()
        .filter(|field| holds_bytes(field.data_type()));
    let bytes: BTreeSet<String> = bytes.map(|field| field.name().clone()).collect();
    let mut report = FileReport::new(&file.name, Form::Table);
    report.add_unused(bytes.iter().map(|name| format!("{name} (bytes)")).collect());
    Ok(ArrowRows {
        file: file.clone(),
        renaming,
        batches,
        batch: None,
        line: 0,
        bytes,
        report,
    })
}

impl ArrowRows {
    fn read(&mut self) -> Result<Vec<Conversation>> {
        let mut found = Vec::new();
        while found.len() < BATCH {
            let Some((batch, done)) = &mut self.batch else {
                let Some(batch) = self.batches.next() else {
                    break;
                };
                let batch = batch.map_err(|e| malformed(&self.file, Some(self.line + 1), &e))?;
                self.batch = Some((batch, 0));
                continue;
            };
            if *done == batch.num_rows() {
                self.batch = None;
                continue;
            }
            self.line += 1;
            let mut object = Map::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if !self.bytes.contains(field.name()) {
                    let value = value(column, *done).ok_or_else(|| {
                        let why = format!(
                            "column {} is of a kind that is no text: {}",
                            field.name(),
                            field.data_type()
                        );
                        malformed(&self.file, Some(self.line), &why)
                    })?;
                    object.insert(field.name().clone(), value);
                }
            }
            *done += 1;
            let at = At {
                path: &self.file.path,
                line: self.line,
            };
            let sample = row_of(
                object,
                self.renaming.lent(),
                at,
                &self.file.name,
                &mut self.report,
            );
            found.extend(sample.map_err(|e| in_a_row(e, &self.bytes, "an Arrow file"))?);
        }
        Ok(found)
    }
}

impl Batches for ArrowRows {
    fn next(&mut self) -> Result<Vec<Conversation>> {
        let file = self.file.clone();
        quietly(|| self.read(), || broken(&file))
    }

    fn finish(self: Box<Self>) -> (FileReport, Vec<String>) {
        (self.report, Vec::new())
    }
}

fn holds_bytes(kind: &DataType) -> bool {
    match kind {
        DataType::Binary
        | DataType::LargeBinary
        | DataType::FixedSizeBinary(_)
        | DataType::BinaryView => true,
        DataType::List(field) | DataType::LargeList(field) => holds_bytes(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_bytes(field.data_type())),
        _ => false,
    }
}

/// A cell as JSON has it; `None` of a kind that JSON has not.
fn value(array: &dyn Array, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    let list = |items: Arc<dyn Array>| {
        let items: Option<Vec<Value>> = (0..items.len()).map(|i| value(&items, i)).collect();
        items.map(Value::Array)
    };
    Some(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<t::Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<t::Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<t::Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<t::Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<t::UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<t::UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<t::UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<t::UInt64Type>().value(row).into(),
        DataType::Float32 => array.as_primitive::<t::Float32Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<t::Float64Type>().value(row).into(),
        DataType::List(_) => list(array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let one = |(field, column): (&Arc<arrow_schema::Field>, &Arc<dyn Array>)| {
                Some((field.name().clone(), value(column, row)?))
            };
            let object: Option<Map<String, Value>> = fields.iter().zip(columns).map(one).collect();
            Value::Object(object?)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = *dictionary.normalized_keys().get(row)?;
            value(dictionary.values(), key)?
        }
        // Dates, times and numbers of other kinds: only columns of samples are read, which are none.
        other => Value::String(format!("({other})")),
    })
}

fn broken(file: &SourceFile) -> Error {
    malformed(file, None, &"its parts do not fit together")
}

fn malformed(file: &SourceFile, row: Option<u64>, error: &dyn Display) -> Error {
    let found = match row {
        Some(row) => Error::new(Code::MalformedCsv, "a row of an Arrow file cannot be read")
            .at_line(&file.path, row),
        None => Error::new(Code::MalformedCsv, "an Arrow file cannot be read").in_file(&file.path),
    };
    found
        .why(error.to_string())
        .fix("save the data set again, or give the rows as JSONL")
}
