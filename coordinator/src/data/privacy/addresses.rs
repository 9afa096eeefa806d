//! Postal addresses: a place or a word for one, a road or a village, a number.
//!
//! In: folded text. Out: spans. A city or a district alone is no address, and what is said about
//! courts, laws and cases has numbers too but no road.

use std::ops::Range;

use regex::Regex;

use super::context::{apart, before, each, has, is_han, right};
use super::places::{CITIES, PROVINCES};

const COUNT: &str = "[0-9A-Za-z一二三四五六七八九十百甲乙丙]";
const UNIT: &str = "(?:号楼|号院|号|弄|栋|幢|座|塔|门|单元|室|楼|层|房|户|组)";
/// The characters of which every one of these has one.
const UNITS: &str = "号弄栋幢座塔门元室楼层房户组";
/// Part of a place name: a Chinese address has no comma in it.
const PART: &str = r"[\p{Han}0-9A-Za-z·()（）-]";
const ROADS: &[&str] = &[
    "路",
    "街",
    "道",
    "巷",
    "弄",
    "胡同",
    "村",
    "镇",
    "乡",
    "里",
    "庄",
    "园",
    "苑",
    "小区",
    "社区",
    "大厦",
    "广场",
    "公寓",
    "城",
    "庭",
    "湾",
    "屯",
    "组",
    "府",
    "坊",
    "大楼",
    "新区",
    "开发区",
];
/// Words that no address holds.
const OTHER: &[&str] = &[
    "法院",
    "条例",
    "规定",
    "办法",
    "政府令",
    "文件",
    "字第",
    "决定",
    "通知",
    "案件",
    "民初",
    "民终",
    "刑初",
    "行初",
    "年",
    "地铁",
    "公交",
    "线路",
    "铁路",
    "依据",
    "根据",
    "，",
    "。",
];

const YEAR: &[&str] = &["19", "20"];

/// Number and street in English, with what may stand before and after: a flat, a town, a state, a postcode.
fn english() -> String {
    const WORD: &str = r"[A-Z][A-Za-z]+(?:['’-][A-Za-z]+)*\.?";
    const KINDS: &str = "Streets?|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Terrace|Square|Sq|Parkway|Pkwy|Highway|Hwy|Way|Circle|Cir|Crescent|Close|Alley|Trail|Loop|Row|Plaza|Pike|Turnpike|Gardens|Grove|Mews|Walk|Quay|Wharf|Hill|Heights|Rise";
    const SIDE: &str =
        r"(?:[NSEW]{1,2}\.?|North|South|East|West|Northeast|Northwest|Southeast|Southwest)";
    const UNIT: &str =
        r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Rm|Floor|Level|#)\.? ?[0-9A-Za-z-]{1,6}";
    const CODE: &str = r"[A-Z]{2},? [0-9]{5}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2}|[A-Z]{2} [A-Z][0-9][A-Z] [0-9][A-Z][0-9]";
    let town = format!("(?:, {WORD}(?: {WORD}){{0,2}})");
    let tail = format!("{town}?(?:,? (?:{CODE}))?");
    let street = format!(
        r"[0-9]{{1,5}}(?:-[0-9]{{1,4}})?[A-Z]? (?:{SIDE} )?(?:{WORD}|[0-9]{{1,3}}(?:st|nd|rd|th))(?: {WORD}){{0,3}} (?:{KINDS})\b\.?(?: {SIDE}\b)?"
    );
    format!(r"(?:{UNIT},? )?{street}(?:,? {UNIT})?{tail}|P\.? ?O\.? Box [0-9]{{1,6}}{tail}")
}

/// Finds postal addresses, Chinese and English.
pub(super) struct Addresses {
    known: Regex,
    named: Regex,
    district: Regex,
    road: Regex,
    english: Regex,
}

impl Addresses {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let tail = format!(
            "{COUNT}{{1,6}}(?:[-—]{COUNT}{{1,5}})*{UNIT}(?:[ -]?(?:附|之)?{COUNT}{{1,6}}(?:[-—]{COUNT}{{1,5}})*{UNIT})*(?:[\\p{{Han}}]{{1,8}}?(?:大厦|小区|花园|广场|公寓|家园|苑|大楼|城|府|里|中心)(?:[ -]?{COUNT}{{1,6}}(?:-{COUNT}{{1,5}})*{UNIT})*)?(?:[ -]?[0-9]{{1,5}}(?:-[0-9]{{1,5}})*(?:室|号)?)?"
        );
        Ok(Self {
            known: Regex::new(&format!(
                "(?:{PROVINCES}|{CITIES})(?:省|市|自治区|壮族自治区|回族自治区|维吾尔自治区|特别行政区)?(?: ?{PART}){{0,36}}?{tail}"
            ))?,
            named: Regex::new(&format!(
                "(?:地址|住址|住所地?|住处|家住|住在|居住于|居住在|现住|户籍地?|所在地|居住地|寄到|寄往|送到|送至|位于|坐落于|搬到|搬至)(?:[ :：为是在于()（）]|就是){{0,4}}((?: ?{PART}){{2,36}}?{tail})"
            ))?,
            district: Regex::new(&format!(
                r"\p{{Han}}{{2,5}}(?:区|县|镇|市|乡)\p{{Han}}{{1,8}}(?:路|街|大道|巷|弄|胡同|村|里){tail}"
            ))?,
            road: Regex::new(&format!(
                r"\p{{Han}}{{2,4}}(?:路|大街|街|大道|胡同|巷)(?:[东南西北]段)?{tail}"
            ))?,
            english: Regex::new(&english())?,
        })
    }

    fn chinese(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = each(&self.known, text, |captures| {
            accept(text, captures.get_match().range())
        });
        found.extend(each(&self.named, text, |captures| {
            accept(text, captures.get(1)?.range())
        }));
        for regex in [&self.district, &self.road] {
            found.extend(each(regex, text, |captures| {
                let mut span = captures.get_match().range();
                span.start += lead(&text[span.clone()]);
                accept(text, span)
            }));
        }
        found
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if text.contains(|c| UNITS.contains(c)) {
            found = self.chinese(text);
        }
        if !text.contains(|c: char| c.is_ascii_digit()) {
            return found;
        }
        found.extend(each(&self.english, text, |captures| {
            let span = captures.get_match().range();
            // In `In 2019 Park Avenue was repaved` the number is a year.
            let year = YEAR
                .iter()
                .any(|century| text[span.clone()].starts_with(century));
            let ago = ["in ", "since ", "by ", "during ", "until ", "of "];
            let before = before(text, span.start, 8);
            let dated = year && ago.iter().any(|word| before.ends_with(word));
            (!dated && apart(text, &span)).then_some(span)
        }));
        found
    }
}

fn accept(text: &str, span: Range<usize>) -> Option<Range<usize>> {
    let value = &text[span.clone()];
    let line = right(text, span.end).is_some_and(|c| "线令文法条案码店桌".contains(c));
    let named = value.chars().take_while(|c| is_han(*c)).count() >= 2;
    (!line && named && has(value, ROADS) && !has(value, OTHER)).then_some(span)
}

/// Bytes of the words before a place that are no part of its name.
fn lead(value: &str) -> usize {
    const WORDS: &str = "我你他她们住在于到就的是从去来请寄送搬至往给了把址：";
    let taken: Vec<(usize, char)> = value.char_indices().take(5).collect();
    taken
        .iter()
        .rev()
        .find(|(_, c)| WORDS.contains(*c))
        .map_or(0, |(at, c)| at + c.len_utf8())
}
