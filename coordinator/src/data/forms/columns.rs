//! The names under which questions and answers go in tables and JSON objects.
//!
//! In: column or key names. Out: which is the question, the answer, the further input. Exactly one
//! of each must fit; two that fit are never chosen between.

use std::path::Path;

use shared::error::Error;

use super::at::At;
use super::preference;

/// Keys of a list of turns.
pub(super) const TURN_LISTS: &[&str] = &["messages", "conversations"];
/// The key that says that a sample comes as tokens.
pub(super) const INPUT_IDS: &str = "input_ids";

const QUESTION: &[&str] = &[
    "prompt",
    "question",
    "instruction",
    "query",
    "问题",
    "提问",
    "咨询",
    "用户",
    "客户",
    "问",
    "指令",
];
const ANSWER: &[&str] = &[
    "response",
    "answer",
    "output",
    "completion",
    "回答",
    "答案",
    "解答",
    "回复",
    "律师",
    "答",
    "输出",
];
const INPUT: &[&str] = &["input", "输入"];
const SYSTEM: &[&str] = &["system"];
const FILE: &[&str] = &[
    "file",
    "file_name",
    "filename",
    "file_path",
    "path",
    "文件",
    "文件名",
    "路径",
];

/// Where the parts of a sample are among the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    pub question: Option<usize>,
    pub answer: Option<usize>,
    pub input: Option<usize>,
    pub system: Option<usize>,
    pub file: Option<usize>,
}

impl Columns {
    /// Finds the parts; the error names those that fit twice.
    pub(crate) fn find<S: AsRef<str>>(names: &[S]) -> Result<Self, String> {
        let one = |known: &[&str]| -> Result<Option<usize>, String> {
            let fits = |name: &S| known.contains(&name.as_ref().trim().to_lowercase().as_str());
            let found: Vec<usize> = (0..names.len()).filter(|&i| fits(&names[i])).collect();
            match found[..] {
                [] => Ok(None),
                [one] => Ok(Some(one)),
                [first, second, ..] => Err(format!(
                    "both `{}` and `{}` could be meant",
                    names[first].as_ref().trim(),
                    names[second].as_ref().trim()
                )),
            }
        };
        let mut columns = Self {
            question: one(QUESTION)?,
            answer: one(ANSWER)?,
            input: one(INPUT)?,
            system: one(SYSTEM)?,
            file: one(FILE)?,
        };
        if columns.question.is_none() {
            columns.question = columns.input.take();
        }
        Ok(columns)
    }

    /// The indexes in use, a file's only when `with_file`.
    pub(crate) fn used(&self, with_file: bool) -> Vec<usize> {
        let file = self.file.filter(|_| with_file);
        [self.question, self.answer, self.input, self.system, file]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Whether a name is known for a part of a sample.
pub(crate) fn fits(part: &str, name: &str) -> bool {
    let known = match part {
        "question" => QUESTION,
        "answer" => ANSWER,
        "input" => INPUT,
        "system" => SYSTEM,
        _ => return false,
    };
    known.contains(&name.trim().to_lowercase().as_str())
}

/// The settings that would say which of these names is the question and which the answer; at most
/// four, each as it is to be written.
pub(crate) fn settings<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    // What is called worse is never proposed as something to learn from.
    let names = names.iter().map(|n| n.as_ref().trim());
    let names: Vec<&str> = names.filter(|name| !preference::worse(name)).collect();
    let names: Vec<&str> = alone(&names);
    let of = |part: &str| -> Vec<&str> {
        let fitting = names.iter().filter(|name| fits(part, name));
        fitting.copied().collect()
    };
    let (questions, answers) = (of("question"), of("answer"));
    let known = |name: &str| {
        let more = FILE.contains(&name) || name == "history";
        ["question", "answer", "input", "system"]
            .iter()
            .any(|part| fits(part, name))
            || more
    };
    let rest: Vec<&str> = names.iter().filter(|name| !known(name)).copied().collect();
    let (questions, answers) = match (questions.is_empty(), answers.is_empty()) {
        (false, false) => (questions, answers),
        (false, true) => (questions, rest),
        (true, false) => (rest, answers),
        (true, true) => (rest.clone(), rest),
    };
    let mut settings = Vec::new();
    for question in &questions {
        for answer in answers.iter().filter(|answer| *answer != question) {
            settings.push(setting(&[("question", question), ("answer", answer)]));
        }
    }
    if settings.len() > 4 {
        settings.clear();
    }
    settings
}

/// Names without those that are numbered, such as `response_a` and `response_b`: nobody knows which of them is meant.
fn alone<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let twin = |name: &&str| {
        let of = stem(name);
        let twins = names.iter().filter(|other| stem(other) == of);
        of.is_some() && twins.count() > 1
    };
    names.iter().copied().filter(|name| !twin(name)).collect()
}

