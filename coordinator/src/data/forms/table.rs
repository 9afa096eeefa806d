//! Tables to conversations: a header, and a row per sample.
//!
//! In: the rows of a `.csv`, `.tsv` or spreadsheet file. Out: conversations by their columns' names,
//! batch by batch. Texts are taken unchanged. Keeps: a row with too few or too many cells is refused
//! with its line; rows without a text are left out and counted; rows before the header are told.

use shared::dataset::RowOrigin;
use shared::error::{Code, Error, Result};
use shared::text::Message;

use super::at::At;
use super::batches::{BATCH, Batches, Whole};
use super::cells::{self, Cells, Row};
use super::columns::{self, Columns};
use super::header::{columns, header, named, separated};
use super::pairs::joined;
use super::parquet::Owned;
use super::parsed::Parsed;
use super::renaming::Renaming;
use super::row_marks::RowMarks;
use crate::data::excerpt::excerpt;
use crate::data::file_report::{FileReport, Form};
use crate::data::files::SourceFile;
use crate::data::listed::{Places, listed};
use crate::data::sample::Conversation;

/// So many lines of one cell that look like rows are too many to be a text.
const ROWS_IN_A_CELL: usize = 3;

/// Where rows come from.
pub(super) enum Rows {
    Text(Cells),
    Sheet(std::vec::IntoIter<Row>),
}

impl Rows {
    /// The rows of a text file, whose first line may say what stands between its cells.
    pub(super) fn of_text(mut cells: Cells) -> Result<Self> {
        let first = cells.first_line()?;
        let said = first
            .strip_prefix("sep=")
            .or_else(|| first.strip_prefix("SEP="));
        let mut said = said.unwrap_or_default().chars();
        if let (Some(separator), None) = (said.next(), said.next())
            && !separator.is_alphanumeric()
        {
            cells.skip_line()?;
            cells.separator = separator;
        }
        Ok(Self::Text(cells))
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        match self {
            Self::Text(cells) => cells.next(),
            Self::Sheet(rows) => Ok(rows.next()),
        }
    }

    fn form(&self) -> Form {
        match self {
            Self::Text(_) => Form::Table,
            Self::Sheet(_) => Form::Sheet,
        }
    }

    /// What stands between the cells of a text.
    fn separator(&self) -> Option<char> {
        match self {
            Self::Text(cells) => Some(cells.separator),
            Self::Sheet(_) => None,
        }
    }
}

/// A table with the line each row begins in.
#[derive(Debug)]
pub(crate) struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Row>,
}

/// Reads a table without asking what its columns are.
pub(super) fn read(file: &SourceFile, mut rows: Rows) -> Result<Table> {
    let Some((_, header)) = rows.next()? else {
        return Ok(Table {
            header: Vec::new(),
            rows: Vec::new(),
        });
    };
    let mut table = Table {
        header: header.into_iter().map(named).collect(),
        rows: Vec::new(),
    };
    while let Some((line, cells)) = rows.next()? {
        if says_nothing(&cells) {
            continue;
        }
        fits(file, line, &cells, table.header.len(), rows.separator())?;
        table.rows.push((line, cells));
    }
    Ok(table)
}

/// Reads the conversations of a table.
pub(super) fn open(
    file: &SourceFile,
    mut rows: Rows,
    renaming: Renaming<'_>,
) -> Result<Box<dyn Batches>> {
    let mut report = FileReport::new(&file.name, rows.form());
    let (before, header) = header(&mut rows, renaming)?;
    let Some((at, header)) = header else {
        return Ok(Box::new(Whole::new(Parsed::new(Vec::new(), report))));
    };
    let place = At {
        path: &file.path,
        line: at,
    };
    let separator = rows.separator();
    let columns =
        columns(place, &header, renaming).map_err(|e| separated(e, place, &header, separator))?;
    let (Some(question), Some(answer)) = (columns.question, columns.answer) else {
        let why = "no question and answer among them";
        let error = columns::unknown(&file.path, &header, why);
        let error = separated(error, place, &header, separator);
        if error.fix.iter().any(|fix| fix.contains("sep=")) {
            return Err(error);
        }
        let settings = columns::settings(&header);
        return Err(settings.into_iter().fold(error, Error::fix));
    };
    let mut unused = columns::unused(&header, &columns.used(false));
    unused.retain(|name| !name.is_empty());
    report.add_unused(unused);
    let marks = RowMarks::of(&header, &columns);
    marks.are_used(&mut report);
    let mut table = Rest {
        file: file.clone(),
        width: header.len(),
        rows,
        columns,
        pair: (question, answer),
        marks,
        renaming: Owned::of(renaming),
        report,
        empty: Places::default(),
        swallowed: Places::default(),
        notices: Vec::new(),
    };
    if !before.is_empty() {
        let lines: Vec<String> = before
            .iter()
            .map(|(line, cells)| format!("{line}: {}", said(cells)))
            .collect();
        table.notices.push(format!(
            "{}: the header is in line {at}; before it stands, not read: {}",
            file.name,
            listed(&lines)
        ));
    }
    Ok(Box::new(table))
}

pub(super) fn says_nothing(cells: &[String]) -> bool {
    cells.iter().all(|cell| cell.trim().is_empty())
}

