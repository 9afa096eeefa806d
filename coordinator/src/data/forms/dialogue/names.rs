//! Names of speakers in the spelling that they are compared in.
//!
//! In: a name as a file writes it. Out: its key, and shorter names that it may stand for: without
//! parentheses (`客服(小李)`), without a number (`Q1`, `用户2`), without a letter (`客户A`).

use super::lines::is_invisible;

/// A character in its narrow form.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' | '\u{a0}' => ' ',
        _ => c,
    }
}

/// The name in lower case, narrow, with single blanks and none beside a wide character.
pub(super) fn key(name: &str) -> String {
    let shown: String = name
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(narrow)
        .collect();
    let mut key = String::new();
    for word in shown.split_whitespace() {
        let wide = |c: Option<char>| c.is_none_or(|c| !c.is_ascii());
        if !wide(key.chars().next_back()) && !wide(word.chars().next()) {
            key.push(' ');
        }
        key.push_str(&word.to_lowercase());
    }
    key
}

/// The key, then what it says without parentheses, a number, a letter behind it.
pub(super) fn stems(key: &str) -> Vec<String> {
    let mut stems = vec![key.to_owned()];
    let mut add = |stem: &str| {
        let stem = stem.trim_end_matches([' ', '-', '_', '.', '#', '№']);
        if !stem.is_empty() && stems.last().is_none_or(|last| last != stem) {
            stems.push(stem.to_owned());
        }
    };
    let bare = without_parentheses(key);
    add(&bare);
    let numberless = without_number(bare.trim_end());
    add(numberless);
    let letter = |c: char| c.is_ascii_lowercase() || "甲乙丙丁".contains(c);
    if let Some(stem) = numberless.strip_suffix(letter)
        && stem.chars().next_back().is_some_and(|c| !c.is_ascii())
    {
        add(stem);
    }
    stems
}

/// The name without a number at its end; a question's number may stand before it too: `第3问`.
pub(super) fn without_number(key: &str) -> &str {
    let digit = |c: char| c.is_ascii_digit();
    let chinese = |c: char| "一二三四五六七八九十".contains(c);
    if let Some(rest) = key.strip_prefix('第') {
        let rest = rest.trim_start_matches(|c| digit(c) || chinese(c));
        return rest.trim_start_matches('个');
    }
    let stem = key.trim_end_matches(digit);
    let stem = match stem.len() == key.len() {
        true => key.trim_end_matches(chinese),
        false => stem,
    };
    stem.trim_end_matches([' ', '-', '_', '.', '#', '№'])
}

fn without_parentheses(key: &str) -> String {
    let mut depth = 0_usize;
    let outside = |c: &char| match c {
        '(' | '（' | '<' => {
            depth += 1;
            false
        }
        ')' | '）' | '>' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    };
    let bare: String = key.chars().filter(outside).collect();
    bare.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_however_wide_and_spaced_they_are_written() {
        assert_eq!(key("Ｑ１"), "q1");
        assert_eq!(key(" 用 户 "), "用户");
        assert_eq!(key("用\u{200b}户"), "用户");
        assert_eq!(key("Ms.   Wang"), "ms. wang");
    }

    #[test]
    fn a_name_stands_for_what_it_is_without_its_number() {
        assert_eq!(stems("q1"), ["q1", "q"]);
        assert_eq!(stems("用户a"), ["用户a", "用户"]);
        assert_eq!(stems("客服(小李)"), ["客服(小李)", "客服"]);
        assert_eq!(stems("问题一"), ["问题一", "问题"]);
        assert_eq!(stems("第3问"), ["第3问", "问"]);
        assert_eq!(stems("user 2"), ["user 2", "user"]);
        assert_eq!(stems("律师"), ["律师"]);
        assert_eq!(stems("(张三)"), ["(张三)"]);
    }
}
