//! Chinese names that stand in free text, with nothing before them that says so.
//!
//! In: folded text. Out: spans. A family name and one or two characters after it are weighed: how likely are
//! they as a name, and how likely are the words that the dictionary reads there instead? What stands on both
//! sides (a role, a title, a verb of speech) counts too. The weights are logarithms of shares, so they add up.

use std::cell::Cell;
use std::ops::Range;
use std::sync::OnceLock;

use super::context::is_han;
use super::cues::ROLES;
use super::folded::MARK;
use super::given::{COMPOUND, compound, family, given};
use super::lists::List;
use super::surnames::{NO_NAME, WORDS};
use super::words::{Word, cut, is_word, share, share_of};

/// The share of names among words, and of their lengths.
const PERSON: f64 = -3.6;
const SHORT: f64 = -1.9;
const LONG: f64 = -0.25;
/// Compound family names have given names of both lengths.
const EITHER: f64 = -0.7;
/// From here on it is a name.
const ENOUGH: f64 = 0.0;
/// What the surroundings can add at most.
const MOST: f64 = 12.0;

/// Given names of two characters, one of which is a function word elsewhere.
const PAIRS: &[&str] = &[
    "和平", "向东", "向阳", "向前", "向红", "向荣", "为民", "为国", "在天", "和顺", "应龙", "与时",
];

/// Before a name: weak.
const BEFORE: &[&str] = &[
    "和", "与", "、", "给", "对", "由", "把", "请", "向", "被", "让", "找", "替", "帮", "跟", "听",
    "是", "昨天", "昨晚", "今天", "据", "因", "以及", "要求", "及", "同", "为",
];
/// After a name: strong.
const SAYS: &[&str] = &[
    "辩称",
    "诉称",
    "述称",
    "表示",
    "认为",
    "陈述",
    "主张",
    "先生",
    "女士",
    "小姐",
    "律师",
    "医生",
    "医师",
    "大夫",
    "法官",
    "教授",
    "护士",
    "老师",
    "主任",
    "经理",
    "同学",
    "师傅",
    "名下",
    "说",
    "称",
    "承认",
    "诉",
    "起诉",
    "驾驶",
    "入院",
    "伙同",
    "拒绝",
    "拒不",
    "未到庭",
    "答辩",
    "自述",
    "自诉",
    "主诉",
    "供述",
    "借给",
    "持股",
    "反映",
    "投诉",
    "来电",
    "的妈妈",
    "的儿子",
    "的女儿",
    "的家属",
    "的母亲",
    "的父亲",
    "的妻子",
    "的丈夫",
    "的身份证",
    "的账户",
    "的电话",
    "的手机",
    "警官",
    "书记",
    "大爷",
    "阿姨",
];
/// After a name: weak.
const AFTER: &[&str] = &[
    "的", "于", "在", "向", "因", "与", "和", "、", "把", "将", "对", "被", "给", "昨天", "昨晚",
    "已", "未", "没", "要求", "，", "系", "是", "曾", "及", "等", "今年", "今天",
];
/// After a name of something else.
const THINGS: &[&str] = &[
    "市", "省", "县", "区", "镇", "乡", "村", "路", "街", "大街", "大道", "公司", "集团", "银行",
    "医院", "有限", "股份", "基金", "证券", "保险", "科技", "大学", "中学", "小学", "法院",
];

struct Lists {
    words: List,
    things: List,
    before: List,
    after: List,
}

fn lists() -> &'static Lists {
    static LISTS: OnceLock<Lists> = OnceLock::new();
    LISTS.get_or_init(|| Lists {
        words: List::of_starts(&[(NO_NAME, 0.0)]),
        things: List::of_starts(&[(THINGS, 0.0)]),
        before: List::of_ends(&[(ROLES, 3.0), (BEFORE, 1.0)]),
        after: List::of_starts(&[(SAYS, 3.0), (AFTER, 1.0)]),
    })
}

/// What may be a name, and how much speaks for it.
#[derive(Debug)]
struct Candidate {
    weight: f64,
    span: Range<usize>,
}

/// A text with its words.
struct Read<'t> {
    text: &'t str,
    chars: Vec<(usize, char)>,
    words: Vec<Word<'t>>,
    /// For each character the word it stands in.
    word_of: Vec<usize>,
    /// How surprising each word is, once it was asked.
    shares: Vec<Cell<f64>>,
}

