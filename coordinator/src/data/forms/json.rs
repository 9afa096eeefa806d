//! JSON files to conversations: one object per line, or one array.
//!
//! In: text of a `.jsonl` or `.json` file, or some lines of it. Out: every object with the line it begins in.
//! A file of lines is read in parts, an array whole. Keeps: line and column of a mistake are those of the file. Blank lines say nothing.

use std::path::Path;

use serde_json::{Deserializer, Map, Value};
use shared::error::{Code, Error, Result};

use super::at::At;
use super::by_keys;
use super::parsed::Parsed;
use super::renaming::Renaming;
use super::unique::{self, Unique};
use crate::data::excerpt::{excerpt, place};
use crate::data::file_report::{FileReport, Form};
use crate::data::files::SourceFile;
use crate::data::sample::Conversation;

/// Reads the conversations of a file.
pub(crate) fn parse(file: &SourceFile, text: &str, renaming: Renaming<'_>) -> Result<Parsed> {
    let mut report = FileReport::new(&file.name, Form::Messages);
    let mut conversations = Vec::new();
    let mut mistakes = Mistakes::default();
    for (line, object) in objects(file, text)? {
        let found = conversation(file, line, object, renaming, &mut report);
        conversations.extend(mistakes.note(found).flatten());
        if mistakes.enough() {
            break;
        }
    }
    match mistakes.error() {
        Some(error) => Err(error),
        None => Ok(Parsed::new(conversations, report)),
    }
}

/// What some lines of a file give: conversations up to the first line that cannot be read.
pub(crate) struct Lines {
    pub conversations: Vec<Conversation>,
    pub report: FileReport,
    pub error: Option<Error>,
}

/// Reads lines of a file, one object each, of which the first is line `first`.
pub(crate) fn lines(file: &SourceFile, text: &str, first: u64, renaming: Renaming<'_>) -> Lines {
    let mut report = FileReport::new(&file.name, Form::Messages);
    let mut conversations = Vec::new();
    let mut mistakes = Mistakes::default();
    for (number, line) in (first..).zip(text.split_inclusive('\n')) {
        let (content, start) = bare(line);
        if content.is_empty() {
            continue;
        }
        let source = Text {
            path: &file.path,
            text: line,
            first: number,
        };
        let found = parse_one(source, content, start)
            .and_then(|object| conversation(file, number, object, renaming, &mut report));
        let whole = mistakes.is_none();
        let found = mistakes.note(found).flatten();
        // What stands behind a mistake is only looked at for further ones.
        conversations.extend(found.filter(|_| whole));
        if mistakes.enough() {
            break;
        }
    }
    Lines {
        conversations,
        report,
        error: mistakes.error(),
    }
}

/// Whether the file is one object per line, as its first lines tell; a `.json` file may also be an
/// array, or one object over several lines.
pub(crate) fn is_lines(file: &SourceFile, text: &str) -> bool {
    let first_line = bare(text).0.lines().next().unwrap_or_default();
    file.extension() == "jsonl" || serde_json::from_str::<Map<String, Value>>(first_line).is_ok()
}

fn conversation(
    file: &SourceFile,
    line: u64,
    object: Map<String, Value>,
    renaming: Renaming<'_>,
    report: &mut FileReport,
) -> Result<Option<Conversation>> {
    let path = &file.path;
    let found = by_keys::sample(object, renaming, At { path, line })?;
    Ok(found.into_sample(&file.name, line, report))
}

/// At most so many mistakes of one file are told in one go.
const TOLD: usize = 10;

/// The first samples that cannot be read.
#[derive(Default)]
struct Mistakes(Vec<Error>);

impl Mistakes {
    /// What was read, unless it is a mistake.
    fn note<T>(&mut self, found: Result<T>) -> Option<T> {
        found.map_err(|error| self.0.push(error)).ok()
    }

    fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Behind text that is no JSON nothing is sure to be a mistake of its own.
    fn enough(&self) -> bool {
        let broken = |error: &Error| error.code == Code::MalformedJson;
        self.0.len() >= TOLD || self.0.last().is_some_and(broken)
    }

    /// The first, and with it the others.
    fn error(self) -> Option<Error> {
        let mut all = self.0.into_iter();
        let mut first = all.next()?;
        first.also.extend(all);
        Some(first)
    }
}

/// A text without white space and byte order marks at its ends, and where it begins. Files that were put together have
/// such marks in the middle.
fn bare(text: &str) -> (&str, usize) {
    let blank = |letter: char| letter.is_whitespace() || letter == '\u{feff}';
    let content = text.trim_start_matches(blank);
    (content.trim_end_matches(blank), text.len() - content.len())
}

/// A text, and the line of its file in which it begins.
#[derive(Clone, Copy)]
struct Text<'a> {
    path: &'a Path,
    text: &'a str,
    first: u64,
}

/// The objects of a file with their lines: an array's elements, one object, or one per line.
pub(crate) fn objects(file: &SourceFile, text: &str) -> Result<Vec<(u64, Map<String, Value>)>> {
    let (start, begins) = bare(text);
    let whole = Text {
        path: &file.path,
        text,
        first: 1,
    };
    if file.extension() == "json" {
        if start.starts_with('[') {
            return array(whole);
        }
        let first_line = start.lines().next().unwrap_or_default();
        let per_line = serde_json::from_str::<Map<String, Value>>(first_line).is_ok();
        if start.starts_with('{') && !per_line {
            let (line, _) = position(text, begins);
            let object = parse_one(whole, start, begins)?;
            return Ok(vec![(line, object)]);
        }
    }
    let mut objects = Vec::new();
    let mut at = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let (content, start) = bare(line);
        if !content.is_empty() {
            objects.push((number, parse_one(whole, content, at + start)?));
        }
        at += line.len();
    }
    Ok(objects)
}

/// Parses the one object that `content`, which begins at byte `start` of `text`, must be.
fn parse_one(source: Text<'_>, content: &str, start: usize) -> Result<Map<String, Value>> {
    match unique::value(content) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(no_object(source, start, &other.to_string())),
        Err(e) => Err(malformed(source, start, content, &e)),
    }
}

/// The elements of a file that is one array.
fn array(source: Text<'_>) -> Result<Vec<(u64, Map<String, Value>)>> {
    let text = source.text;
    let mut objects = Vec::new();
    // Behind the bracket, and behind white space before it that JSON does not know.
    let mut at = bare(text).1 + 1;
    let (mut line, mut counted) = (1, 0);
    loop {
        at = skip(text, at);
        line += text[counted..at].bytes().filter(|&b| b == b'\n').count() as u64;
        counted = at;
        match text[at..].chars().next() {
            Some(']') if objects.is_empty() || text[..at].trim_end().ends_with('}') => break,
            Some('{') => {}
            _ => return Err(broken_array(source, at, "expected an object `{...}`")),
        }
        let mut stream = Deserializer::from_str(&text[at..]).into_iter::<Unique>();
        match stream.next() {
            Some(Ok(Unique(Value::Object(object)))) => objects.push((line, object)),
            Some(Err(e)) => return Err(malformed(source, at, &text[at..], &e)),
            _ => return Err(broken_array(source, at, "expected an object `{...}`")),
        }
        at = skip(text, at + stream.byte_offset());
        match text[at..].chars().next() {
            Some(',') => at += 1,
            Some(']') => break,
            _ => return Err(broken_array(source, at, "expected `,` or `]`")),
        }
    }
    let rest = skip(text, at + 1);
    if rest < text.len() {
        return Err(broken_array(source, rest, "text after the array's end"));
    }
    Ok(objects)
}

