//! CSV and TSV: text to rows of cells, by RFC 4180.
//!
//! In: lines of a file, one after another. Out: rows with the line they begin in; texts unchanged.
//! Keeps: what the standard does not allow is refused with its line, never guessed: text behind a
//! closing quote, a quote that never closes, a blank before a quoted cell. A row is in memory, no more.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};

use super::at::At;
use crate::data::excerpt::excerpt;
use crate::data::files::decode;

/// What may stand between cells; the first is CSV's own.
pub(super) const SEPARATORS: &[char] = &[',', ';', '\t', '|'];

/// A row and the line it begins in.
pub(super) type Row = (u64, Vec<String>);

/// The rows of a text file.
pub(super) struct Cells {
    path: PathBuf,
    input: BufReader<Box<dyn Read + Send>>,
    pub separator: char,
    /// Number of the next line, from 1.
    line: u64,
    /// Bytes before it.
    at: u64,
    /// What is left of the last line, and where.
    rest: String,
    from: usize,
    ended: bool,
}

impl Cells {
    pub(super) fn new(path: &Path, input: Box<dyn Read + Send>, separator: char) -> Self {
        Self {
            path: path.to_path_buf(),
            input: BufReader::with_capacity(1 << 18, input),
            separator,
            line: 1,
            at: 0,
            rest: String::new(),
            from: 0,
            ended: false,
        }
    }

    /// The first line without its end, not taken out; empty at the end.
    pub(super) fn first_line(&mut self) -> Result<String> {
        self.more()?;
        let line = self.rest[self.from..].split(['\r', '\n']).next();
        Ok(line.unwrap_or_default().to_owned())
    }

    /// Takes the first line out.
    pub(super) fn skip_line(&mut self) -> Result<()> {
        while let Some(letter) = self.letter()? {
            if self.is_end(letter)? {
                break;
            }
        }
        Ok(())
    }

    /// The next row that has a letter; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        loop {
            let Some(first) = self.peek()? else {
                return Ok(None);
            };
            if first == '\r' || first == '\n' {
                self.skip_line()?;
                continue;
            }
            return self.row().map(Some);
        }
    }

    fn row(&mut self) -> Result<Row> {
        let begins = self.line;
        let mut cells = Vec::new();
        loop {
            let (cell, last) = match self.peek()? {
                Some('"') => self.quoted(begins)?,
                _ => self.plain()?,
            };
            cells.push(cell);
            if last {
                return Ok((begins, cells));
            }
        }
    }

    /// A cell as it is written, and whether the row ends with it.
    fn plain(&mut self) -> Result<(String, bool)> {
        let line = self.line;
        let mut cell = String::new();
        let last = loop {
            match self.letter()? {
                None => break true,
                Some(letter) if letter == self.separator => break false,
                Some(letter) if self.is_end(letter)? => break true,
                Some(letter) => cell.push(letter),
            }
        };
        let inner = cell.trim();
        if inner.len() < cell.len()
            && inner.len() > 1
            && cell.trim_start().starts_with('"')
            && inner.ends_with('"')
        {
            return Err(self
                .malformed(line, "a blank stands before a quoted cell")
                .why(format!("the cell: {}", excerpt(&cell)))
                .why("so the quotes would be a part of the text")
                .fix("take the blank between the separator and the quote out"));
        }
        Ok((cell, last))
    }

    /// A cell between quotes; `begins` is where its row does.
    fn quoted(&mut self, begins: u64) -> Result<(String, bool)> {
        let opened = self.line;
        self.letter()?;
        let mut cell = String::new();
        loop {
            match self.letter()? {
                None => {
                    return Err(self
                        .malformed(begins, "a quote is never closed")
                        .why("the row that begins here takes in the rest of the file")
                        .why(format!(
                            "the quoted cell begins in line {opened}: {}",
                            excerpt(&cell)
                        ))
                        .fix("close the quote; a quote inside a quoted cell is written twice"));
                }
                Some('"') if self.peek()? == Some('"') => {
                    self.letter()?;
                    cell.push('"');
                }
                Some('"') => break,
                Some(letter) => {
                    if letter == '\n' || (letter == '\r' && self.peek()? != Some('\n')) {
                        self.line += 1;
                    }
                    cell.push(letter);
                }
            }
        }
        match self.letter()? {
            None => Ok((cell, true)),
            Some(letter) if letter == self.separator => Ok((cell, false)),
            Some(letter) if self.is_end(letter)? => Ok((cell, true)),
            Some(letter) => Err(self.behind_a_quote(opened, &cell, letter)?),
        }
    }

    fn behind_a_quote(&mut self, opened: u64, cell: &str, letter: char) -> Result<Error> {
        let (line, mut behind) = (self.line, String::from(letter));
        if SEPARATORS.contains(&letter) && !cell.contains(['\n', self.separator]) {
            return Ok(other_separator(
                At {
                    path: &self.path,
                    line,
                },
                letter,
                self.separator,
                cell,
            ));
        }
        while behind.chars().count() < 30 {
            match self.letter()? {
                Some(letter) if !matches!(letter, '\r' | '\n') => behind.push(letter),
                _ => break,
            }
        }
        let mut error = self
            .malformed(line, "text stands behind the closing quote of a cell")
            .why(format!(
                "behind {}: {}",
                excerpt(&format!("\"{cell}\"")),
                excerpt(&behind)
            ));
        if opened < line {
            error = error.why(format!(
                "the quote was opened in line {opened}; perhaps it should not be there"
            ));
        }
        Ok(error.fix(
            "put the whole cell in quotes and write each quote in it twice: \"\"\"so\"\" it is written\"",
        ))
    }

    fn malformed(&self, line: u64, what: &str) -> Error {
        At {
            path: &self.path,
            line,
        }
        .error(Code::MalformedCsv, what)
    }

    /// Whether a letter ends a line; then it is passed.
    fn is_end(&mut self, letter: char) -> Result<bool> {
        if letter == '\r' && self.peek()? == Some('\n') {
            self.letter()?;
        } else if letter != '\n' && letter != '\r' {
            return Ok(false);
        }
        self.line += 1;
        Ok(true)
    }

    fn peek(&mut self) -> Result<Option<char>> {
        self.more()?;
        Ok(self.rest[self.from..].chars().next())
    }

    fn letter(&mut self) -> Result<Option<char>> {
        let letter = self.peek()?;
        self.from += letter.map_or(0, char::len_utf8);
        Ok(letter)
    }

    /// Sees to it that something is left, unless the file has ended.
    fn more(&mut self) -> Result<()> {
        while self.from >= self.rest.len() && !self.ended {
            let mut bytes = Vec::new();
            let read = self.input.read_until(b'\n', &mut bytes);
            let read = read.map_err(|e| decode::failed(&self.path, &e))?;
            self.ended = read == 0;
            self.from = 0;
            self.rest = decode::decode_part(&self.path, bytes, (self.line, self.at))?;
            self.at += read as u64;
        }
        Ok(())
    }
}

