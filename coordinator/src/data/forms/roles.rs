//! Who speaks in a plain-text dialogue.
//!
//! In: trimmed lines. Out: the roles, the first of which asks. A role is a short name before a
//! colon at the start of a line. What tells a role from a heading like `注意：` inside an answer is
//! that a role *answers*: it is the first name after a line of the asking role, often enough. Known
//! speakers (`法官`, `lawyer`) count wherever they stand. All other names are text, and reported.

use std::collections::BTreeMap;

use shared::config::{FormatConfig, Named};

/// A line that is not blank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub number: u64,
    pub text: &'a str,
    pub after_blank: bool,
}

/// Names of people who speak.
const SPEAKERS: &[&str] = &[
    "用户",
    "客户",
    "咨询者",
    "咨询人",
    "提问者",
    "提问人",
    "当事人",
    "委托人",
    "律师",
    "法律顾问",
    "顾问",
    "助手",
    "助理",
    "客服",
    "法官",
    "专家",
    "机器人",
    "user",
    "human",
    "client",
    "customer",
    "assistant",
    "ai",
    "bot",
    "lawyer",
    "attorney",
    "solicitor",
    "counsel",
    "judge",
    "advisor",
];
/// Names of turns rather than of people: they may as well be headings.
const LABELS: &[&str] = &[
    "问", "答", "问题", "提问", "回答", "解答", "答复", "回复", "q", "a", "question", "answer",
];
const LONGEST_NAME: usize = 24;
const LONGEST_WIDE_NAME: usize = 10;

/// A name and how often a line begins with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub key: String,
    pub name: String,
    pub count: usize,
}

impl Candidate {
    fn speaks(&self) -> bool {
        SPEAKERS.contains(&self.key.as_str())
    }

    fn is_known(&self) -> bool {
        self.speaks() || LABELS.contains(&self.key.as_str())
    }
}

/// The roles of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    /// The first one asks, the others answer.
    pub speakers: Vec<Candidate>,
    /// Names before a colon that are part of the text.
    pub text: Vec<Candidate>,
}

impl Roles {
    /// The role a line begins with, and the rest of the line.
    pub(super) fn split<'a>(&self, line: &'a str) -> Option<(usize, &'a str)> {
        let (name, rest) = split_name(line)?;
        let key = key(name);
        self.speakers
            .iter()
            .position(|s| s.key == key)
            .map(|role| (role, rest))
    }

    /// Whether a line begins with a role's name and a space instead of a colon.
    pub(super) fn lacks_colon(&self, line: &str) -> bool {
        let line = line.to_lowercase();
        self.speakers.iter().any(|s| {
            line.strip_prefix(&s.key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        })
    }
}

/// Why no roles were found, and the line that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoRoles {
    pub why: String,
    pub line: Option<usize>,
}

/// Finds the roles of a file.
pub(super) fn detect(lines: &[Line<'_>], formats: &FormatConfig) -> Result<Roles, NoRoles> {
    let names: Vec<Option<String>> = lines
        .iter()
        .map(|l| split_name(l.text).map(|(name, _)| key(name)))
        .collect();
    let candidates = count(lines, &names);
    let why = |why: &str, line| NoRoles {
        why: why.to_owned(),
        line,
    };
    let Some(most) = candidates.iter().map(|c| c.count).max() else {
        return Err(why("no line begins with a short name and a colon", None));
    };
    if let Some(asker) = formats.roles.iter().find(|named| named.part == "user") {
        return named(candidates, &key(&asker.name), formats);
    }
    let first = names.first().cloned().flatten();
    let Some(asker) = candidates.iter().find(|c| Some(&c.key) == first.as_ref()) else {
        return Err(why(
            "the file begins with text that belongs to no role",
            Some(0),
        ));
    };
    if is_heading(asker, &candidates, most) {
        let heading = format!(
            "the file begins with `{}`, which is no role here",
            asker.name
        );
        return Err(why(&heading, Some(0)));
    }
    let answers = first_answers(&names, &asker.key);
    let all: usize = answers.values().sum();
    let known_answers = candidates
        .iter()
        .any(|c| c.key != asker.key && c.is_known());
    let is_role = |c: &Candidate| {
        let times = answers.get(c.key.as_str()).copied().unwrap_or(0);
        let often = times > 0 && times * 5 >= all;
        c.speaks() || (often && (c.is_known() || !known_answers || times >= 3))
    };
    let mut speakers = vec![asker.clone()];
    let mut text = Vec::new();
    for candidate in candidates.iter().filter(|c| c.key != asker.key) {
        if is_role(candidate) {
            &mut speakers
        } else {
            &mut text
        }
        .push(candidate.clone());
    }
    if speakers.len() < 2 {
        return Err(why(
            &format!("only one role was found: `{}`", asker.name),
            None,
        ));
    }
    Ok(Roles { speakers, text })
}

/// The roles as they are configured: `user` asks, every other one answers, all else is text.
fn named(all: Vec<Candidate>, asker: &str, formats: &FormatConfig) -> Result<Roles, NoRoles> {
    let (mut speakers, text): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|c| formats.role(&c.key).is_some());
    speakers.sort_by_key(|c| c.key != asker);
    if speakers.len() < 2 || speakers.first().is_none_or(|c| c.key != asker) {
        let named = |named: &Named| format!("{}={}", named.part, named.name);
        let named: Vec<String> = formats.roles.iter().map(named).collect();
        return Err(NoRoles {
            why: format!(
                "`roles` says {}; not both sides speak here",
                named.join(", ")
            ),
            line: None,
        });
    }
    Ok(Roles { speakers, text })
}

