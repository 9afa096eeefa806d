//! The elements of a JSON array to conversations.
//!
//! Keeps: a mistake is told as by who reads the file whole, with its line and column.

use std::sync::Arc;

use shared::error::{Code, Error};

use super::json::{self, Lines};
use super::renaming::Renaming;
use crate::data::config::DataConfig;
use crate::data::file_report::{FileReport, Form};
use crate::data::files::elements::Elements;
use crate::data::files::{SourceFile, decode};

/// Reads elements, up to the first that cannot be read.
pub(crate) fn read(elements: &Elements, config: &DataConfig) -> Lines {
    let file = &elements.file;
    let mut all = Lines {
        conversations: Vec::new(),
        report: FileReport::new(&file.name, Form::Messages),
        error: None,
    };
    for (line, object) in &elements.objects {
        let found = json::lines(file, object, *line, Renaming::of(config));
        all.conversations.extend(found.conversations);
        all.report.add_part(found.report);
        if let Some(found) = found.error {
            all.error = Some(match found.code {
                Code::MalformedJson => error(file, config),
                _ => found,
            });
            break;
        }
    }
    all
}

/// Why the file is no array of objects.
pub(crate) fn error(file: &SourceFile, config: &DataConfig) -> Error {
    let read = decode::text(&file.path, config.formats.encoding, &Arc::default());
    match read.and_then(|read| json::parse(file, &read.text, Renaming::of(config))) {
        Err(error) => error,
        Ok(_) => {
            Error::new(Code::Internal, "an array that can be read was not").in_file(&file.path)
        }
    }
}