/// Names in a text.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    if !text.contains(|c| family(c).is_some()) {
        return Vec::new();
    }
    let read = Read::new(text);
    let mut candidates: Vec<Candidate> = (0..read.chars.len())
        .flat_map(|at| read.candidates(at))
        .filter(|candidate| candidate.weight >= ENOUGH)
        .collect();
    let before = |a: &Candidate, b: &Candidate| {
        b.weight
            .total_cmp(&a.weight)
            .then(a.span.start.cmp(&b.span.start))
    };
    candidates.sort_by(before);
    let mut kept: Vec<Range<usize>> = Vec::new();
    for Candidate { span, .. } in candidates {
        if kept
            .iter()
            .all(|other| span.end <= other.start || other.end <= span.start)
        {
            kept.push(span);
        }
    }
    kept
}

/// How much speaks for a name of these bytes; nothing where no name can be.
pub(super) fn weight(text: &str, span: &Range<usize>) -> Option<f64> {
    // What is further away does not count.
    let from = text[..span.start]
        .char_indices()
        .rev()
        .nth(11)
        .map_or(0, |(at, _)| at);
    let to = text[span.end..]
        .char_indices()
        .nth(12)
        .map_or(text.len(), |(at, _)| span.end + at);
    let read = Read::new(&text[from..to]);
    let start = read
        .chars
        .iter()
        .position(|(at, _)| *at + from == span.start)?;
    let candidates = read.candidates(start);
    let same = candidates
        .into_iter()
        .find(|c| c.span.start + from == span.start && c.span.end + from == span.end);
    same.map(|candidate| candidate.weight)
}

impl<'t> Read<'t> {
    fn new(text: &'t str) -> Self {
        let words = cut(text);
        let chars: Vec<(usize, char)> = text.char_indices().collect();
        let mut word_of = Vec::with_capacity(chars.len());
        let mut word = 0;
        for (at, _) in &chars {
            while words.get(word).is_some_and(|w: &Word<'_>| w.end() <= *at) {
                word += 1;
            }
            word_of.push(word);
        }
        let shares = vec![Cell::new(f64::NAN); words.len()];
        Self {
            text,
            chars,
            words,
            word_of,
            shares,
        }
    }

    fn share(&self, place: usize) -> f64 {
        let known = &self.shares[place];
        if known.get().is_nan() {
            known.set(share(self.words[place].text));
        }
        known.get()
    }

    fn char(&self, place: usize) -> Option<char> {
        self.chars.get(place).map(|(_, c)| *c)
    }

    fn byte(&self, place: usize) -> usize {
        self.chars.get(place).map_or(self.text.len(), |(at, _)| *at)
    }

    /// Names of both lengths that begin at this character.
    fn candidates(&self, at: usize) -> Vec<Candidate> {
        let mut found = Vec::new();
        let (Some(first), Some(second)) = (self.char(at), self.char(at + 1)) else {
            return found;
        };
        let single = family(first).map(|share| (1, share));
        let double = compound(first, second).then_some((2, COMPOUND));
        for (length, share) in double.into_iter().chain(single) {
            for more in 1..=2 {
                found.extend(self.weigh(at, length, share, more));
            }
        }
        found
    }