/// The next byte that is neither JSON's white space nor a byte order mark.
fn skip(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let blank = [' ', '\t', '\r', '\n', '\u{feff}'];
    at + (rest.len() - rest.trim_start_matches(blank).len())
}

/// Line and column in characters, from 1, of a byte of the text.
fn position(text: &str, at: usize) -> (u64, u64) {
    let before = &text[..at];
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line as u64, column as u64)
}

fn malformed(source: Text<'_>, start: usize, content: &str, error: &serde_json::Error) -> Error {
    // serde_json counts lines and bytes from where it began to read.
    let line_start: usize = content
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let mut at = (line_start + error.column().saturating_sub(1)).min(content.len());
    while !content.is_char_boundary(at) {
        at -= 1;
    }
    if let Some(key) = unique::twice(error) {
        // The reader is at the end of the key's second place, or behind it.
        let end = content[at..].char_indices().nth(2);
        let read = &content[..end.map_or(content.len(), |(next, _)| at + next)];
        let passed = read.rfind(&format!("\"{key}\""));
        return json_error(
            source,
            start + passed.unwrap_or(at),
            &format!("`{key}` stands twice in one object"),
        )
        .fix(format!(
            "keep one `{key}`: which of the two is meant nobody can know"
        ));
    }
    let text_of = error.to_string();
    let why = text_of.split(" at line ").next().unwrap_or_default();
    if let Some((half, escape)) = half_character(content, at) {
        return json_error(source, start + half, &format!("`{escape}` is half a character: an emoji or a rare character is written as two such escapes, and the other one is missing"))
            .fix(format!("take `{escape}` out, or write \\ufffd (U+FFFD, a lost character) in its place"))
            .fix("where the file is made, cut texts between characters and not between UTF-16 units");
    }
    if let Some(name) = content[at..].chars().next().and_then(unseen) {
        return json_error(
            source,
            start + at,
            &format!("{why}: a character that is not to be seen stands here, {name}"),
        )
        .fix(format!(
            "take {name} out; between two objects belongs a line end"
        ));
    }
    json_error(source, start + at, why).fix(
        "each line of a .jsonl file is one whole object; a .json file may be one array of them",
    )
}

