//! CSV files to conversations: a header, and a row per sample.
//!
//! In: text of a `.csv` or `.tsv` file. Out: rows by their columns' names. Texts are taken
//! unchanged. Keeps: a row with too few or too many cells, or a quote that never closes, is refused
//! with its line.

use std::path::Path;

use shared::dataset::RowOrigin;
use shared::error::{Code, Error, Result};
use shared::text::Message;

use super::ambiguity;
use super::at::At;
use super::columns::{self, Columns};
use super::pairs::joined;
use super::parsed::Parsed;
use super::renaming::Renaming;
use super::row_marks::RowMarks;
use crate::data::file_report::{FileReport, Form};
use crate::data::files::SourceFile;
use crate::data::sample::Conversation;

/// A table with the line each row begins in.
#[derive(Debug)]
pub(crate) struct Table {
    pub header: Vec<String>,
    pub rows: Vec<(u64, Vec<String>)>,
}

/// Reads the conversations of a file.
pub(crate) fn parse(file: &SourceFile, text: &str, renaming: Renaming<'_>) -> Result<Parsed> {
    let mut report = FileReport::new(&file.name, Form::Table);
    let table = read(file, text)?;
    if table.header.is_empty() {
        return Ok(Parsed::new(Vec::new(), report));
    }
    let columns = columns(&file.path, &table.header, renaming)?;
    let (Some(question), Some(answer)) = (columns.question, columns.answer) else {
        let error = columns::unknown(
            &file.path,
            &table.header,
            "no question and answer among them",
        );
        let settings = columns::settings(&table.header);
        return Err(settings.into_iter().fold(error, Error::fix));
    };
    report.add_unused(columns::unused(&table.header, &columns.used(false)));
    let marks = RowMarks::of(&table.header, &columns);
    marks.are_used(&mut report);
    let mut conversations = Vec::new();
    for (line, cells) in table.rows {
        let at = At {
            path: &file.path,
            line,
        };
        if let Some(field) = marks.left_out(&cells, renaming, at)? {
            report.leave_out(format!("{}:{line} ({field})", file.name));
            continue;
        }
        let (asked, answered) = (cells[question].clone(), cells[answer].clone());
        let messages = pair(&columns, &cells, asked, None, answered);
        let file = file.name.clone();
        conversations.push(Conversation::new(messages, RowOrigin { file, line }));
    }
    report.samples = conversations.len() as u64;
    Ok(Parsed::new(conversations, report))
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

/// Which columns hold what: those configured, else those whose names are known.
pub(crate) fn columns(path: &Path, header: &[String], renaming: Renaming<'_>) -> Result<Columns> {
    let Some((question, answer)) = renaming.csv else {
        let known = renaming.header(path, header)?;
        return Columns::find(&known).map_err(|why| ambiguity::table(path, header, &why));
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

/// Reads a table without asking what its columns are.
pub(crate) fn read(file: &SourceFile, text: &str) -> Result<Table> {
    let delimiter = if file.extension() == "tsv" {
        b'\t'
    } else {
        b','
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let header: Vec<String> = reader
        .headers()
        .map_err(|e| malformed(&file.path, text, &e))?
        .iter()
        .map(str::to_owned)
        .collect();
    let mut rows = Vec::new();
    let mut lines = Lines {
        text,
        at: 0,
        line: 1,
    };
    for record in reader.records() {
        let record = record.map_err(|e| malformed(&file.path, text, &e))?;
        let line = lines.of(record.position());
        rows.push((line, record.iter().map(str::to_owned).collect::<Vec<_>>()));
    }
    let odd_quotes = text.bytes().filter(|&b| b == b'"').count() % 2 == 1;
    let last = rows
        .last()
        .and_then(|(line, cells)| Some((*line, cells.last()?)));
    if let Some((line, _)) = last.filter(|(_, cell)| odd_quotes && cell.contains('\n')) {
        return Err(Error::new(Code::MalformedCsv, "a quote is never closed")
            .at_line(&file.path, line)
            .why("the row that begins here takes in the rest of the file")
            .fix("close the quote; a quote inside a quoted cell is written twice"));
    }
    Ok(Table { header, rows })
}

/// Lines of records: the reader's own count stands before the line end it has not yet passed.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, position: Option<&csv::Position>) -> u64 {
        let byte = position.map_or(0, csv::Position::byte);
        let rest = self
            .text
            .as_bytes()
            .get(usize::try_from(byte).unwrap_or(0)..);
        let skipped = rest
            .unwrap_or_default()
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'));
        let start = usize::try_from(byte).unwrap_or(0) + skipped.count();
        let passed = self.text.as_bytes().get(self.at..start).unwrap_or_default();
        self.line += passed.iter().filter(|&&b| b == b'\n').count() as u64;
        self.at = start;
        self.line
    }
}

fn malformed(path: &Path, text: &str, error: &csv::Error) -> Error {
    let line = Lines {
        text,
        at: 0,
        line: 1,
    }
    .of(error.position());
    let why = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("the row has {len} cells, the header {expected_len}")
        }
        _ => error.to_string(),
    };
    Error::new(Code::MalformedCsv, "a row of the table cannot be read")
        .at_line(path, line)
        .why(why)
        .fix("a cell with a comma, a quote or a line break must stand in double quotes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::error::render;

    fn table(text: &str, named: Option<(&str, &str)>) -> Result<Parsed> {
        let named = named.map(|(q, a)| (q.to_owned(), a.to_owned()));
        let renaming = Renaming {
            csv: named.as_ref(),
            formats: &Default::default(),
        };
        parse(&SourceFile::single(Path::new("law.csv")), text, renaming)
    }

    fn texts(parsed: &Parsed) -> Vec<(u64, Vec<&str>)> {
        let row = |c: &'_ Conversation| c.origin.line;
        parsed
            .conversations
            .iter()
            .map(|c| {
                (
                    row(c),
                    c.messages.iter().map(|m| m.content.as_str()).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn cells_are_taken_unchanged_with_their_line() {
        let parsed = table(
            "id,问题,回答\r\n1,\" 借款，\r\n\"\"怎么\"\"办？\",答\r\n\r\n2,b , c\r\n",
            None,
        )
        .unwrap();
        assert_eq!(
            texts(&parsed),
            [
                (2, vec![" 借款，\r\n\"怎么\"办？", "答"]),
                (5, vec!["b ", " c"])
            ]
        );
        assert_eq!(parsed.report.unused, ["id"]);
    }

    #[test]
    fn configured_columns_win_and_an_input_is_joined_by_a_newline() {
        let parsed = table("a,b,prompt,answer\n1,2,3,4\n", Some(("b", "a"))).unwrap();
        assert_eq!(texts(&parsed), [(2, vec!["2", "1"])]);
        let parsed = table("instruction,input,output\nx,y,z\nx,,z\n", None).unwrap();
        assert_eq!(
            texts(&parsed),
            [(2, vec!["x\ny", "z"]), (3, vec!["x", "z"])]
        );
    }

    #[test]
    fn tables_that_cannot_be_read_are_refused_with_their_line() {
        let error = |text: &str, named| render(&table(text, named).unwrap_err());
        insta::assert_snapshot!(error("question,answer\na,b\nc,d,e\n", None), @r#"
                E0305 a row of the table cannot be read
                  at law.csv:3
                  the row has 3 cells, the header 2
                  fix: a cell with a comma, a quote or a line break must stand in double quotes
                "#);
        insta::assert_snapshot!(error("question,answer\na,\"b\nc,d\n", None), @r#"
        E0305 a quote is never closed
          at law.csv:2
          the row that begins here takes in the rest of the file
          fix: close the quote; a quote inside a quoted cell is written twice
        "#);
        insta::assert_snapshot!(error("id,text\n1,b\n", None), @r#"
        E0306 the table's columns are not known
          at law.csv:1
          its columns: id, text (no question and answer among them)
          known: question: prompt, question, instruction, query, 问题, 提问, 咨询, 用户, 客户, 问, 指令; answer: response, answer, output, completion, 回答, 答案, 解答, 回复, 律师, 答, 输出
          fix: --set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names them
          fix: --set 'columns=[question=id,answer=text]'
          fix: --set 'columns=[question=text,answer=id]'
        "#);
        insta::assert_snapshot!(error("question,answer\na,b\n", Some(("q", "answer"))), @r#"
        E0306 the table's columns are not known
          at law.csv:1
          its columns: question, answer (`csv_columns` names `q`, which is not among them)
          known: question: prompt, question, instruction, query, 问题, 提问, 咨询, 用户, 客户, 问, 指令; answer: response, answer, output, completion, 回答, 答案, 解答, 回复, 律师, 答, 输出
          fix: --set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names them
        "#);
        insta::assert_snapshot!(error("question,prompt,answer\na,b,c\n", None), @r#"
        E0310 the table's columns can be read in two ways
          at law.csv:1
          its columns: question, prompt, answer (both `question` and `prompt` could be meant)
          fix: --set 'columns=[question=question,answer=answer]'
          fix: --set 'columns=[question=prompt,answer=answer]'
        "#);
    }
}
