//! Names of speakers that are known: who asks, who answers, and in which field.
//!
//! In: a name. Out: its side. Keeps: a name that is not in the table, and is no title with a family
//! name, is unknown. Not here: the names themselves (`speaker_table`).

use super::names::stems;
use super::speaker_table::{
    DOUBLE_FAMILY, ENGLISH_TITLES, FAMILY, HEADINGS, NEVER_IN_DOCUMENTS, TABLE, TITLES,
};
pub(super) use super::speaker_table::{Field, Side};

/// The names of a list that commas divide.
pub(super) fn names_of(names: &str) -> impl Iterator<Item = &str> {
    names.split(',').map(str::trim)
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub side: Side,
    pub field: Field,
}

/// What is known of a name in its [`super::names::key`]'s spelling, and the name that is known: `Q12`
/// speaks as `Q`.
pub(super) fn known(key: &str) -> Option<(String, Known)> {
    let known = |stem: String| {
        let found = listed(&stem).or_else(|| titled(&stem));
        found.map(|known| (stem, known))
    };
    stems(key).into_iter().find_map(known)
}

/// Whether a name is one of documents: a heading, a party to a contract.
pub(super) fn is_heading(key: &str) -> bool {
    stems(key)
        .iter()
        .any(|stem| names_of(HEADINGS).any(|name| name == stem))
        || key
            .chars()
            .all(|c| c.is_numeric() || "第条项款步点章节".contains(c))
        || (key.starts_with('第')
            && key.ends_with(['条', '项', '款', '步', '点', '章', '节', '种']))
}

/// Whether a known asking name is one that no document has before a colon.
pub(super) fn is_never_in_documents(key: &str) -> bool {
    names_of(NEVER_IN_DOCUMENTS).any(|name| name == key)
}

/// Whether a name is built like that of a person: `小李`, `王女士`, `张三`, `Ms. Wang`, `John Smith`.
pub(super) fn is_person(name: &str, key: &str) -> bool {
    if is_heading(key) {
        return false;
    }
    let count = key.chars().count();
    let polite = [
        "先生", "女士", "小姐", "太太", "阿姨", "叔叔", "总", "姐", "哥", "经理", "老师", "同学",
    ];
    if polite
        .iter()
        .any(|title| key.strip_suffix(title).is_some_and(is_family))
    {
        return true;
    }
    if key.starts_with(['小', '老', '阿', '大']) && count == 2 {
        return key.chars().nth(1).is_some_and(|c| FAMILY.contains(c));
    }
    if !key.is_ascii() {
        return (2..=3).contains(&count) && key.chars().next().is_some_and(|c| FAMILY.contains(c))
            || names_of(DOUBLE_FAMILY)
                .any(|double| key.starts_with(double) && (3..=4).contains(&count));
    }
    let words: Vec<&str> = name.split_whitespace().collect();
    let polite = ["mr", "mrs", "ms", "miss", "mx", "sir", "prof"];
    let capital = |word: &&str| word.starts_with(|c: char| c.is_ascii_uppercase());
    let small = |word: &&str| {
        word.chars()
            .skip(1)
            .all(|c| c.is_ascii_lowercase() || c == '-' || c == '\'')
    };
    match words[..] {
        [title, _, ..] if polite.contains(&title.trim_end_matches('.').to_lowercase().as_str()) => {
            true
        }
        [_, _] => words.iter().all(|w| capital(w) && small(w)),
        _ => false,
    }
}

fn is_family(name: &str) -> bool {
    let mut chars = name.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) => FAMILY.contains(one),
        (Some(_), Some(_)) => names_of(DOUBLE_FAMILY).any(|double| double == name),
        _ => false,
    }
}

fn listed(stem: &str) -> Option<Known> {
    let has = |names: &str| names_of(names).any(|name| name == stem);
    known_as(TABLE.iter().find(|(.., names)| has(names)))
}

/// A title with a family or a whole name: `王医生`, `王小明律师`, `Dr. Lee`.
fn titled(stem: &str) -> Option<Known> {
    let is_named = |title: &str| {
        let Some(name) = stem.strip_suffix(title) else {
            return false;
        };
        let family = name.chars().next().is_some_and(|c| FAMILY.contains(c))
            || names_of(DOUBLE_FAMILY).any(|double| name.starts_with(double));
        let nickname = name.starts_with(['小', '老', '大', '阿']) && name.chars().count() == 2;
        (family && name.chars().count() <= 3) || nickname
    };
    let behind = TITLES
        .iter()
        .find(|(.., titles)| names_of(titles).any(is_named));
    if behind.is_some() {
        return known_as(behind);
    }
    let (title, name) = stem.split_once(' ')?;
    let named = name
        .chars()
        .all(|c| c.is_alphabetic() || " .'-".contains(c));
    let of = |titles: &str| named && names_of(titles).any(|known| known == title);
    known_as(ENGLISH_TITLES.iter().find(|(.., titles)| of(titles)))
}

fn known_as(row: Option<&(Side, Field, &str)>) -> Option<Known> {
    row.map(|(side, field, _)| Known {
        side: *side,
        field: *field,
    })
}

#[cfg(test)]
#[path = "speakers_tests.rs"]
mod tests;
