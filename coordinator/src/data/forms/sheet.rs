//! Workbooks of Excel and of OpenDocument: the rows of their sheets.
//!
//! In: an `.xlsx`, `.xlsm`, `.xls` or `.ods` file. Out: rows of texts with the number each has in the
//! sheet; numbers and dates as they are shown, as far as the format of the cell is a usual one. Keeps:
//! of several sheets with cells none is chosen; merged cells are told. In memory is the whole workbook.

use std::io::{Cursor, Read};
use std::sync::Arc;

use calamine::{Data, Reader, Sheets, StyleRange, open_workbook_auto_from_rs};
use shared::error::{Code, Error, Result};

use super::cells::Row;
use super::columns::setting_of;
use super::quietly::quietly;
use super::shown;
use crate::data::files::{SourceFile, decode};
use crate::data::listed::listed;

type Workbook = Sheets<Cursor<Arc<[u8]>>>;

/// A sheet that is read.
pub(super) struct Sheet {
    pub name: String,
    pub rows: Vec<Row>,
    pub notices: Vec<String>,
}

/// The sheets of a workbook that are wanted: those of these names, or the only one with cells.
pub(super) fn sheets(file: &SourceFile, wanted: &[String]) -> Result<Vec<Sheet>> {
    let mut bytes = Vec::new();
    let read = decode::unpacked(&file.path)?.read_to_end(&mut bytes);
    read.map_err(|e| decode::failed(&file.path, &e))?;
    let broken = || malformed(file, "its parts do not fit together");
    quietly(|| of_bytes(file, bytes.into(), wanted), broken)
}

fn of_bytes(file: &SourceFile, bytes: Arc<[u8]>, wanted: &[String]) -> Result<Vec<Sheet>> {
    let opened = open_workbook_auto_from_rs(Cursor::new(bytes));
    let mut workbook: Workbook = opened.map_err(|e| malformed(file, &e.to_string()))?;
    let mut found = Vec::new();
    let names = workbook.sheet_names();
    for name in &names {
        if wanted.is_empty() || wanted.contains(name) {
            let sheet = sheet(file, &mut workbook, name)?;
            if !sheet.rows.is_empty() || wanted.contains(name) {
                found.push(sheet);
            }
        }
    }
    if found.is_empty() && !wanted.is_empty() {
        return Err(
            refused(file, "a workbook has none of the sheets that are named")
                .why(format!(
                    "data_sheets: {}; its sheets: {}",
                    listed(wanted),
                    listed(&names)
                ))
                .fix(setting_of(
                    "data_sheets",
                    &[names.first().map_or("NAME", String::as_str)],
                )),
        );
    }
    if wanted.is_empty() && found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|sheet| sheet.name.as_str()).collect();
        let error = refused(file, "a workbook has several sheets with cells")
            .why(format!("its sheets: {}", listed(&names)));
        let error = names.iter().take(4).fold(error, |error, name| {
            error.fix(setting_of("data_sheets", &[name]))
        });
        return Err(error.fix(format!(
            "or {} reads them all",
            setting_of("data_sheets", &names)
        )));
    }
    Ok(found)
}

fn sheet(file: &SourceFile, workbook: &mut Workbook, name: &str) -> Result<Sheet> {
    let range = workbook
        .worksheet_range(name)
        .map_err(|e| malformed(file, &e.to_string()))?;
    // Formats only say how a number is shown: without them it is shown as it is.
    let styles = workbook
        .worksheet_style(name)
        .unwrap_or_else(|_| StyleRange::empty());
    let (top, left) = range.start().unwrap_or_default();
    let mut rows = Vec::new();
    for (row, cells) in (top..).zip(range.rows()) {
        let text = |(column, cell): (u32, &Data)| {
            let style = styles.get((row, column));
            let format = style.and_then(|style| style.number_format.as_ref());
            shown::cell(cell, format.map(|format| format.format_code.as_str()))
        };
        // Columns before the first with a cell keep their place.
        let before = (0..left).map(|_| String::new());
        let cells = before.chain((left..).zip(cells).map(text)).collect();
        rows.push((u64::from(row) + 1, cells));
    }
    let merged = match workbook {
        Sheets::Xlsx(book) => book.merge_cells_by_sheet_name(name).unwrap_or_default(),
        Sheets::Xls(book) => book.merge_cells_by_sheet_name(name).unwrap_or_default(),
        _ => Vec::new(),
    };
    let place = |(row, column): (u32, u32)| format!("{}{}", shown::column(column), row + 1);
    let merged: Vec<String> = merged
        .iter()
        .map(|area| format!("{}:{}", place(area.start), place(area.end)))
        .collect();
    let notices = (!merged.is_empty()).then(|| {
        format!(
            "{}: sheet {name} has merged cells, whose text stands in the first cell only: {}",
            file.name,
            listed(&merged)
        )
    });
    Ok(Sheet {
        name: name.to_owned(),
        rows,
        notices: notices.into_iter().collect(),
    })
}

fn refused(file: &SourceFile, what: &str) -> Error {
    Error::new(Code::Ambiguous, what).in_file(&file.path)
}

fn malformed(file: &SourceFile, why: &str) -> Error {
    Error::new(Code::MalformedCsv, "a workbook cannot be read")
        .in_file(&file.path)
        .why(why)
        .fix("open it in the program that wrote it, and save it as .xlsx without a password, or as `CSV UTF-8`")
}
