//! A line that begins with who speaks: the name and what is said, without what decorates them.
//!
//! In: a line. Out: name, text and what marks the name: a colon, brackets, a time stamp. Read through:
//! list marks and numbers, Markdown's bold and headings, brackets round the name, colons that only look
//! like one, mail addresses and numbers of accounts behind the name. Not here: whether anybody of this
//! name speaks in the file (`roles`).

use super::lines::is_space;
use super::names::{key, without_number};
use super::stamp;

/// What says that the name is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A colon stands behind it.
    Colon,
    /// Brackets or a Markdown heading, without a colon: any heading looks like that.
    Bracket,
    /// A time stamp on a line of its own, the text below it.
    Header,
}

/// The beginning of a turn, if its name is one of a speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpeakerLine<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub mark: Mark,
    /// A time stamp stands before or behind the name.
    pub stamped: bool,
}

const COLONS: &[char] = &[
    ':', '：', '\u{2236}', '\u{fe55}', '\u{fe30}', '\u{fe13}', '\u{2d0}', '\u{a789}', '\u{5c3}',
    '\u{205a}', '\u{f83}',
];
const BRACKETS: &[(char, char)] = &[
    ('【', '】'),
    ('[', ']'),
    ('［', '］'),
    ('「', '」'),
    ('『', '』'),
    ('〖', '〗'),
    ('〔', '〕'),
    ('（', '）'),
    ('(', ')'),
    ('《', '》'),
    ('〈', '〉'),
    ('<', '>'),
    ('{', '}'),
    ('“', '”'),
    ('"', '"'),
    ('＜', '＞'),
    ('{', '}'),
    ('｛', '｝'),
];
const LIST_MARKS: &[char] = &[
    '>', '-', '+', '•', '·', '●', '○', '◆', '◇', '■', '□', '▪', '▸', '►', '▶', '–', '—', '★', '☆',
    '※', '→', '*', '#', '|', '｜', '👤', '🤖', '🧑', '💬', '❓', '✅',
];
const BOLD: &[&str] = &[
    "***",
    "**",
    "__",
    "*",
    "_",
    "``",
    "`",
    "~~",
    "<b>",
    "</b>",
    "<strong>",
    "</strong>",
];
/// Columns of the longest name; a wide character has two.
const LONGEST_NAME: usize = 24;

/// Whether a character is a colon, or looks like one.
pub(super) fn is_colon(c: char) -> bool {
    COLONS.contains(&c)
}

/// The speaker and the text of a line that begins with both.
pub(super) fn speaker_line(line: &str) -> Option<SpeakerLine<'_>> {
    let (rest, stamped) = match stamp::before(line) {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    if rest.is_empty() {
        return None;
    }
    let undecorated = without_marks(rest);
    if let Some((name, text)) = within(undecorated.rest).filter(|(name, _)| is_name(tidy(name))) {
        let (name, mark) = (tidy(name), Mark::Colon);
        return Some(SpeakerLine {
            name,
            text,
            mark,
            stamped: true,
        });
    }
    if let Some((name, text, mark)) = named(undecorated.rest, undecorated.heading) {
        return Some(SpeakerLine {
            name,
            text,
            mark,
            stamped,
        });
    }
    let header = |name| {
        let name = tidy(name);
        is_name(name).then_some(SpeakerLine {
            name,
            text: "",
            mark: Mark::Header,
            stamped: true,
        })
    };
    if stamped {
        return header(rest);
    }
    stamp::behind(line).and_then(header)
}

/// Name and text round a time stamp; a line that ends with one has a name alone.
fn within(line: &str) -> Option<(&str, &str)> {
    if stamp::behind(line).is_some() {
        return None;
    }
    stamp::within(line)
}

struct Undecorated<'a> {
    rest: &'a str,
    heading: bool,
}

/// The line behind list marks, numbers and the marks of a Markdown heading.
fn without_marks(line: &str) -> Undecorated<'_> {
    let mut rest = line.trim_start_matches(is_space);
    let mut heading = false;
    for _ in 0..4 {
        let bold = BOLD.iter().any(|bold| rest.starts_with(bold)) && !rest.starts_with("* ");
        let next = match rest.chars().next() {
            Some(_) if bold => rest,
            Some(c) if LIST_MARKS.contains(&c) => {
                heading |= c == '#';
                rest[c.len_utf8()..].trim_start_matches(is_space)
            }
            _ => numbered(rest).unwrap_or(rest),
        };
        if next.len() == rest.len() {
            break;
        }
        rest = next;
    }
    Undecorated { rest, heading }
}

