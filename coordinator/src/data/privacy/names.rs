//! Names of people, where a rule can know: behind a label, a role, "my name is", before 先生.
//!
//! In: folded text. Out: spans of the name alone. Once found, a name is replaced wherever it stands
//! in the sample (see `mod`). Names that nothing points at are weighed in `free`, those of other languages in
//! `foreign`, family names alone in `titled`.

use std::ops::Range;

use regex::Regex;

use super::context::{each, is_han, left};
use super::english::English;
use super::english_free::EnglishFree;
use super::foreign::Foreign;
use super::free;
use super::surnames::{DOUBLE, NO_NAME, SINGLE, WORDS};
use super::titled::Titled;

/// What a name stands behind, with a colon or a word such as 是.
const LABELS: &str = "姓名|名字|户名|收件人|收货人|联系人|紧急联系人|持卡人|开户人|户主|经办人|负责人|监护人|主治医师|主治医生|管床医生|主管医师|审判长|审判员|书记员|法定代表人|委托诉讼代理人|委托代理人|诉讼代理人|代理人|原告人?|被告人?|上诉人|被上诉人|申请人|被申请人|再审申请人|被执行人|申请执行人|第三人|当事人|证人|委托人|被害人|受害人|犯罪嫌疑人|嫌疑人|借款人|出借人|担保人|保证人|债务人|债权人|承租人|出租人|买受人|出卖人|买方|卖方|甲方|乙方|丙方|投保人|被保险人|受益人|患者姓名|患者|病人|病员|家属|客户|学员|学生|员工|房东|租客|业主|签名|签字";
/// Roles before which a name stands without a colon.
const ROLES: &str = "原告|被告人?|上诉人|被上诉人|申请人|被申请人|被执行人|第三人|证人|委托人|被害人|受害人|犯罪嫌疑人|嫌疑人|借款人|出借人|担保人|保证人|债务人|债权人|承租人|出租人|患者|病人|法定代表人|代理人|房东|同事|朋友|丈夫|妻子|儿子|女儿|父亲|母亲|邻居|老板|司机|业主";
const TITLES: &str = "先生|女士|小姐|律师|医生|医师|大夫|主任|法官|老师|教授|同学|经理|警官|检察官|护士|同志|阿姨|师傅|总监";
/// What may follow a name without a mark between them.
const FOLLOWS: &[&str] = &[
    "诉",
    "称",
    "因",
    "与",
    "及",
    "在",
    "系",
    "是",
    "的",
    "已",
    "将",
    "就",
    "对",
    "说",
    "为",
    "均",
    "应",
    "辩",
    "欠",
    "驾",
    "并",
    "被",
    "把",
    "给",
    "让",
    "从",
    "也",
    "还",
    "又",
    "或",
    "等",
    "自",
    "向",
    "借",
    "拒",
    "拖",
    "签",
    "租",
    "和",
    "提",
    "未",
    "否",
    "不",
    "没",
    "找",
    "要",
    "想",
    "承认",
    "认为",
    "主张",
    "陈述",
    "表示",
    "同意",
    "支付",
    "入院",
    "出生",
    "患",
    "主诉",
    "今年",
    "现年",
    "现住",
    "住",
    "身份证",
    "电话",
    "手机",
    "性别",
    "年龄",
    "联系",
    "先生",
    "女士",
    "小姐",
    "律师",
    "于",
    "共",
    "到",
    "来",
    "之",
    "一案",
    "，",
    "男",
    "女",
    "去",
    "打",
    "骗",
    "替",
    "帮",
    "跟",
    "告",
    "至今",
    "谢谢",
    "麻烦",
    "请",
    "卖",
    "买",
    "收",
    "用",
    "后",
    "前",
    "问",
    "上班",
    "昨",
    "今",
    "这",
    "那",
    "曾",
    "有",
    "家",
    "名下",
    "本人",
];
/// Han characters that a given name hardly holds.
const NOT_GIVEN: &str = "的了是在不与及或某为被把给让从也又这那你我他她它们吗呢吧啊么诉称据条款元年日号案人事因已将就对说均应系欠还未否没要借拒拖签租提住男女患替跟请找问带";
const ORGANISATIONS: &[&str] = &[
    "公司",
    "集团",
    "银行",
    "医院",
    "学校",
    "大学",
    "有限",
    "委员会",
    "厂",
    "中心",
    "政府",
    "法院",
    "事务所",
    "协会",
    "商店",
    "超市",
    "酒店",
    "合作社",
    "科技",
    "企业",
];

