//! Characters that look like those of a configuration and are others.
//!
//! In: a key, a value or a path as it was written. Out: what is odd in it, in words, and the same text in the
//! characters that were meant. Keeps: text without such characters is its own and nothing is said of it.

use crate::error::is_invisible;

/// Letters of other alphabets that look like Latin ones, each before the one it looks like.
const LETTERS: &str = "аaеeоoрpсcуyхxіiјjѕsԁdһhԛqԝwѵvАAВBЕEКKМMНHОOРPСCТTУYХXІIЈJЅS\
    αaοoνvρpιiΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX";

/// The ASCII character that another one is mistaken for, a blank for those that only separate.
pub(super) fn ascii(c: char) -> Option<char> {
    let code = u32::from(c);
    let digit = |first: u32| char::from_digit(code - first, 10);
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(code - 0xfee0),
        '∶' | '﹕' | '︰' | 'ː' | '꞉' | '։' => Some(':'),
        '、' | '﹐' | '‚' | '،' => Some(','),
        '。' | '｡' | '﹒' | '․' => Some('.'),
        '‘' | '’' | '‛' | '′' | 'ʼ' | '´' => Some('\''),
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' | '「' | '」' => Some('"'),
        '\u{2010}'..='\u{2015}' | '−' | '﹣' | '⁃' => Some('-'),
        '⁄' | '∕' => Some('/'),
        '∖' | '⧵' => Some('\\'),
        '【' | '〔' => Some('['),
        '】' | '〕' => Some(']'),
        '⩵' => Some('='),
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        '\u{966}'..='\u{96f}' => digit(0x966),
        '\u{1d7ce}'..='\u{1d7ff}' => char::from_digit((code - 0x1d7ce) % 10, 10),
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Some(' ')
        }
        c if !c.is_ascii() => {
            let mut pairs = LETTERS.chars().zip(LETTERS.chars().skip(1)).step_by(2);
            pairs.find(|(other, _)| *other == c).map(|(_, latin)| latin)
        }
        _ => None,
    }
}

/// The text in the characters that were meant: look-alikes as ASCII, invisible ones left out.
pub(super) fn meant(text: &str) -> String {
    let one = |c: char| match ascii(c) {
        Some(c) => Some(c),
        None if is_invisible(c) && c != '\t' && c != '\n' => None,
        None => Some(c),
    };
    text.chars().filter_map(one).collect()
}

/// Which characters of the text are not what they look like; nothing where there are none.
pub(super) fn told(text: &str) -> Option<String> {
    let mut odd: Vec<char> = Vec::new();
    for c in text.chars() {
        let hidden = is_invisible(c) && c != '\t' && c != '\n';
        if (hidden || ascii(c).is_some()) && !odd.contains(&c) {
            odd.push(c);
        }
    }
    let one = |c: &char| {
        let code = format!("U+{:04X}", u32::from(*c));
        match ascii(*c) {
            Some(' ') => format!("{code}, which is no blank"),
            Some(like) => format!("`{c}` ({code}), which is not `{like}`"),
            None => format!("{code}, which cannot be seen"),
        }
    };
    let words: Vec<String> = odd.iter().take(4).map(one).collect();
    (!words.is_empty()).then(|| format!("it holds {}", words.join(", and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_named_and_what_was_meant_is_found() {
        for (text, told_text, meant_text) in [
            (
                "１６",
                "it holds `１` (U+FF11), which is not `1`, and `６` (U+FF16), which is not `6`",
                "16",
            ),
            ("16\u{200b}", "it holds U+200B, which cannot be seen", "16"),
            ("1e−4", "it holds `−` (U+2212), which is not `-`", "1e-4"),
            ("a\u{a0}b", "it holds U+00A0, which is no blank", "a b"),
            ("lоra", "it holds `о` (U+043E), which is not `o`", "lora"),
            (
                "“a”",
                "it holds `“` (U+201C), which is not `\"`, and `”` (U+201D), which is not `\"`",
                "\"a\"",
            ),
            ("٣", "it holds `٣` (U+0663), which is not `3`", "3"),
        ] {
            assert_eq!(told(text).as_deref(), Some(told_text));
            assert_eq!(meant(text), meant_text);
        }
    }

    #[test]
    fn ordinary_text_is_what_was_meant() {
        for text in ["lora_rank", "./数据/法律", "é", "a\tb"] {
            assert_eq!((told(text), meant(text).as_str()), (None, text));
        }
    }

    #[test]
    fn letters_stand_in_pairs() {
        let letters: Vec<char> = LETTERS.chars().collect();
        for pair in letters.chunks(2) {
            assert!(
                !pair[0].is_ascii() && pair[1].is_ascii_alphabetic(),
                "{pair:?}"
            );
        }
    }
}