/// Cells that another separator stands between, and what helps.
pub(super) fn other_separator(at: At<'_>, found: char, read: char, header: &str) -> Error {
    let path = at.path.display().to_string().replace('\'', "'\\''");
    let error = at
        .unknown("the cells of a table are separated otherwise than they are read")
        .why(format!("it begins: {}", excerpt(header)))
        .why(format!(
            "its cells look separated by {}, and are read as separated by {}",
            name(found),
            name(read)
        ));
    let error = match found {
        '\t' => error.fix("let its name end in .tsv, which says that tabs stand between the cells"),
        ',' => {
            error.fix("let its name end in .csv, which says that commas stand between the cells")
        }
        other => error.fix(format!(
            "write `sep={other}` as its first line, as: sed -i '1i sep={other}' '{path}'"
        )),
    };
    error.fix("or save it as `CSV UTF-8` with commas between the cells")
}

/// A separator as it is called in a message.
pub(super) fn name(separator: char) -> &'static str {
    match separator {
        ';' => "`;`",
        '\t' => "tabs",
        '|' => "`|`",
        _ => "`,`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::error::render;

    fn rows(text: &str) -> Result<Vec<Row>> {
        let mut cells = Cells::new(
            Path::new("a.csv"),
            Box::new(std::io::Cursor::new(text.as_bytes().to_vec())),
            ',',
        );
        let mut rows = Vec::new();
        while let Some(row) = cells.next()? {
            rows.push(row);
        }
        Ok(rows)
    }

    fn row(line: u64, cells: &[&str]) -> Row {
        (line, cells.iter().map(|c| (*c).to_owned()).collect())
    }

    #[test]
    fn rows_know_their_line_whatever_ends_it() {
        let one = [
            row(1, &["a", "b"]),
            row(2, &["c\r\nd", "e"]),
            row(5, &["", "f"]),
        ];
        assert_eq!(rows("a,b\r\n\"c\r\nd\",e\r\n\r\n,f\r\n").unwrap(), one);
        assert_eq!(
            rows("a,b\rc,d\r").unwrap(),
            [row(1, &["a", "b"]), row(2, &["c", "d"])]
        );
        assert_eq!(
            rows("\u{feff}a,\"x\"\"y\"").unwrap(),
            [row(1, &["a", "x\"y"])]
        );
        assert_eq!(
            rows("5\" pipe,\"\"\n").unwrap(),
            [row(1, &["5\" pipe", ""])]
        );
        assert_eq!(rows("\n\n").unwrap(), []);
    }

    #[test]
    fn quotes_that_the_standard_does_not_allow_are_refused_with_their_line() {
        let error = |text: &str| render(&rows(text).unwrap_err());
        insta::assert_snapshot!(error("q,a\n\"定金\"和订金,b\n"));
        insta::assert_snapshot!(error("q,a\n1,\"x\n2,y\n3,\"z\"\n"));
        insta::assert_snapshot!(error("q,a\n1,\"x\n2,y\n"));
        insta::assert_snapshot!(error("q,a\n\"1\", \"x\"\n"));
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_standard_is_read_again(
            table in proptest::collection::vec(proptest::collection::vec("[a法\",;\n\r ]{0,5}x", 2..4), 1..5)
        ) {
            let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n";
            let text: String = table.iter().map(line).collect();
            let read: Vec<Vec<String>> = rows(&text).unwrap().into_iter().map(|(_, cells)| cells).collect();
            prop_assert_eq!(read, table);
        }
    }
}
