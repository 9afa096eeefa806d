//! Numbers that say themselves what they are: resident numbers, bank cards, plates, e-mail.
//!
//! In: folded text. Out: spans. Precision comes from checksums, issuers and neighbours.

use std::ops::Range;

use regex::Regex;

use super::context::{alone, apart, before, digits, each, has, left, right};
use super::digits::{is_old_resident_id, is_resident_id, luhn};

const ID_WORDS: &[&str] = &[
    "身份证",
    "身份号码",
    "证件号",
    "id card",
    "id number",
    "id no",
    "identity",
];
const CARD_WORDS: &[&str] = &[
    "银行卡",
    "卡号",
    "信用卡",
    "储蓄卡",
    "借记卡",
    "账号",
    "账户",
    "帐号",
    "帐户",
    "card",
    "account",
    "acct",
    "visa",
    "mastercard",
    "银联",
    "开户行",
    "工行",
    "建行",
    "农行",
    "中行",
    "招行",
    "银行",
];
/// What a number is called that is nobody's card or telephone.
pub(super) const ORDER_WORDS: &[&str] = &[
    "订单",
    "单号",
    "流水",
    "编号",
    "序列号",
    "条码",
    "货号",
    "型号",
    "发票",
    "快递单",
    "快递号",
    "运单",
    "案号",
    "order",
    "invoice",
    "tracking",
    "serial",
    "sku",
    "isbn",
    "imei",
    "barcode",
    "ticket",
    "part no",
    "version",
    "批号",
    "商品码",
    "qq",
];

/// Resident numbers of the People's Republic.
pub(super) struct Ids {
    whole: Regex,
    old: Regex,
}

impl Ids {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            whole: Regex::new(
                r"[1-9][0-9]{5}[ -]?(?:19|20)[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{3}[0-9Xx]",
            )?,
            old: Regex::new(r"[1-9][0-9]{14}")?,
        })
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = each(&self.whole, text, |captures| {
            let span = captures.get_match().range();
            let plain: String = text[span.clone()]
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            let free = alone(text, &span)
                && !right(text, span.end).is_some_and(|c| c.is_ascii_alphanumeric());
            (free && is_resident_id(&plain)).then_some(span)
        });
        found.extend(each(&self.old, text, |captures| {
            let span = captures.get_match().range();
            let named = has(&before(text, span.start, 16), ID_WORDS);
            (named && alone(text, &span) && is_old_resident_id(&text[span.clone()])).then_some(span)
        }));
        found
    }
}

/// Finds numbers of bank cards.
pub(super) struct Cards {
    whole: Regex,
    grouped: Regex,
}

impl Cards {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            whole: Regex::new("[0-9]{13,19}")?,
            grouped: Regex::new(
                r"[0-9]{4}(?:[ -]{1,2}[0-9]{4}){2,3}(?:[ -]{1,2}[0-9]{1,4})?|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5}|[0-9]{6}[ -][0-9]{10,13}",
            )?,
        })
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = each(&self.whole, text, |captures| {
            let span = captures.get_match().range();
            is_card(text, &span).then_some(span)
        });
        found.extend(each(&self.grouped, text, |captures| {
            let span = captures.get_match().range();
            is_card(text, &span).then_some(span)
        }));
        found
    }
}

fn is_card(text: &str, span: &Range<usize>) -> bool {
    let number = digits(&text[span.clone()]);
    if !(13..=19).contains(&number.len()) || !alone(text, span) || !luhn(&number) {
        return false;
    }
    if right(text, span.end).is_some_and(|c| c.is_ascii_alphabetic()) {
        return false;
    }
    let near = before(text, span.start, 20);
    if has(&near, CARD_WORDS) {
        return true;
    }
    let glued = left(text, span.start).is_some_and(|c| c.is_ascii_alphabetic());
    !glued && !has(&before(text, span.start, 12), ORDER_WORDS) && has_issuer(&number)
}

/// Prefix and length of a scheme; what is left needs a word such as 卡号 before it.
fn has_issuer(number: &str) -> bool {
    let prefix = |digits: usize| number[..digits].parse::<u32>().unwrap_or_default();
    let (two, four) = (prefix(2), prefix(4));
    match number.len() {
        14 => matches!(two, 30 | 36 | 38),
        15 => matches!(two, 34 | 37),
        16 => {
            matches!(two, 40..=49 | 51..=55 | 62 | 65 | 35)
                || (2221..=2720).contains(&four)
                || matches!(four, 6011 | 6013)
        }
        17..=19 => two == 62 || matches!(four, 6013 | 9558),
        _ => false,
    }
}

/// Finds e-mail addresses.
pub(super) struct Emails(Regex);

impl Emails {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Regex::new(
            r"[A-Za-z0-9][A-Za-z0-9._%+-]*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,24}",
        )
        .map(Self)
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        const PICTURES: &[&str] = &[".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"];
        each(&self.0, text, |captures| {
            let span = captures.get_match().range();
            let address = text[span.clone()].to_lowercase();
            let picture = PICTURES.iter().any(|ending| address.ends_with(ending));
            (!picture && apart(text, &span)).then_some(span)
        })
    }
}

/// Licence plates, those of new energy vehicles included.
pub(super) struct Plates(Regex);

impl Plates {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Regex::new(
            "(?i)[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][a-hj-np-z][·•.・ -]?(?:[0-9]{5}[df]|[df][a-hj-np-z0-9][0-9]{4}|[a-hj-np-z0-9]{4}[a-hj-np-z0-9挂学警港澳])",
        )
        .map(Self)
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        each(&self.0, text, |captures| {
            let span = captures.get_match().range();
            let numeric = digits(&text[span.clone()]).len() >= 2;
            let free = !right(text, span.end).is_some_and(|c| c.is_ascii_alphanumeric());
            (numeric && free).then_some(span)
        })
    }
}