fn said(cells: &[String]) -> String {
    let said: Vec<&str> = cells
        .iter()
        .map(|cell| cell.trim())
        .filter(|cell| !cell.is_empty())
        .collect();
    excerpt(&said.join(", "))
}

/// Refuses a row with another number of cells than the header.
fn fits(
    file: &SourceFile,
    line: u64,
    cells: &[String],
    width: usize,
    separator: Option<char>,
) -> Result<()> {
    if cells.len() == width {
        return Ok(());
    }
    let between = separator.map_or("`,`", cells::name);
    Err(
        Error::new(Code::MalformedCsv, "a row of the table cannot be read")
            .at_line(&file.path, line)
            .why(format!(
                "the row has {} cells, the header {width}",
                cells.len()
            ))
            .fix(format!(
                "a cell with {between}, a quote or a line break must stand in double quotes"
            )),
    )
}

/// The rows of a table behind its header.
struct Rest {
    file: SourceFile,
    rows: Rows,
    width: usize,
    columns: Columns,
    pair: (usize, usize),
    /// Columns that say of a row that it is not to be learned.
    marks: RowMarks,
    renaming: Owned,
    report: FileReport,
    /// Rows without a text.
    empty: Places,
    /// Rows with a cell that looks as if it had swallowed others.
    swallowed: Places,
    notices: Vec<String>,
}

impl Batches for Rest {
    fn next(&mut self) -> Result<Vec<Conversation>> {
        let mut batch = Vec::new();
        let separator = self.rows.separator();
        while batch.len() < BATCH {
            let Some((line, cells)) = self.rows.next()? else {
                break;
            };
            if says_nothing(&cells) {
                self.empty.add(|| line.to_string());
                continue;
            }
            fits(&self.file, line, &cells, self.width, separator)?;
            if separator.is_none() {
                self.without_errors(line, &cells)?;
            }
            let swallows =
                |cell: &String| separator.is_some_and(|s| holds_rows(cell, s, self.width));
            if cells.iter().any(swallows) {
                self.swallowed.add(|| line.to_string());
            }
            let at = At {
                path: &self.file.path,
                line,
            };
            if let Some(field) = self.marks.left_out(&cells, self.renaming.lent(), at)? {
                let place = format!("{}:{line} ({field})", self.file.name);
                self.report.leave_out(place);
                continue;
            }
            let (question, answer) = (cells[self.pair.0].clone(), cells[self.pair.1].clone());
            let messages = pair(&self.columns, &cells, question, None, answer);
            let file = self.file.name.clone();
            batch.push(Conversation::new(messages, RowOrigin { file, line }));
        }
        self.report.samples += batch.len() as u64;
        Ok(batch)
    }

    fn finish(mut self: Box<Self>) -> (FileReport, Vec<String>) {
        let name = &self.file.name;
        if self.empty.count > 0 {
            self.notices.push(format!(
                "{name}: {} rows without a text, left out: lines {}",
                self.empty.count, self.empty
            ));
        }
        if self.swallowed.count > 0 {
            self.notices.push(format!(
                "{name}: {} rows have a cell of several lines that look like rows of the table; a quote before \
                 them may be one too many: lines {}",
                self.swallowed.count, self.swallowed
            ));
        }
        (self.report, self.notices)
    }
}

impl Rest {
    /// Refuses a row of a sheet with an error in the place of a text.
    fn without_errors(&self, line: u64, cells: &[String]) -> Result<()> {
        const ERRORS: &[&str] = &[
            "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#N/A", "#NUM!", "#NULL!", "#DATA!",
        ];
        let used = self.columns.used(false);
        let Some(index) = used
            .into_iter()
            .find(|i| ERRORS.contains(&cells[*i].as_str()))
        else {
            return Ok(());
        };
        let column = super::shown::column(u32::try_from(index).unwrap_or(0));
        Err(Error::new(
            Code::MalformedCsv,
            "a cell holds an error of the spreadsheet",
        )
        .at_line(&self.file.path, line)
        .why(format!("{} in column {column} of row {line}", cells[index]))
        .fix("mend the formula, or write the text itself into the cell"))
    }
}

/// Whether nearly every line of a cell has as many cells as the table.
fn holds_rows(cell: &str, separator: char, width: usize) -> bool {
    let lines = || cell.lines().filter(|line| !line.trim().is_empty());
    let count = lines().count();
    if width < 2 || count < ROWS_IN_A_CELL || !cell.contains(separator) {
        return false;
    }
    // The first line lacks what stands before the quote, the last may lack what stands behind it.
    let like = lines()
        .skip(1)
        .filter(|line| line.matches(separator).count() == width - 1)
        .count();
    like + 2 >= count && like * 10 >= (count - 1) * 6
}

/// The turns of a row; `further` takes the place of an input column.
pub(crate) fn pair(
    columns: &Columns,
    cells: &[String],
    question: String,
    further: Option<String>,
    answer: String,
) -> Vec<Message> {
    let cell = |index: Option<usize>| index.and_then(|i| cells.get(i)).cloned();
    let mut messages = Vec::new();
    if let Some(system) = cell(columns.system).filter(|s| !s.is_empty()) {
        messages.push(Message::new("system", system));
    }
    let input = further.or_else(|| cell(columns.input));
    messages.push(Message::new("user", joined(question, input)));
    messages.push(Message::new("assistant", answer));
    messages
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