/// What stands before the number, or before the single letter, at the end of a name.
fn stem(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let letter = stem.strip_suffix(|c: char| c.is_ascii_lowercase());
    let numbered = letter.filter(|stem| stem.ends_with(['_', '-', ' ']));
    (stem.len() < name.len()).then_some(stem).or(numbered)
}

/// `--set` for a list of names, quoted as [`setting`] is.
pub(crate) fn setting_of(key: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let list = format!("{key}=[{}]", names.join(","));
    format!("--set '{}'", list.replace('\'', "'\\''"))
}

/// `--set` for `columns`, quoted for the shell and for YAML.
pub(crate) fn setting(parts: &[(&str, &str)]) -> String {
    entries("columns", parts)
}

/// `--set` for a key of `PART=NAME`, quoted for the shell and for YAML.
pub(crate) fn entries(key: &str, parts: &[(&str, &str)]) -> String {
    let entry = |(part, name): &(&str, &str)| {
        let plain = !name.contains([',', '[', ']', '{', '}', '#', ':', '"', '\'', '&', '*', '!']);
        let entry = format!("{part}={name}");
        if plain { entry } else { format!("{entry:?}") }
    };
    let entries: Vec<String> = parts.iter().map(entry).collect();
    let list = format!("{key}=[{}]", entries.join(","));
    format!("--set '{}'", list.replace('\'', "'\\''"))
}

/// The names that no part of a sample was found under.
pub(crate) fn unused<S: AsRef<str>>(names: &[S], used: &[usize]) -> Vec<String> {
    let rest = (0..names.len()).filter(|i| !used.contains(i));
    rest.map(|i| names[i].as_ref().trim().to_owned()).collect()
}

/// The names of questions and answers, for a message.
pub(crate) fn known_pairs() -> String {
    let few = |names: &[&str]| names.join(", ");
    format!("question: {}; answer: {}", few(QUESTION), few(ANSWER))
}

/// A table without a question and an answer among its columns.
pub(super) fn unknown(path: &Path, header: &[String], why: &str) -> Error {
    At { path, line: 1 }
        .unknown("the table's columns are not known")
        .why(format!("its columns: {} ({why})", header.join(", ")))
        .why(format!("known: {}", known_pairs()))
        .fix("--set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names them")
}

/// Whether the readers find question and answer under these names by themselves.
pub(crate) fn knows_columns(question: &str, answer: &str) -> bool {
    Columns::find(&[question, answer])
        .is_ok_and(|found| (found.question, found.answer) == (Some(0), Some(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_and_english_names_are_found_whatever_their_case() {
        for pair in [
            ["Prompt", "RESPONSE"],
            ["问题", "回答"],
            ["instruction", "output"],
            ["用户", " 律师 "],
        ] {
            let columns = Columns::find(&pair).unwrap();
            assert_eq!(
                (columns.question, columns.answer),
                (Some(0), Some(1)),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn two_names_that_fit_are_never_chosen_between() {
        let error = Columns::find(&["prompt", "question", "answer"]).unwrap_err();
        assert_eq!(error, "both `prompt` and `question` could be meant");
    }

    #[test]
    fn an_input_alone_is_the_question() {
        let columns = Columns::find(&["input", "output"]).unwrap();
        assert_eq!((columns.question, columns.input), (Some(0), None));
    }
}
