//! The header of a table: which row it is, and which of its columns hold what.
//!
//! Keeps: two columns of one part are never chosen between; where the cells are separated otherwise
//! than they are read, that is said, with what helps.

use std::path::Path;

use shared::error::{Code, Error, Result};

use super::ambiguity;
use super::at::At;
use super::cells::{self, Row, SEPARATORS};
use super::columns::{self, Columns};
use super::renaming::Renaming;
use super::table::{Rows, says_nothing};

/// So many rows may stand before the header.
const TITLES: usize = 10;

/// A header and its line, and the rows before it.
pub(super) type Header = (Vec<Row>, Option<Row>);

/// The header: the first row, unless only a later one of the first names a question and an answer.
pub(super) fn header(rows: &mut Rows, renaming: Renaming<'_>) -> Result<Header> {
    let mut first: Vec<Row> = Vec::new();
    while first.len() < TITLES {
        let Some((line, cells)) = rows.next()? else {
            break;
        };
        if says_nothing(&cells) {
            continue;
        }
        let cells: Vec<String> = cells.into_iter().map(named).collect();
        if is_header(&cells, renaming) {
            return Ok((first, Some((line, cells))));
        }
        first.push((line, cells));
        // Rows of a text whose first one is no title are samples, and their header is unknown.
        if first.len() == 1
            && first[0]
                .1
                .iter()
                .filter(|cell| !cell.trim().is_empty())
                .count()
                > 1
        {
            break;
        }
    }
    let header = (!first.is_empty()).then(|| first.remove(0));
    Ok((Vec::new(), header))
}

fn is_header(cells: &[String], renaming: Renaming<'_>) -> bool {
    let there = |name: &str| cells.iter().any(|cell| cell.trim() == name.trim());
    if let Some((question, answer)) = renaming.csv {
        return there(question) && there(answer);
    }
    let path = Path::new("");
    let Ok(known) = renaming.header(path, cells) else {
        return false;
    };
    // Two names that fit make a header too, which is then refused for them.
    Columns::find(&known).map_or(true, |c| c.question.is_some() && c.answer.is_some())
}

/// A column's name without a mark that stands before it.
pub(super) fn named(cell: String) -> String {
    cell.trim_start_matches('\u{feff}').to_owned()
}

/// Which columns hold what: those configured, else those whose names are known.
pub(super) fn columns(at: At<'_>, header: &[String], renaming: Renaming<'_>) -> Result<Columns> {
    let path = at.path;
    let Some((question, answer)) = renaming.csv else {
        let known = renaming.header(path, header)?;
        return Columns::find(&known).map_err(|why| twice(at, header, &known, &why));
    };
    let index = |name: &str| {
        header
            .iter()
            .position(|h| h.trim() == name.trim())
            .ok_or_else(|| {
                columns::unknown(
                    path,
                    header,
                    &format!("`csv_columns` names `{name}`, which is not among them"),
                )
            })
    };
    let file = Columns::find(header).ok().and_then(|c| c.file);
    let (question, answer) = (Some(index(question)?), Some(index(answer)?));
    Ok(Columns {
        question,
        answer,
        file,
        ..Columns::default()
    })
}

/// Two columns for one part: of one name, or of two.
fn twice(at: At<'_>, header: &[String], known: &[String], why: &str) -> Error {
    let same = |a: &String, b: &String| a.trim().to_lowercase() == b.trim().to_lowercase();
    let again = known.iter().enumerate().find(|(i, name)| {
        let part = Columns::find(&[name]).is_ok_and(|found| found != Columns::default());
        part && known[..*i].iter().any(|earlier| same(earlier, name))
    });
    let Some((index, _)) = again else {
        return ambiguity::table(at.path, header, why);
    };
    at.error(
        Code::Ambiguous,
        "the table's columns can be read in two ways",
    )
    .why(format!(
        "two of its columns are called `{}`",
        header[index].trim()
    ))
    .fix("give one of the two another name in the file's header")
}

/// Says so where a header looks as if something else stood between its cells.
pub(super) fn separated(
    error: Error,
    at: At<'_>,
    header: &[String],
    separator: Option<char>,
) -> Error {
    let Some(separator) = separator else {
        return error;
    };
    let between = separator.to_string();
    let line = header.join(&between);
    let others = SEPARATORS
        .iter()
        .filter(|other| **other != separator && line.contains(**other));
    let split = |other: char| -> Vec<String> {
        line.split(other)
            .map(|name| name.trim().to_owned())
            .collect()
    };
    let pair = |names: &[String]| {
        Columns::find(names).is_ok_and(|found| found.question.is_some() && found.answer.is_some())
    };
    let known = others.clone().find(|other| pair(&split(**other)));
    let Some(other) = known.or_else(|| others.clone().next().filter(|_| header.len() == 1)) else {
        return error;
    };
    let names = split(*other);
    let mut refused = cells::other_separator(at, *other, separator, &line);
    if !pair(&names) {
        let with = |setting: String| format!("and with it {setting}");
        let settings = columns::settings(&names).into_iter().map(with);
        refused.fix.splice(1..1, settings);
    }
    refused
}
