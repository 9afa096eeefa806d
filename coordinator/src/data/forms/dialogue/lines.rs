//! A text to its lines, as a reader sees them.
//!
//! In: a file's text. Out: lines with their numbers. A line ends where an editor or Word ends it: CR, LF,
//! VT, FF, NEL and the line and paragraph separators of Unicode. Characters that nobody sees are taken off
//! the ends of a line and told, because behind one of them a role's name is no name any more.

use std::collections::BTreeMap;

/// A line of a dialogue file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// From 1; only CR, LF and CRLF count, as in an editor.
    pub number: u64,
    /// With its indentation, without blanks at its end; empty when the line is blank.
    pub raw: &'a str,
    /// Blank lines stand before it, or the file begins.
    pub after_blank: bool,
}

impl<'a> Line<'a> {
    /// Without indentation.
    pub(super) fn text(&self) -> &'a str {
        self.raw.trim_start_matches(is_space)
    }

    /// Whether nothing can be seen in it.
    pub(super) fn is_blank(&self) -> bool {
        self.raw.is_empty()
    }
}

/// The lines of a file, and the invisible characters that were taken off their ends.
#[derive(Debug, Default)]
pub(super) struct Lines<'a> {
    pub lines: Vec<Line<'a>>,
    /// Numbers of the lines for each character.
    pub invisible: BTreeMap<char, Vec<u64>>,
}

/// Whether a character formats text and shows nothing: soft hyphen, zero width, direction marks,
/// byte order mark.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether a character is blank, to be seen or not.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// Whether a character ends a line without counting as one in an editor.
fn soft_break(c: char) -> bool {
    matches!(c, '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

impl<'a> Lines<'a> {
    /// All lines of a text.
    pub(super) fn of(text: &'a str) -> Self {
        let mut all = Self::default();
        let mut after_blank = true;
        let text = text.strip_suffix('\n').unwrap_or(text);
        for (number, line) in (1..).zip(hard_lines(text)) {
            for part in line.split(soft_break) {
                all.note(number, part);
                let visible = part.trim_end_matches(is_space);
                let indent = visible.len() - visible.trim_start_matches(is_space).len();
                let raw = match visible[..indent].contains(is_invisible) {
                    true => &visible[indent..],
                    false => visible,
                };
                all.lines.push(Line {
                    number,
                    raw,
                    after_blank,
                });
                after_blank = raw.is_empty();
            }
        }
        all
    }

    fn note(&mut self, number: u64, part: &str) {
        let inner = part.trim_matches(is_space);
        let begins = part.len() - part.trim_start_matches(is_space).len();
        let ends = part[begins..].strip_prefix(inner).unwrap_or_default();
        for c in part[..begins].chars().chain(ends.chars()) {
            if is_invisible(c) {
                let lines = self.invisible.entry(c).or_default();
                if lines.last() != Some(&number) {
                    lines.push(number);
                }
            }
        }
    }

    /// Lines that are not blank.
    pub(super) fn visible(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines.iter().filter(|line| !line.is_blank())
    }
}

/// Lines that end in LF, CRLF or CR.
fn hard_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Vec<(u64, &str)> {
        let lines = Lines::of(text).lines;
        lines.iter().map(|l| (l.number, l.raw)).collect()
    }

    #[test]
    fn every_line_end_that_a_reader_sees_is_one() {
        assert_eq!(
            raw("a\r\nb\rc\nd\u{b}e\u{2028}f\u{85}g\n"),
            [
                (1, "a"),
                (2, "b"),
                (3, "c"),
                (4, "d"),
                (4, "e"),
                (4, "f"),
                (4, "g")
            ]
        );
        assert_eq!(raw("a\n\n  b \u{3000}\n"), [(1, "a"), (2, ""), (3, "  b")]);
        assert_eq!(raw("a\r"), [(1, "a")]);
    }

    #[test]
    fn what_nobody_sees_is_taken_off_the_ends_and_told() {
        let text = "\u{feff}甲：a\n \u{200b}\u{200e}乙：b\u{200b}\nc\u{200d}d\n\u{200b}\n";
        let lines = Lines::of(text);
        let raw: Vec<&str> = lines.lines.iter().map(|l| l.raw).collect();
        assert_eq!(raw, ["甲：a", "乙：b", "c\u{200d}d", ""]);
        let told: Vec<(char, Vec<u64>)> = lines.invisible.into_iter().collect();
        assert_eq!(
            told,
            [
                ('\u{200b}', vec![2, 4]),
                ('\u{200e}', vec![2]),
                ('\u{feff}', vec![1])
            ]
        );
    }
}