/// The line behind `1.`, `1、`, `（一）`, `①`, when a name may follow.
fn numbered(line: &str) -> Option<&str> {
    let first = line.chars().next()?;
    if ('①'..='⓿').contains(&first) {
        return Some(line[first.len_utf8()..].trim_start_matches(is_space));
    }
    let number = |c: char| c.is_numeric() || "一二三四五六七八九十".contains(c);
    let inner = line.strip_prefix(['(', '（']);
    let from = inner.unwrap_or(line);
    let rest = from.trim_start_matches(number);
    if rest.len() == from.len() {
        return None;
    }
    let closes: &[char] = match inner {
        Some(_) => &[')', '）'],
        None => &['.', '、', ')', '）', '．', '。'],
    };
    let rest = rest.strip_prefix(closes)?;
    (!rest.starts_with(char::is_numeric)).then(|| rest.trim_start_matches(is_space))
}

/// Name, text and mark of a line without marks before it.
fn named(line: &str, heading: bool) -> Option<(&str, &str, Mark)> {
    let (inside, bold) = open_bold(line);
    if let Some(found) = bracketed(inside, bold) {
        return Some(found);
    }
    let colon = inside.char_indices().find(|(_, c)| is_colon(*c));
    if let Some((at, c)) = colon {
        let (name, text) = (&inside[..at], &inside[at + c.len_utf8()..]);
        let (closed, name) = close_bold(name.trim_end_matches(is_space));
        let name = tidy(name);
        let time = is_time(name, text);
        if is_name(name) && !text.starts_with("//") && !time {
            let text = if bold && !closed {
                without_bold(text)
            } else {
                text
            };
            return Some((name, text.trim_matches(is_space), Mark::Colon));
        }
        return None;
    }
    if !heading && !bold {
        return None;
    }
    let (closed, name) = close_bold(inside.trim_end_matches(is_space));
    let name = tidy(name);
    (is_name(name) && (closed || heading)).then_some((name, "", Mark::Bracket))
}

/// A name between brackets, with or without a colon behind them.
fn bracketed(line: &str, bold: bool) -> Option<(&str, &str, Mark)> {
    let open = line.chars().next()?;
    let (_, close) = *BRACKETS.iter().find(|(begins, _)| *begins == open)?;
    let inner = &line[open.len_utf8()..];
    let at = inner.find(close)?;
    let behind = &inner[at + close.len_utf8()..];
    let name = inner[..at].trim_end_matches(is_colon);
    let name = tidy(close_bold(open_bold(name).0).1);
    if !is_name(name) {
        return None;
    }
    let text = if bold { without_bold(behind) } else { behind };
    let text = text.trim_start_matches(is_space);
    let (mark, text) = match text.strip_prefix(is_colon) {
        Some(text) => (Mark::Colon, text),
        None if inner[..at].ends_with(is_colon) => (Mark::Colon, text),
        None => (Mark::Bracket, text),
    };
    let text = if bold { without_bold(text) } else { text };
    Some((name, text.trim_matches(is_space), mark))
}

fn open_bold(line: &str) -> (&str, bool) {
    let inside = BOLD.iter().find_map(|bold| line.strip_prefix(bold));
    (
        inside.unwrap_or(line).trim_start_matches(is_space),
        inside.is_some(),
    )
}

fn close_bold(name: &str) -> (bool, &str) {
    let inside = BOLD.iter().find_map(|bold| name.strip_suffix(bold));
    (inside.is_some(), inside.unwrap_or(name))
}

fn without_bold(text: &str) -> &str {
    let text = text.trim_start_matches(is_space);
    BOLD.iter()
        .find_map(|bold| text.strip_prefix(bold))
        .unwrap_or(text)
}

/// A name without an account's number or a mail address behind it.
fn tidy(name: &str) -> &str {
    let name = name.trim_matches(is_space).trim_end_matches([',', '，']);
    for (open, close) in [('(', ')'), ('<', '>'), ('（', '）')] {
        if let Some(at) = name.rfind(open)
            && name.ends_with(close)
            && at > 0
        {
            let inner = &name[at + open.len_utf8()..name.len() - close.len_utf8()];
            let account = inner.contains('@')
                || (inner.len() >= 5 && inner.bytes().all(|b| b.is_ascii_digit()));
            if account {
                return name[..at].trim_end_matches(is_space);
            }
        }
    }
    name
}

/// Whether this may be somebody's name: short, of letters and few signs.
fn is_name(name: &str) -> bool {
    let seen = || name.chars().filter(|c| !super::lines::is_invisible(*c));
    let letters = seen().all(|c| {
        c.is_alphanumeric() || c.is_whitespace() || "_-.'’·•#()（）<>〈〉/&*+@".contains(c)
    });
    let width: usize = seen().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    width <= LONGEST_NAME
        && name.split_whitespace().count() <= 4
        && letters
        && (name.chars().any(char::is_alphabetic) || is_account(name))
}