/// The escape of half a surrogate pair whose end the reader came to; it is among the last characters before `at`.
fn half_character(content: &str, at: usize) -> Option<(usize, &str)> {
    let bytes = content.as_bytes();
    let unit = |place: usize| -> Option<u16> {
        let digits = content.get(place..place + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let from = at.saturating_sub(12);
    let mut place = 0;
    while place <= at && place < bytes.len() {
        if bytes[place] != b'\\' {
            place += 1;
            continue;
        }
        match unit(place) {
            Some(0xd800..=0xdbff) if matches!(unit(place + 6), Some(0xdc00..=0xdfff)) => {
                place += 12
            }
            Some(0xd800..=0xdfff) if place >= from => {
                return Some((place, &content[place..place + 6]));
            }
            _ => place += 2,
        }
    }
    None
}

/// The name of a character that is not to be seen.
fn unseen(letter: char) -> Option<String> {
    let format = matches!(
        letter,
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    );
    let control = letter.is_control() && !matches!(letter, '\t' | '\r' | '\n');
    (format || control).then(|| format!("U+{:04X}", u32::from(letter)))
}

fn broken_array(source: Text<'_>, at: usize, why: &str) -> Error {
    json_error(source, at, why).fix("the file must be one array of objects, [{...}, {...}]")
}

fn json_error(Text { path, text, first }: Text<'_>, at: usize, why: &str) -> Error {
    let (line, column) = position(text, at);
    let source = text
        .lines()
        .nth(usize::try_from(line - 1).unwrap_or(0))
        .unwrap_or_default();
    let place = place(path, line + first - 1, Some(column), source);
    let near = place.text.is_none().then(|| {
        let skipped = usize::try_from(column).unwrap_or(0).saturating_sub(30);
        source.chars().skip(skipped).collect::<String>()
    });
    let error = Error::new(Code::MalformedJson, "a line is not JSON")
        .at(place)
        .why(why);
    match near {
        Some(near) => error.why(format!("near: {}", excerpt(&near))),
        None => error,
    }
}

fn no_object(Text { path, text, first }: Text<'_>, start: usize, found: &str) -> Error {
    At {
        path,
        line: position(text, start).0 + first - 1,
    }
    .unknown("a line is JSON but no object")
    .why(format!("it is {}", excerpt(found)))
    .fix("each line of a .jsonl file is one object; a file that is one array is named .json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::error::render;

    fn file(name: &str) -> SourceFile {
        SourceFile::single(Path::new(name))
    }

    fn lines(name: &str, text: &str) -> Vec<u64> {
        objects(&file(name), text)
            .unwrap()
            .into_iter()
            .map(|(line, _)| line)
            .collect()
    }

    #[test]
    fn objects_know_the_line_they_begin_in() {
        assert_eq!(lines("a.jsonl", "{}\r\n\n  {}\n"), [1, 3]);
        assert_eq!(lines("a.json", " [\n{},\n\n{\"a\":\n1}]\n"), [2, 4]);
        assert_eq!(lines("a.json", "{}\n{}"), [1, 2]);
        assert_eq!(lines("a.json", "\n{\n}\n"), [2]);
        assert_eq!(lines("a.json", "[]"), [0u64; 0]);
    }

    #[test]
    fn a_broken_line_is_shown_with_line_and_column() {
        let text = "{\"问题\": \"a\"}\n{\"问题\": \"在\", oops}\n";
        let error = objects(&file("a.jsonl"), text).unwrap_err();
        insta::assert_snapshot!(render(&error), @r#"
        E0304 a line is not JSON
          at a.jsonl:2:13
           2 | {"问题": "在", oops}
             |                ^
          key must be a string
          fix: each line of a .jsonl file is one whole object; a .json file may be one array of them
        "#);
    }

    #[test]
    fn a_broken_array_is_shown_with_line_and_column() {
        let text = "[\n{\"a\": 1}\n{\"a\": 2}\n]";
        insta::assert_snapshot!(render(&objects(&file("a.json"), text).unwrap_err()), @r#"
        E0304 a line is not JSON
          at a.json:3:1
           3 | {"a": 2}
             | ^
          expected `,` or `]`
          fix: the file must be one array of objects, [{...}, {...}]
        "#);
        let text = "[\n{\"a\": 1},\n{\"a\": }\n]";
        insta::assert_snapshot!(render(&objects(&file("a.json"), text).unwrap_err()), @r#"
        E0304 a line is not JSON
          at a.json:3:7
           3 | {"a": }
             |       ^
          expected value
          fix: each line of a .jsonl file is one whole object; a .json file may be one array of them
        "#);
        assert!(objects(&file("a.json"), "[{},]").is_err());
        assert!(objects(&file("a.json"), "[{}] {}").is_err());
        assert!(objects(&file("a.json"), "[").is_err());
    }

    #[test]
    fn a_long_broken_line_is_shown_near_its_mistake() {
        let text = format!("{{\"a\": \"{}\" \"b\"}}", "法".repeat(200));
        let error = objects(&file("a.jsonl"), &text).unwrap_err();
        assert_eq!(error.place.as_ref().and_then(|p| p.column), Some(209 + 1));
        assert!(error.why[1].starts_with("near: 法"), "{error:?}");
    }

    #[test]
    fn a_line_that_is_no_object_is_refused() {
        let error = objects(&file("a.jsonl"), "{}\n[1, 2]\n").unwrap_err();
        insta::assert_snapshot!(render(&error), @r#"
        E0306 a line is JSON but no object
          at a.jsonl:2
          it is [1,2]
          fix: each line of a .jsonl file is one object; a file that is one array is named .json
        "#);
    }
}