    /// A family name of `length` characters and a given name of `more`.
    fn weigh(&self, at: usize, length: usize, family: f64, more: usize) -> Option<Candidate> {
        let end = at + length + more;
        let spelt = self.chars.get(at + length..end)?;
        let mut name = PERSON + family.ln();
        name += match (length, more) {
            (2, _) => EITHER,
            (_, 1) => SHORT,
            _ => LONG,
        };
        let mut usual = true;
        let pair = PAIRS
            .iter()
            .any(|pair| spelt.iter().map(|(_, c)| *c).eq(pair.chars()));
        for (_, c) in spelt {
            let share = if pair { Some(0.0014) } else { given(*c) };
            let share = share.filter(|_| is_han(*c))?;
            usual &= share > 0.0001;
            name += share.ln();
        }
        let twice = more == 2 && spelt[0].1 == spelt[1].1;
        name += if twice { 1.5 } else { 0.0 };
        let span = self.byte(at)..self.byte(end);
        let inside = self.word_of[at]..=self.word_of[end - 1];
        let near = |place: usize| self.words.get(place).is_some_and(Word::is_han);
        let first = inside.start().checked_sub(1).filter(|place| near(*place));
        let first = first.unwrap_or(*inside.start());
        let last = inside.end() + usize::from(near(inside.end() + 1));
        let words = &self.words[first..=last];
        let without: f64 = (first..=last).map(|place| self.share(place)).sum();
        if name + MOST < without + ENOUGH {
            return None;
        }
        if self.is_something_else(&span, end, spelt) {
            return None;
        }
        let left = cut(&self.text[words[0].start..span.start]);
        let right = cut(&self.text[span.end..words[words.len() - 1].end()]);
        let mut weight = name + share_of(&left) + share_of(&right) - without;
        weight += self.known(&span, at, length, more, usual, weight);
        weight += around(&left, &right) + self.beside(&span);
        Some(Candidate { weight, span })
    }

    /// Not a name, whatever the shares say.
    fn is_something_else(&self, span: &Range<usize>, end: usize, spelt: &[(usize, char)]) -> bool {
        let value = &self.text[span.clone()];
        let counted = spelt.len() == 2
            && "一二两三四五六七八九十".contains(spelt[1].1)
            && self
                .char(end)
                .is_some_and(|c| "人名位个口岁年月".contains(c));
        let long = |word: &str| word.len() > 2 * '一'.len_utf8();
        let mut words = lists().words.all_starting(&self.text[span.start..]);
        counted
            || words.any(|word| word == value || long(word))
            || lists().things.starting(&self.text[span.end..]).is_some()
    }

    /// What the dictionary says of the name itself, and whether it comes again.
    fn known(
        &self,
        span: &Range<usize>,
        at: usize,
        length: usize,
        more: usize,
        usual: bool,
        weight: f64,
    ) -> f64 {
        let value = &self.text[span.clone()];
        let mut sum = 0.0;
        if more == 2 || length == 2 {
            let word = &self.words[self.word_of[at]];
            if word.text == value && word.class == "nr" && (usual || length == 2) {
                sum += (2.0 - weight).max(0.0);
            }
        }
        if length == 1 && more == 1 && self.char(at).is_some_and(|c| WORDS.contains(c)) {
            sum -= 2.0;
        }
        if is_word(value) {
            sum -= if length + more == 2 { 3.0 } else { 4.0 };
        }
        if lists().words.starting(value).is_some() {
            sum -= 4.0;
        }
        sum += if length == 2 { 4.0 } else { 0.0 };
        let again = weight + sum > -6.0 && self.text.matches(value).nth(1).is_some();
        sum + if again { 2.0 } else { 0.0 }
    }

    /// What the characters on both sides say.
    fn beside(&self, span: &Range<usize>) -> f64 {
        let (before, after) = (&self.text[..span.start], &self.text[span.end..]);
        // A name that was masked says nothing about its neighbour.
        let free = |c: Option<char>| c.is_none_or(|c| !is_han(c) && c != MARK);
        let mut sum = 0.0;
        sum += if free(before.chars().next_back()) {
            0.7
        } else {
            0.0
        };
        sum += if free(after.chars().next()) { 0.7 } else { 0.0 };
        let told = |found: Option<(&str, f64)>| found.map_or(0.0, |(_, weight)| weight);
        sum + told(lists().before.ending(before)) + told(lists().after.starting(after))
    }
}

/// What the classes of the words on both sides say: people do things, and things are done to them.
fn around(left: &[Word<'_>], right: &[Word<'_>]) -> f64 {
    let mut sum = 0.0;
    if let Some(word) = left.last() {
        let fits = word.class.starts_with(['p', 'c', 'v']);
        sum += if fits || (word.class.starts_with('n') && word.is_long()) {
            0.6
        } else {
            0.0
        };
    }
    if let Some(word) = right.first() {
        sum += match word.class.chars().next() {
            Some('v' | 'p' | 'd') if word.is_long() => 1.2,
            Some('v' | 'p' | 'd' | 'c' | 'u') => 0.5,
            _ => 0.0,
        };
    }
    sum
}
