//! Telephone numbers: Chinese mobile and landline, international ones, others where a word says so.

use std::ops::Range;

use regex::Regex;

use super::context::{alone, before, digits, each, has, left, right};
use super::numbers::ORDER_WORDS;

const PHONE_WORDS: &[&str] = &[
    "电话", "手机", "座机", "固话", "传真", "致电", "来电", "拨打", "拨", "联系", "热线", "号码",
    "微信", "tel", "phone", "mobile", "cell", "call", "whatsapp", "wechat", "fax", "text me",
    "contact", "reach", "dial", "ring",
];
/// Words of Latin letters that may touch a mobile number.
const GLUED: &[&str] = &[
    "tel", "phone", "mobile", "mob", "cell", "wechat", "wx", "vx", "v", "t", "m", "p",
];

/// Finds telephone numbers.
pub(super) struct Phones {
    mobile: Regex,
    landline: Regex,
    international: Regex,
    american: Regex,
    named: Regex,
}

impl Phones {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            mobile: Regex::new(
                r"(?:[(（]?(?:\+|00)86[)）]?[ -]?|86[ -])?1[3-9][0-9](?:[ -]?[0-9]{4}[ -]?[0-9]{4}|[ -][0-9]{3}[ -][0-9]{5})",
            )?,
            landline: Regex::new(
                r"(?:(?:\+|00)86[ -]?)?[(（]?(0?(?:10|2[0-9]|[3-9][0-9]{2}))[)）]?([ -]{0,3})([2-8][0-9]{2,3}[ -]?[0-9]{4})(?:(?:转|-|ext\.? ?|x)[0-9]{1,6})?",
            )?,
            international: Regex::new(
                r"(?:\+|00)[1-9][0-9]{0,2}(?:[ .-]?(?:\([0-9]{1,4}\)|[0-9]+)){1,6}",
            )?,
            american: Regex::new(
                r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
            )?,
            named: Regex::new(
                r"(?i)(?:电话|手机|座机|固话|传真|致电|拨打|whatsapp|tel(?:ephone)?|phone|mobile|cell|fax|call (?:me|us|him|her)|reach (?:me|us|him|her))(?: ?(?:号码|号|number|no\.?))?(?:[ :：为是at#on]|[(（]|就是){0,6}(\(?[0-9][0-9 ().-]{5,17}[0-9])",
            )?,
        })
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = each(&self.mobile, text, |captures| {
            let span = captures.get_match().range();
            (alone(text, &span) && is_free(text, &span)).then_some(span)
        });
        found.extend(each(&self.landline, text, |captures| {
            let span = captures.get_match().range();
            let part = |at: usize| captures.get(at).map_or("", |part| part.as_str());
            let (area, between, local) = (part(1), part(2), digits(part(3)));
            let abroad = !area.starts_with('0');
            let written = text[span.clone()].starts_with(['+', '0', '(', '（']);
            let closed = !between.is_empty() || text[span.clone()].contains([')', '）']);
            let long = area.trim_start_matches('0').len() == 2;
            let fits = if long {
                local.len() == 8
            } else {
                local.len() >= 7
            };
            let named = has(&before(text, span.start, 14), PHONE_WORDS);
            let right_form = written && (!abroad || text[span.clone()].contains("86"));
            let sure = named || closed || (long && !abroad);
            (right_form && fits && sure && alone(text, &span) && is_free(text, &span))
                .then_some(span)
        }));
        found.extend(each(&self.international, text, |captures| {
            let span = captures.get_match().range();
            let count = digits(&text[span.clone()]).len();
            let plus = text[span.clone()].starts_with('+');
            let named = has(&before(text, span.start, 16), PHONE_WORDS);
            let sum = left(text, span.start).is_some_and(|c| c.is_ascii_alphanumeric());
            ((9..=15).contains(&count)
                && !sum
                && (plus || named)
                && alone(text, &span)
                && is_free(text, &span))
            .then_some(span)
        }));
        found.extend(each(&self.american, text, |captures| {
            let span = captures.get_match().range();
            let named = has(&before(text, span.start, 24), PHONE_WORDS);
            let closed = text[span.clone()].contains('(');
            let free = alone(text, &span) && is_free(text, &span);
            ((named || closed) && free && !is_hotline(&text[span.clone()])).then_some(span)
        }));
        found.extend(each(&self.named, text, |captures| {
            let span = captures.get(1)?.range();
            let count = digits(&text[span.clone()]).len();
            let personal = (7..=13).contains(&count) && !is_hotline(&text[span.clone()]);
            (personal && alone(text, &span)).then_some(span)
        }));
        found
    }
}

/// A company's number that costs the caller nothing.
fn is_hotline(number: &str) -> bool {
    let digits = digits(number);
    digits.len() == 10 && (digits.starts_with("400") || digits.starts_with("800"))
}

/// Neither glued to a code, nor the number of an order, nor a quantity.
fn is_free(text: &str, span: &Range<usize>) -> bool {
    let glued = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if right(text, span.end).is_some_and(glued) {
        return false;
    }
    let letters: Vec<char> = text[..span.start]
        .chars()
        .rev()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let word: String = letters.iter().rev().collect::<String>().to_lowercase();
    if !word.is_empty() && !GLUED.contains(&word.as_str()) {
        return false;
    }
    let hyphened = left(text, span.start).is_some_and(|c| matches!(c, '-' | '_' | '/' | '#'));
    let unit = right(text, span.end).is_some_and(|c| "元万亿股吨件个美%％".contains(c));
    let near = before(text, span.start, 14);
    let order = has(&near, ORDER_WORDS) && !has(&near, &["电话", "手机", "phone", "tel", "联系"]);
    !hyphened && !unit && !order
}
