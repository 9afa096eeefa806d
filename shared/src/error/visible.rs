//! Text of users as messages show it: what cannot be seen is written out.
//!
//! In: any text. Out: the same with invisible characters, blanks of other kinds and control characters as
//! `\u{200b}`. Keeps: everything that an error prints goes through here; nothing in it can steer a terminal;
//! ordinary text of any language stays as it is.

/// The text with every character that cannot be seen written out.
#[must_use]
pub fn visible(text: &str) -> String {
    cells(text).map(|(_, shown)| shown).collect()
}

/// Each character and how it is shown.
pub(super) fn cells(text: &str) -> impl Iterator<Item = (char, String)> {
    let chars: Vec<char> = text.chars().collect();
    (0..chars.len()).map(move |at| {
        let c = chars[at];
        let before = at.checked_sub(1).and_then(|before| chars.get(before));
        let hidden = hides(c, before.copied(), chars.get(at + 1).copied());
        let shown = if hidden {
            c.escape_unicode().to_string()
        } else {
            c.into()
        };
        (c, shown)
    })
}

/// Whether a character cannot be seen, or is a blank that no program takes for one.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{180e}'
            | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}'
            | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// What belongs to the writing around it is not hidden: a joiner between letters or signs of other scripts, the
/// style of an emoji, a wide blank in Chinese text.
fn hides(c: char, before: Option<char>, after: Option<char>) -> bool {
    let other = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !is_invisible(c));
    let style = |c: Option<char>| matches!(c, Some('\u{fe0f}'));
    match c {
        '\u{200c}' | '\u{200d}' => !((other(before) || style(before)) && other(after)),
        '\u{fe00}'..='\u{fe0f}' => !other(before),
        '\u{3000}' => !(other(before) || other(after)),
        c => is_invisible(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for (text, shown) in [
            ("lora_rank\u{200b}", r"lora_rank\u{200b}"),
            ("\u{feff}a\u{a0}b", r"\u{feff}a\u{a0}b"),
            ("a\u{202e}b\u{2066}", r"a\u{202e}b\u{2066}"),
            ("\u{0}\u{7}\u{1b}[2J", r"\u{0}\u{7}\u{1b}[2J"),
            ("a\u{ad}b\u{2028}c\u{85}", r"a\u{ad}b\u{2028}c\u{85}"),
            ("16\u{200d}", r"16\u{200d}"),
            ("x:\u{3000}1", r"x:\u{3000}1"),
            ("\u{e0041}\u{f000}", r"\u{e0041}\u{f000}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "押金能退吗？：“好”",
            "第一条\u{3000}总则",
            "\u{3000}\u{3000}第一条".trim_start_matches('\u{3000}'),
            "👩\u{200d}⚖\u{fe0f} ok",
            "می\u{200c}خواهم",
            "e\u{301}té ünïcode",
            "\u{fffd}",
        ] {
            assert_eq!(visible(text), text);
        }
    }
}