/// Whether a name is the number of an account or of a telephone, some of it perhaps hidden: `8021`,
/// `138****5678`.
fn is_account(name: &str) -> bool {
    let digits = name.chars().filter(char::is_ascii_digit).count();
    let year = digits == 4 && name.len() == 4 && name.starts_with(['1', '2']);
    digits >= 4
        && !year
        && name
            .chars()
            .all(|c| c.is_ascii_digit() || " *+".contains(c))
}

/// Whether a colon stands between the hour and the minutes: `李 14:30`, and not `A1：30天`.
fn is_time(name: &str, text: &str) -> bool {
    let minutes = text.bytes().take_while(u8::is_ascii_digit).count();
    if !name.ends_with(|c: char| c.is_ascii_digit()) || minutes == 0 {
        return false;
    }
    let key = key(name);
    let stem = without_number(&key);
    let spaced = name[..name.trim_end_matches(|c: char| c.is_ascii_digit()).len()]
        .ends_with(char::is_whitespace);
    let behind = text[minutes..].chars().next();
    let clock = minutes == 2 && behind.is_none_or(|c| c.is_whitespace() || is_colon(c));
    let known = super::speakers::known(stem).is_some();
    !known || (spaced && clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<(&str, &str)> {
        speaker_line(line)
            .filter(|s| s.mark == Mark::Colon)
            .map(|s| (s.name, s.text))
    }

    #[test]
    fn decoration_round_a_name_is_read_through() {
        for line in [
            "用户：甲",
            "用户: 甲",
            "用户∶甲",
            "用户﹕甲",
            "用户︰甲",
            "用户꞉甲",
            "- 用户：甲",
            "> 用户：甲",
            "1. 用户：甲",
            "1、用户：甲",
            "（1）用户：甲",
            "（一）用户：甲",
            "①用户：甲",
            "一、用户：甲",
            "**用户**：甲",
            "**用户：** 甲",
            "**用户：甲",
            "__用户__：甲",
            "`用户`：甲",
            "### 用户：甲",
            "【用户】：甲",
            "[用户]: 甲",
            "「用户」：甲",
            "（用户）：甲",
            "**【用户】**：甲",
            "[2024/3/5 14:30:12] 用户: 甲",
            "用户(123456789)：甲",
            "用户<a@b.c>: 甲",
            "用户 : 甲",
            "【用户：】甲",
            "<b>用户</b>：甲",
            "* 用户：甲",
        ] {
            assert_eq!(split(line), Some(("用户", "甲")), "{line}");
        }
        let bracket = speaker_line("【用户】甲").unwrap();
        assert_eq!(
            (bracket.name, bracket.text, bracket.mark),
            ("用户", "甲", Mark::Bracket)
        );
        let heading = speaker_line("### 用户").unwrap();
        assert_eq!(
            (heading.name, heading.text, heading.mark),
            ("用户", "", Mark::Bracket)
        );
        let header = speaker_line("王小明 2024-03-05 14:30:12").unwrap();
        assert_eq!(
            (header.name, header.mark, header.stamped),
            ("王小明", Mark::Header, true)
        );
        for line in [
            "用户 (10:01): 甲",
            "用户(10:01)：甲",
            "用户 10:01：甲",
            "用户 [10:30:05]: 甲",
        ] {
            let found = speaker_line(line).unwrap();
            assert_eq!(
                (found.name, found.text, found.stamped),
                ("用户", "甲", true),
                "{line}"
            );
        }
        assert_eq!(split("8021: 甲"), Some(("8021", "甲")));
        assert_eq!(split("138****5678：甲"), Some(("138****5678", "甲")));
        assert_eq!(split("2024：甲"), None);
        let header = speaker_line("2026-03-01 14:30 张律师").unwrap();
        assert_eq!((header.name, header.mark), ("张律师", Mark::Header));
        let header = speaker_line("2024-03-05 14:30:12 王小明(12345678)").unwrap();
        assert_eq!(header.name, "王小明");
    }

    #[test]
    fn times_addresses_and_sentences_are_no_names() {
        for line in [
            "10:30 开庭",
            "https://a.b",
            "他说，这样：不行",
            "a very long way to say it: no",
            "李 14:30 见",
            "14：30 以后",
            "比例 3:2",
            "第10条 1:1",
            "2024-05-06：休庭",
            "3.5：1",
        ] {
            assert_eq!(split(line), None, "{line}");
        }
        assert_eq!(speaker_line("李 14:30").map(|s| s.mark), Some(Mark::Header));
        assert_eq!(split("A1：30天"), Some(("A1", "30天")));
        assert_eq!(split("客服 2：30元"), Some(("客服 2", "30元")));
        assert_eq!(
            speaker_line("客服 14:30").map(|s| (s.name, s.mark)),
            Some(("客服", Mark::Header))
        );
    }
}