/// Whether the file's first name is a title and not who asks: rare beside the others.
fn is_heading(first: &Candidate, all: &[Candidate], most: usize) -> bool {
    let known: Vec<usize> = all
        .iter()
        .filter(|c| c.is_known())
        .map(|c| c.count)
        .collect();
    let beside_known =
        known.len() >= 2 && !first.is_known() && known.iter().all(|&n| n >= first.count);
    beside_known || first.count * 5 < most
}

/// How often each name is the first one after a line of the asking role.
fn first_answers<'a>(names: &'a [Option<String>], asker: &str) -> BTreeMap<&'a str, usize> {
    let mut answers = BTreeMap::new();
    let mut asked = false;
    for name in names.iter().flatten() {
        if name == asker {
            asked = true;
        } else if asked {
            *answers.entry(name.as_str()).or_default() += 1;
            asked = false;
        }
    }
    answers
}

fn count(lines: &[Line<'_>], names: &[Option<String>]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (line, name) in lines.iter().zip(names) {
        let Some(key) = name else { continue };
        let place = *places.entry(key).or_insert_with(|| {
            let name = split_name(line.text)
                .map_or(key.as_str(), |(name, _)| name)
                .to_owned();
            candidates.push(Candidate {
                key: key.clone(),
                name,
                count: 0,
            });
            candidates.len() - 1
        });
        candidates[place].count += 1;
    }
    candidates
}

fn key(name: &str) -> String {
    name.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// A short name before a colon, and what follows.
pub(super) fn split_name(line: &str) -> Option<(&str, &str)> {
    let at = line.find([':', '：'])?;
    let colon = line[at..].chars().next()?;
    let (name, rest) = (line[..at].trim(), &line[at + colon.len_utf8()..]);
    let limit = if name.is_ascii() {
        LONGEST_NAME
    } else {
        LONGEST_WIDE_NAME
    };
    let fits = name.chars().count() <= limit && name.split_whitespace().count() <= 3;
    let letters = name.chars().all(|c| {
        c.is_alphanumeric()
            || c == ' '
            || matches!(c, '_' | '-' | '.' | '(' | ')' | '（' | '）' | '\'')
    });
    let named = name.chars().any(char::is_alphabetic) && fits && letters && !rest.starts_with("//");
    named.then_some((name, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::dialogue::lines;
    use super::*;

    fn found(text: &str) -> (Vec<String>, Vec<String>) {
        let roles = detect(&lines(text), &Default::default()).unwrap();
        let names = |all: Vec<Candidate>| all.into_iter().map(|c| c.name).collect();
        (names(roles.speakers), names(roles.text))
    }

    #[test]
    fn a_heading_inside_an_answer_is_no_role() {
        let text = "用户：a\n律师：b\n注意：c\n建议：d\n用户：e\n律师：f\n注意：g";
        assert_eq!(
            found(text),
            (
                vec!["用户".into(), "律师".into()],
                vec!["注意".into(), "建议".into()]
            )
        );
        let once = "甲：a\n乙：b\n注意：c";
        assert_eq!(
            found(once),
            (vec!["甲".into(), "乙".into()], vec!["注意".into()])
        );
    }

    #[test]
    fn a_heading_inside_a_question_is_no_role_when_known_ones_are_there() {
        let text = "用户：a\n情况：b\n律师：c";
        assert_eq!(
            found(text),
            (vec!["用户".into(), "律师".into()], vec!["情况".into()])
        );
    }

    #[test]
    fn names_nobody_knows_and_full_names_are_roles_when_they_answer() {
        assert_eq!(
            found("Ms. Wang: a\nMr. Li: b\nMs. Wang: c\nMr. Li: d").0,
            ["Ms. Wang", "Mr. Li"]
        );
    }

    #[test]
    fn spelling_in_capitals_or_with_spaces_is_the_same_role() {
        assert_eq!(
            found("User : a\nLawyer: b\nUSER: c\nLAWYER: d").0,
            ["User", "Lawyer"]
        );
    }

    #[test]
    fn times_addresses_and_sentences_are_no_names() {
        for line in [
            "10:30 开庭",
            "https://a.b",
            "他说，这样：不行",
            "a very long way to say it: no",
        ] {
            assert_eq!(split_name(line), None, "{line}");
        }
    }

    #[test]
    fn a_title_before_the_roles_is_refused() {
        let error =
            detect(&lines("主题：借款\n用户：a\n律师：b"), &Default::default()).unwrap_err();
        assert_eq!(error.line, Some(0));
        assert!(detect(&lines("借款\n用户：a\n律师：b"), &Default::default()).is_err());
    }
}
