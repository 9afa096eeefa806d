//! A failure as text for people.
//!
//! In: an [`Error`]. Out: code and what, place with the line and a caret, reasons, fixes, then the
//! failures found in the same go.
//! Keeps: the caret stands under what is meant, also behind tabs and wide characters; a very long
//! line is shown around the caret, with `…` where it goes on; what cannot be seen is written out (see `visible`).

use super::visible::{cells, visible};
use super::{Error, Place};

/// Columns of a line that are shown.
const WIDTH: usize = 100;
/// Columns shown before the caret of a longer line.
const BEFORE: usize = 40;

/// Renders a failure: code and what, place with the line and a caret, reasons, fixes.
#[must_use]
pub fn render(error: &Error) -> String {
    let mut text = one(error);
    for other in &error.also {
        text.push_str("\n\n");
        text.push_str(&render(other));
    }
    text
}

fn one(error: &Error) -> String {
    let mut text = format!("{} {}", error.code, indented(&error.what, "    "));
    if let Some(place) = &error.place {
        text.push_str(&where_it_is(place));
    }
    for line in &error.why {
        text.push_str(&format!("\n  {}", indented(line, "  ")));
    }
    for line in &error.fix {
        text.push_str(&format!("\n  fix: {}", indented(line, "       ")));
    }
    text
}

/// Text of several lines keeps them, each behind the same margin.
fn indented(text: &str, margin: &str) -> String {
    let lines: Vec<String> = text.lines().map(safe).collect();
    lines.join(&format!("\n{margin}"))
}

fn where_it_is(place: &Place) -> String {
    let mut text = format!("\n  at {}", safe(&place.file));
    let Some(line) = place.line else { return text };
    text.push_str(&format!(":{line}"));
    if let Some(column) = place.column {
        text.push_str(&format!(":{column}"));
    }
    let Some(source) = &place.text else {
        return text;
    };
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let (shown, caret) = excerpt(source, place.column, place.span);
    text.push_str(&format!("\n   {number} | {shown}"));
    if let Some(caret) = caret {
        text.push_str(&format!("\n   {margin} | {caret}"));
    }
    text
}

/// The part of a line worth showing, and the caret line under it.
fn excerpt(source: &str, column: Option<u64>, span: u64) -> (String, Option<String>) {
    let tab = |c: char, shown: String| if c == '\t' { "    ".into() } else { shown };
    let cells: Vec<String> = cells(source).map(|(c, shown)| tab(c, shown)).collect();
    let widths: Vec<usize> = cells
        .iter()
        .map(|cell| cell.chars().map(width).sum())
        .collect();
    let caret = column.map(|column| usize::try_from(column.saturating_sub(1)).unwrap_or(0));
    let (mut from, mut to) = (0, cells.len());
    if widths.iter().sum::<usize>() > WIDTH {
        let at = caret.unwrap_or(0).min(cells.len());
        from = at;
        let mut before = 0;
        while from > 0 && before + widths[from - 1] <= BEFORE {
            from -= 1;
            before += widths[from];
        }
        to = from;
        let mut used = 0;
        while to < cells.len() && used + widths[to] <= WIDTH {
            used += widths[to];
            to += 1;
        }
    }
    let (head, tail) = (
        if from > 0 { "…" } else { "" },
        if to < cells.len() { "…" } else { "" },
    );
    let shown = cells[from..to].concat();
    let carets = caret.map(|at| {
        let at = at.clamp(from, to);
        let span = usize::try_from(span.max(1)).unwrap_or(usize::MAX);
        let end = at.saturating_add(span).min(to);
        let indent: usize = widths[from..at].iter().sum();
        let under: usize = widths[at..end].iter().sum();
        format!(
            "{}{}",
            " ".repeat(head.chars().count() + indent),
            "^".repeat(under.max(1))
        )
    });
    (format!("{head}{shown}{tail}"), carets)
}

/// One line, without characters that could steer a terminal or cannot be seen.
fn safe(text: &str) -> String {
    visible(&text.replace('\t', " "))
}

/// Columns a character takes in a terminal.
fn width(c: char) -> usize {
    match u32::from(c) {
        // Combining marks, joiners and variation selectors stand on the character before.
        0x0300..=0x036f | 0x200b..=0x200d | 0xfe00..=0xfe0f | 0xfeff => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Code;
    use super::*;

    fn at(text: &str, column: u64, span: u64) -> String {
        render(&Error::new(Code::MalformedJson, "not JSON").at(Place {
            file: "train.jsonl".into(),
            line: Some(41),
            column: Some(column),
            text: Some(text.into()),
            span,
        }))
    }

    #[test]
    fn a_whole_error_shows_code_place_caret_reason_and_fix() {
        let error = Error::new(Code::UnknownKey, "unknown key `lora_rnak`")
            .at(Place {
                file: "configs/law_qa.yaml".into(),
                line: Some(9),
                column: Some(1),
                text: Some("lora_rnak: 16".into()),
                span: 9,
            })
            .why("without it `lora_rank` would be its default, 8")
            .fix("did you mean `lora_rank`?")
            .also([Error::new(Code::MissingPath, "nothing there").in_file("data")]);
        insta::assert_snapshot!(render(&error), @r#"
        E0102 unknown key `lora_rnak`
          at configs/law_qa.yaml:9:1
           9 | lora_rnak: 16
             | ^^^^^^^^^
          without it `lora_rank` would be its default, 8
          fix: did you mean `lora_rank`?

        E0108 nothing there
          at data
        "#);
    }

    #[test]
    fn the_caret_stands_under_what_is_meant_behind_tabs_and_wide_characters() {
        insta::assert_snapshot!(at("\t用户：{\"a\": oops}", 11, 4), @r#"
        E0304 not JSON
          at train.jsonl:41:11
           41 |     用户：{"a": oops}
              |                 ^^^^
        "#);
    }

    #[test]
    fn a_very_long_line_is_shown_around_the_caret() {
        let line = format!("{}HERE{}", "a".repeat(5000), "b".repeat(5000));
        insta::assert_snapshot!(at(&line, 5001, 4), @r#"
        E0304 not JSON
          at train.jsonl:41:5001
           41 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaHEREbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
              |                                          ^^^^
        "#);
    }

    #[test]
    fn nothing_in_a_line_can_steer_the_terminal() {
        let text = at("\u{1b}[2Jred\u{7}", 1, 1);
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{7}'),
            "{text}"
        );
    }

    #[test]
    fn a_caret_past_the_end_stands_behind_the_last_character() {
        insta::assert_snapshot!(at("{\"a\": 1", 99, 9), @r#"
        E0304 not JSON
          at train.jsonl:41:99
           41 | {"a": 1
              |        ^
        "#);
    }

    #[test]
    fn an_error_survives_json() {
        let error = Error::new(Code::Io, "broken")
            .at_line("a", 3)
            .why("w")
            .fix("f");
        let error = error.clone().also([error]);
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<Error>(&text).unwrap(), error);
    }
}
