//! Pieces of the user's text in messages, short enough to be read there.

use std::borrow::Cow;
use std::path::Path;

use shared::error::Place;

/// Characters of the longest line that is shown whole.
const LONGEST_LINE: usize = 100;

/// A place, with its line's text when that is short enough to be shown with a caret.
pub(crate) fn place(path: &Path, line: u64, column: Option<u64>, text: &str) -> Place {
    let text = text.trim_end_matches(['\r', '\n']);
    let short = text.chars().count() <= LONGEST_LINE;
    Place {
        file: path.display().to_string(),
        line: Some(line),
        column,
        text: short.then(|| text.to_owned()),
        span: 0,
    }
}

/// The beginning of a text, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    visible(&shown.replace(['\n', '\r'], " ")).into_owned()
}

/// A text with what no terminal shows, or what would command one, written as `\u{1b}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        let turns = matches!(u32::from(c), 0x202a..=0x202e | 0x2066..=0x2069);
        turns || c.is_control() && !matches!(c, '\n' | '\t')
    };
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| {
        if hidden(c) {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        }
    };
    Cow::Owned(text.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_a_terminal_is_written_out() {
        assert_eq!(
            visible("a\u{0}\u{1b}[31m法\n\t"),
            "a\\u{0}\\u{1b}[31m法\n\t"
        );
        assert_eq!(excerpt("x\r\n\u{202e}y"), "x  \\u{202e}y");
        assert_eq!(visible("法"), "法");
    }
}
