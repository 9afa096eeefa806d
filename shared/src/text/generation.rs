//! `{% generation %}` blocks: what the template itself says is the answer.
//!
//! In: a template's source; a rendering with marks. Out: the source with the tags replaced; the text
//! and the ranges between the marks. Keeps: without marks a rendering is what it would be without
//! the tags, for each tag becomes another tag, so that white space goes the same way.
//! The marks are Unicode noncharacters, which no text may hold.

use std::ops::Range;

use minijinja::Value;

/// The filter that stands for the block where it is marked.
pub(super) const FILTER: &str = "_generation";
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// The source for plain text: the block is an `if true`.
pub(super) fn plain(source: &str) -> String {
    replaced(source, "if true", "endif")
}

/// The source for marked text, `None` when there is no such block.
pub(super) fn marking(source: &str) -> Option<String> {
    let marking = replaced(source, &format!("filter {FILTER}"), "endfilter");
    (marking != source).then_some(marking)
}

/// Puts the marks around a block's text.
pub(super) fn mark(text: &Value) -> Value {
    Value::from(format!("{BEGIN}{text}{END}"))
}

/// Whether a text holds a mark.
pub(super) fn holds_mark(text: &str) -> bool {
    text.contains([BEGIN, END])
}

/// The text without marks, and the ranges between them in the order they begin.
pub(super) fn unmarked(marked: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut open = Vec::new();
    for letter in marked.chars() {
        match letter {
            BEGIN => {
                open.push(ranges.len());
                ranges.push(text.len()..text.len());
            }
            END => {
                if let Some(range) = open.pop().and_then(|i: usize| ranges.get_mut(i)) {
                    range.end = text.len();
                }
            }
            other => text.push(other),
        }
    }
    (text, joined(ranges))
}

/// Ranges that touch or lie within each other are one: an answer may be written by several blocks.
fn joined(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => all.push(range),
        }
    }
    all
}

fn replaced(source: &str, begin: &str, end: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(stop) = rest[start..].find("%}").map(|e| start + e) else {
            break;
        };
        let inside = &rest[start + 2..stop];
        let word = inside
            .trim_start_matches(['-', '+'])
            .trim_end_matches(['-', '+'])
            .trim();
        text.push_str(&rest[..start + 2]);
        match word {
            "generation" => text.push_str(&inside.replace(word, begin)),
            "endgeneration" => text.push_str(&inside.replace(word, end)),
            _ => text.push_str(inside),
        }
        text.push_str("%}");
        rest = &rest[stop + 2..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_replaced_with_their_white_space_control() {
        let source = "a {%- generation -%} b {% endgeneration %}{% if x %}";
        assert_eq!(plain(source), "a {%- if true -%} b {% endif %}{% if x %}");
        assert_eq!(
            marking(source).unwrap(),
            "a {%- filter _generation -%} b {% endfilter %}{% if x %}"
        );
        assert_eq!(marking("{% if generation %}"), None);
    }

    #[test]
    fn ranges_are_those_of_the_text_without_marks() {
        let marked = format!("问{BEGIN}答{END}x{BEGIN}{END}{BEGIN}y{END}");
        let (text, ranges) = unmarked(&marked);
        assert_eq!(text, "问答xy");
        // The empty block and the one behind it touch.
        assert_eq!(ranges, [3..6, 7..8]);
    }
}
