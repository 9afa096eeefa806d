//! What only a word beside it makes personal: passports, medical records; and amounts of money.

use std::ops::Range;

use regex::Regex;

use super::context::{alone, apart, digits, each, left};

/// Passports and travel permits.
pub(super) struct Passports(Regex);

impl Passports {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Regex::new(
            r"(?i)(?:护照|通行证|旅行证|回乡证|台胞证|passport|travel document|travel permit)[^0-9\n。；;]{0,24}?([a-z]{1,2}[ -]?[0-9]{6,9}|[0-9]{8,10})|([a-z]{1,2}[0-9]{7,8}|[0-9]{9})号?的?(?:护照|通行证)",
        )
        .map(Self)
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        each(&self.0, text, |captures| {
            let span = captures.get(1).or_else(|| captures.get(2))?.range();
            (apart(text, &span) && alone(text, &span)).then_some(span)
        })
    }
}

/// Numbers of medical records.
pub(super) struct Records(Regex);

impl Records {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Regex::new(
            r"(?i)(?:病历|病案|住院|门诊|急诊|就诊卡?|诊疗卡|登记|档案|检查|检验|影像|病理)(?:编|卡|登记)?(?:号码|号)[\s:：#为是()（）.]{0,6}([a-z]{0,4}-?[0-9][0-9a-z-]{3,15})|(?:\bMRN|medical record(?: number| no\.?| #)?|patient (?:id|number|no\.?)|chart (?:number|no\.?)|hospital (?:number|no\.?))[\s:：#()]{0,4}(?:is |was |of )?([a-z]{0,4}-?[0-9][0-9a-z-]{3,15})",
        )
        .map(Self)
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        each(&self.0, text, |captures| {
            let mut span = captures.get(1).or_else(|| captures.get(2))?.range();
            let value = text[span.clone()].trim_end_matches('-');
            span.end = span.start + value.len();
            (digits(value).len() >= 4 && apart(text, &span)).then_some(span)
        })
    }
}

/// Finds amounts of money.
pub(super) struct Amounts {
    signed: Regex,
    counted: Regex,
    written: Regex,
}

impl Amounts {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            signed: Regex::new(
                r"(?i)(?:人民币|rmb|cny|usd|eur|gbp|hk\$|us\$|[¥￥$€£]) ?[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?(?: ?(?:million|billion|thousand|[km]\b)|[十百千万亿]+)?[元圆]?整?",
            )?,
            counted: Regex::new(
                r"(?i)[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)? ?(?:million |billion |thousand )?(?:[十百千万亿]*余?(?:元|圆|美元|港元|欧元|英镑|人民币)整?|(?:u\.?s\.? )?dollars|yuan|rmb|usd|cny|euros?|pounds)",
            )?,
            written: Regex::new(
                "[零壹贰叁肆伍陆柒捌玖拾佰仟万亿]{2,}[元圆](?:整|正|[零壹贰叁肆伍陆柒捌玖角分]+)?|[一二三四五六七八九十百千万亿两零〇]+余?元整?",
            )?,
        })
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let whole = |span: Range<usize>| {
            let digit = |c: char| c.is_ascii_digit() || c == '.';
            (!left(text, span.start).is_some_and(digit)).then_some(span)
        };
        let mut found = Vec::new();
        for regex in [&self.signed, &self.counted, &self.written] {
            found.extend(each(regex, text, |captures| {
                whole(captures.get_match().range())
            }));
        }
        found
    }
}
