//! Pieces of the user's text in messages, short enough to be read there.

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
    shown.replace(['\n', '\r'], " ")
}