/// How sure the words before make it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// "My name is": nothing but a name can follow.
    Own,
    /// A label with a colon.
    Label,
    /// A label with a verb, or "I am".
    Verb,
    /// A role, which sentences without a name begin with too.
    Role,
}

/// Finds names of people behind what points at them.
pub(super) struct Names {
    label: Regex,
    role: Regex,
    own: Regex,
    being: Regex,
    title: Regex,
    dotted: Regex,
    titled: Titled,
    foreign: Foreign,
    english: English,
    english_free: EnglishFree,
}

impl Names {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            label: Regex::new(&format!(
                r"(?:{LABELS})(?: ?[(（\[][^（）()\n]{{0,16}}[)）\]])?[ 一二三1-9]{{0,2}}([:：]|是|为|叫)\s*"
            ))?,
            role: Regex::new(&format!("(?:{ROLES}) ?"))?,
            own: Regex::new(
                "(?:我叫|我名叫|我的名字(?:是|叫)|名字叫|名叫|叫做|我姓名(?:是|为)?|姓名 ?|本人)(?:做)? ?[:：]? ?|(?:户名|收件人|收货人|联系人|持卡人)[ :：]+",
            )?,
            being: Regex::new(
                r"(?:^|[，。！？,.!\s])(?:你好|您好)?[，, ]?(?:我|这里|这边|本人)是 ?",
            )?,
            title: Regex::new(TITLES)?,
            dotted: Regex::new(&format!(
                r"(?:{LABELS}|{ROLES}|我叫|姓名)\s?[:：是为]?\s?(\p{{Han}}{{2,6}}[·•]\p{{Han}}{{2,6}})"
            ))?,
            titled: Titled::new()?,
            foreign: Foreign::new()?,
            english: English::new()?,
            english_free: EnglishFree::new()?,
        })
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = self.chinese(text);
        found.extend(each(&self.dotted, text, |captures| {
            Some(captures.get(1)?.range())
        }));
        if text.contains(is_han) {
            found.extend(free::find(text));
            found.extend(self.titled.find(text));
            found.extend(self.foreign.find(text));
        }
        if text.contains(char::is_uppercase) {
            found.extend(self.english.find(text));
            found.extend(self.english_free.find(text));
        }
        found
    }

    fn chinese(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for captures in self.label.captures_iter(text) {
            let colon = matches!(captures.get(1).map_or("", |m| m.as_str()), ":" | "：");
            let lead = if colon { Lead::Label } else { Lead::Verb };
            found.extend(name_at(text, captures.get_match().end(), lead));
        }
        for at in self.role.find_iter(text) {
            found.extend(name_at(text, at.end(), Lead::Role));
        }
        for at in self.own.find_iter(text) {
            let lead = if at.as_str().starts_with("本人") {
                Lead::Role
            } else {
                Lead::Own
            };
            found.extend(name_at(text, at.end(), lead));
        }
        for at in self.being.find_iter(text) {
            let span = name_at(text, at.end(), Lead::Verb).filter(|span| {
                let mark = |c: char| !is_han(c);
                let tail = left(text, span.end).unwrap_or(' ');
                text[span.end..].chars().next().is_none_or(mark)
                    && !"人生者员师户工主民".contains(tail)
            });
            found.extend(span);
        }
        for at in self.title.find_iter(text) {
            let next = text[at.end()..].chars().next().unwrap_or(' ');
            if !"事费函证协执团楼".contains(next) {
                found.extend(name_before(text, at.start()));
            }
        }
        found
    }
}

fn is_surname(c: char) -> bool {
    SINGLE.contains(c)
}

fn starts_no_name(text: &str) -> bool {
    NO_NAME.iter().any(|word| text.starts_with(word))
}

