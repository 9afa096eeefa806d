//! Time stamps of chat exports: `[2024/3/5 14:30:12] `, `昨天 14:30`, `9:15:42 PM`.
//!
//! In: a line. Out: the stamp at its beginning or its end, and the rest. A stamp has a time of day: a date
//! alone is as often a date in a text.

use std::sync::LazyLock;

use regex::Regex;

const DATE: &str = r"(?:\d{4}\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}日?|\d{1,2}[-/.月]\d{1,2}(?:日|[-/.]\d{2,4})?|昨天|今天|前天|(?:星期|周)[一二三四五六日天]|(?i:today|yesterday))";
const TIME: &str = r"(?:(?:凌晨|早上|上午|中午|下午|傍晚|晚上)\s?)?\d{1,2}[:：]\d{2}(?:[:：]\d{2})?(?:[.,]\d{1,6})?(?:Z|[+-]\d{2}:?\d{2})?(?:\s?(?i:[ap]\.?m\.?))?";

fn stamp() -> String {
    format!(r"(?:{DATE}(?:\s*[,，T]?\s*(?:(?:星期|周)[一二三四五六日天]\s*)?)?)?{TIME}")
}

static BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    let stamp = stamp();
    let form = format!(
        r"^(?:[\[(【（<]\s*{stamp}\s*[\])】）>]|{stamp})(?:\s*[-–—|]\s+|\s*[:：,，]\s+|\s+|$)"
    );
    Regex::new(&form).unwrap_or_else(|e| unreachable!("a fixed expression: {e}"))
});
static BEHIND: LazyLock<Regex> = LazyLock::new(|| {
    let stamp = stamp();
    let form = format!(r"(?:\s*[\[(【（<]\s*{stamp}\s*[\])】）>]|[\s,，]\s*{stamp})\s*[:：]?$");
    Regex::new(&form).unwrap_or_else(|e| unreachable!("a fixed expression: {e}"))
});

static WITHIN: LazyLock<Regex> = LazyLock::new(|| {
    let stamp = stamp();
    let form = format!(
        r"^(.{{1,40}}?)(?:\s*[\[(【（<]\s*{stamp}\s*[\])】）>]|\s+{stamp})\s*[:：]\s*(\S.*)$"
    );
    Regex::new(&form).unwrap_or_else(|e| unreachable!("a fixed expression: {e}"))
});

/// What stands before a stamp and behind the colon that follows it: `甲 (10:01)：a`.
pub(super) fn within(line: &str) -> Option<(&str, &str)> {
    let found = WITHIN.captures(line)?;
    let part = |index: usize| found.get(index).map_or("", |part| part.as_str().trim());
    Some((part(1), part(2)))
}

/// The line without the stamp before it.
pub(super) fn before(line: &str) -> Option<&str> {
    BEFORE.find(line).map(|found| line[found.end()..].trim())
}

/// The line without the stamp behind it; something stands before the stamp.
pub(super) fn behind(line: &str) -> Option<&str> {
    let found = BEHIND.find(line).filter(|found| found.start() > 0)?;
    Some(line[..found.start()].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_the_usual_chat_programs_are_taken_off() {
        for line in [
            "[2024/3/5 14:30:12] 甲: a",
            "2024-03-05 14:30:12 甲: a",
            "[17/05/21, 9:15:42 PM] 甲: a",
            "17/05/2021, 21:15 - 甲: a",
            "(2024年3月5日 下午2:30) 甲: a",
            "2024-03-05T14:30:12+08:00 甲: a",
            "昨天 14:30 甲: a",
            "14:30 甲: a",
        ] {
            assert_eq!(before(line), Some("甲: a"), "{line}");
        }
        assert_eq!(before("2026-03-01 14:30"), Some(""));
        for line in [
            "甲 2024-03-05 14:30:12",
            "甲 14:30",
            "甲  2024年3月5日 14:30",
            "甲, [05.03.2024 14:30]",
            "甲（2024-03-05 14:30）",
            "甲 昨天 下午2:30",
        ] {
            let rest = behind(line).map(|rest| rest.trim_end_matches(','));
            assert_eq!(rest, Some("甲"), "{line}");
        }
    }

    #[test]
    fn dates_and_numbers_of_a_text_are_no_stamps() {
        for line in [
            "2024-05-06：休庭",
            "1. 用户：a",
            "第14条",
            "10:30开庭",
            "3：2",
        ] {
            assert_eq!(before(line), None, "{line}");
        }
        for line in ["王医生 2024-03-05", "14:30", "比分是3:2", "张三 3-5"] {
            assert_eq!(behind(line), None, "{line}");
        }
    }
}
