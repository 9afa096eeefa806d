//! A family name alone, where a title or 老, 小 makes it a person: `张医生`, `王女士`, `老王`, `小李`.
//!
//! In: folded text. Out: spans: the family name without the title, which tells nobody who it is; 老 and 小 with it.

use std::ops::Range;

use regex::Regex;

use super::context::{is_han, left, right};
use super::given::{compound, family};
use super::surnames::{SINGLE, WORDS};
use super::words::cut;

const TITLES: &str = "先生|女士|小姐|律师|医生|医师|大夫|主任|法官|老师|教授|同学|经理|警官|检察官|护士|同志|阿姨|师傅|总监|科长|处长|局长|院长|校长|会计|书记|太太|大爷|大妈|大哥|大姐|奶奶|爷爷|叔叔|总";
/// With one of these behind it a title is part of another word.
const GOES_ON: &str = "事费函证协执团楼程会作人员资力厂单地伤艺期具业";
/// Family names that stand before a title as words: 和医生, 向经理, 任主任.
const OTHER: &str = "和向从那能何相都年别有后查文明老应古";
/// Family names that make other words with 老 and 小: 小白, 老江湖.
const THINGS: &str = "白石金江田高黄马龙花牛米叶毛夏贝孙车";

/// Finds family names alone.
pub(super) struct Titled(Regex);

impl Titled {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Regex::new(TITLES).map(Self)
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = self.before_titles(text);
        found.extend(familiar(text));
        found
    }

    fn before_titles(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for title in self.0.find_iter(text) {
            if !right(text, title.end()).is_some_and(|c| GOES_ON.contains(c)) {
                let short = title.as_str().chars().count() == 1;
                found.extend(family_before(text, title.start(), short));
            }
        }
        found
    }
}

/// The family name that ends here, if a word begins with it.
fn family_before(text: &str, at: usize, short: bool) -> Option<Range<usize>> {
    let mut back = text[..at].char_indices().rev();
    let (start, near) = back.next()?;
    if let Some((far, first)) = back.next()
        && compound(first, near)
    {
        return Some(far..at);
    }
    let share = family(near)?;
    if short && (share < 0.001 || WORDS.contains(near)) {
        return None;
    }
    let inside = left(text, start).is_some_and(is_han);
    if OTHER.contains(near) || WORDS.contains(near) && inside {
        return None;
    }
    begins_a_word(text, start).then_some(start..at)
}

/// A word of the text begins at this byte.
fn begins_a_word(text: &str, at: usize) -> bool {
    let from = text[..at]
        .char_indices()
        .rev()
        .nth(7)
        .map_or(0, |(from, _)| from);
    let to = text[at..]
        .char_indices()
        .nth(6)
        .map_or(text.len(), |(to, _)| at + to);
    cut(&text[from..to])
        .iter()
        .any(|word| word.start + from == at)
}

/// 老王 and 小李: 老 or 小 and the family name are words of their own, and what follows fits a person.
fn familiar(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices(['老', '小']) {
        let name = at + mark.len();
        let Some(c) = right(text, name) else { continue };
        let end = name + c.len_utf8();
        if !SINGLE.contains(c) || WORDS.contains(c) || THINGS.contains(c) {
            continue;
        }
        let from = text[..at]
            .char_indices()
            .rev()
            .nth(5)
            .map_or(0, |(from, _)| from);
        let to = text[end..]
            .char_indices()
            .nth(5)
            .map_or(text.len(), |(to, _)| end + to);
        let words = cut(&text[from..to]);
        let place = |at: usize| words.iter().position(|word| word.start + from == at);
        let Some(first) = place(at) else { continue };
        // The dictionary has a few of them as persons.
        let whole = words[first].end() + from == end && words[first].class == "nr";
        let second = if whole { Some(first) } else { place(name) };
        let Some(second) = second.filter(|second| words[*second].end() + from == end) else {
            continue;
        };
        let counted = first.checked_sub(1).map(|before| words[before]);
        if counted.is_some_and(|word| word.is_han() && word.class.starts_with(['d', 'm'])) {
            continue;
        }
        let next = words.get(second + 1).filter(|word| word.is_han());
        let fits = next.is_none_or(|word| {
            word.class.starts_with(['v', 'p', 'd', 'c', 'u', 'r', 't']) && word.text != "后"
                || word.text == "把"
        });
        if fits {
            found.push(at..end);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        Titled::new()
            .unwrap()
            .find(text)
            .into_iter()
            .map(|span| &text[span])
            .collect()
    }

    #[test]
    fn titles_and_familiar_names_are_found_and_words_are_not() {
        assert_eq!(names("张医生您好，欧阳老师也在"), ["张", "欧阳"]);
        assert_eq!(names("小李今天没来上班"), ["小李"]);
        for text in [
            "和医生商量",
            "项目经理和产品经理",
            "小白兔",
            "老江湖都知道",
            "本律师认为",
            "施工单位",
        ] {
            assert!(names(text).is_empty(), "{text}: {:?}", names(text));
        }
    }
}