fn given(c: char) -> bool {
    is_han(c) && !NOT_GIVEN.contains(c)
}

/// The name that begins here: family name and one or two characters.
fn name_at(text: &str, at: usize, lead: Lead) -> Option<Range<usize>> {
    let rest = &text[at..];
    let first = rest.chars().next()?;
    let double = DOUBLE.iter().any(|name| rest.starts_with(name));
    let family = if double { 2 } else { 1 };
    if !(double || is_surname(first)) || names_house(rest) {
        return None;
    }
    let end_of = |characters: usize| -> Option<usize> {
        let mut end = at;
        for (place, c) in rest.chars().take(characters).enumerate() {
            if place >= family && !given(c) {
                return None;
            }
            end += c.len_utf8();
        }
        (rest.chars().take(characters).count() == characters).then_some(end)
    };
    let (short, long) = (end_of(family + 1), end_of(family + 2));
    let marked = |end: &usize| text[*end..].chars().next().is_none_or(|c| !is_han(c));
    if starts_no_name(rest) {
        // Somebody may be called 周一鸣, but 周一 alone is a day.
        return long
            .filter(marked)
            .filter(|_| lead == Lead::Own)
            .map(|end| at..end);
    }
    let found = likeliest(text, at, [long, short]);
    if lead == Lead::Role && !double && WORDS.contains(first) {
        let says = |end: &usize| {
            ["诉称", "辩称", "述称", "一案"]
                .iter()
                .any(|w| text[*end..].starts_with(w))
        };
        return found.filter(says).map(|end| at..end);
    }
    let free = matches!(lead, Lead::Own | Lead::Label);
    found.or(long.filter(|_| free)).map(|end| at..end)
}

/// Which of two ends the words around speak for. In `王明辩称` the name can end before 辩 and before 称.
fn likeliest(text: &str, at: usize, both: [Option<usize>; 2]) -> Option<usize> {
    let weighed = both.into_iter().flatten().filter_map(|end| {
        let weight = free::weight(text, &(at..end));
        let fits = ends(&text[end..]) || weight.is_some_and(|weight| weight >= 0.0);
        fits.then_some((end, weight.unwrap_or(f64::MIN)))
    });
    // Of equal ones the first, which is the longer.
    let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(end, _)| end)
}

/// A name can end before this.
fn ends(rest: &str) -> bool {
    rest.chars().next().is_none_or(|c| !is_han(c))
        || FOLLOWS.iter().any(|word| rest.starts_with(word))
}

/// The unbroken Chinese run up to a word that ends a name is that of a company.
fn names_house(rest: &str) -> bool {
    let run: String = rest.chars().take_while(|c| is_han(*c)).take(20).collect();
    let stop = ["诉", "与", "向", "在", "因", "是"]
        .iter()
        .filter_map(|word| run.find(word))
        .min()
        .unwrap_or(run.len());
    ORGANISATIONS.iter().any(|word| run[..stop].contains(word))
}

/// The name that ends here, before a title.
fn name_before(text: &str, at: usize) -> Option<Range<usize>> {
    let mut back = text[..at].char_indices().rev();
    let (_, near) = back.next()?;
    let (middle_at, middle) = back.next()?;
    let far = back.next();
    if !given(near) || !is_han(middle) {
        return None;
    }
    let fits = |start: usize| !starts_no_name(&text[start..]);
    if let Some((start, c)) = far {
        let farther = back.next().map(|(place, _)| place);
        if let Some(start) = farther
            && DOUBLE.iter().any(|name| text[start..].starts_with(name))
        {
            return Some(start..at);
        }
        if DOUBLE.iter().any(|name| text[start..].starts_with(name)) {
            return Some(start..at);
        }
        let functional = WORDS.contains(c) || (c == '谢' && is_surname(middle));
        let shadowed = functional && is_surname(middle);
        if is_surname(c) && given(middle) && fits(start) && !shadowed {
            return Some(start..at);
        }
    }
    let functional = (WORDS.contains(middle) || middle == '谢') && is_surname(near);
    (is_surname(middle) && fits(middle_at) && !functional && !WORDS.contains(middle))
        .then_some(middle_at..at)
}
