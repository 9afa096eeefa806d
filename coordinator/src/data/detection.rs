//! How sure it is what a file is, and why; a file that could be read in two ways is not read.
//!
//! In: what the readers found. Out: a percentage by fixed rules, with its reasons: what is configured or
//! has a structure of its own is certain, known names are nearly so, names nobody knows are a guess.
//! Keeps: below [`SURE`] the user is asked, with the settings that would answer.

use serde::Serialize;
use shared::config::FormatConfig;
use shared::error::Result;

use super::config::DataConfig;
use super::file_report::{FileReport, Form, RoleCount};
use super::files;
use super::forms::ambiguity;

/// Below this nobody decides but the user.
const SURE: u8 = 50;
/// So few questions say little about who asks.
const FEW: u64 = 3;

/// Names of those who ask, and of those who answer.
const ASKING: &[&str] = &[
    "用户",
    "客户",
    "咨询者",
    "咨询人",
    "提问者",
    "提问人",
    "当事人",
    "委托人",
    "问",
    "问题",
    "提问",
    "user",
    "human",
    "client",
    "customer",
    "q",
    "question",
];
const ANSWERING: &[&str] = &[
    "律师",
    "法律顾问",
    "顾问",
    "助手",
    "助理",
    "客服",
    "专家",
    "机器人",
    "答",
    "回答",
    "解答",
    "答复",
    "回复",
    "assistant",
    "ai",
    "bot",
    "lawyer",
    "attorney",
    "solicitor",
    "counsel",
    "advisor",
    "a",
    "answer",
];

/// What a file was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detected {
    /// Path below the data folder.
    pub file: String,
    /// The form it was read as.
    pub form: Form,
    /// Samples that were read from it.
    pub samples: u64,
    /// How sure it is, in percent.
    pub sure: u8,
    /// What makes it so sure, or so unsure.
    pub reasons: Vec<String>,
    /// Its first samples in short.
    #[serde(skip)]
    pub previews: Vec<String>,
}

impl std::fmt::Display for Detected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            form,
            sure,
            reasons,
            ..
        } = self;
        writeln!(f, "{file}: {form}, {sure} % sure: {}", reasons.join("; "))?;
        for preview in &self.previews {
            writeln!(f, "  {preview}")?;
        }
        Ok(())
    }
}

/// What a file was taken for, and how sure that is.
#[must_use]
pub fn detected(report: &FileReport, config: &DataConfig) -> Detected {
    let (sure, reasons) = match report.form {
        _ if report.samples == 0 => (0, vec!["it has no sample".into()]),
        Form::Dialogue => dialogue(report, &config.formats),
        form => (fields(report, form, config), vec![why(form, config)]),
    };
    Detected {
        file: report.file.clone(),
        form: report.form,
        samples: report.samples,
        sure,
        reasons,
        previews: Vec::new(),
    }
}

/// Refuses a file that could be read in two ways.
pub(crate) fn require_sure<'a>(
    reports: impl IntoIterator<Item = &'a FileReport>,
    config: &DataConfig,
) -> Result<()> {
    for report in reports {
        let found = detected(report, config);
        if report.samples == 0 {
            continue;
        }
        if found.sure >= SURE {
            continue;
        }
        let path = files::folder(&config.train_data_dir).join(&report.file);
        let why = format!("{} % sure: {}", found.sure, found.reasons.join("; "));
        let asks = report.roles.iter().find(|role| role.asks);
        let answers = report.roles.iter().find(|role| !role.asks);
        let ways = asks.zip(answers).map(|(a, b)| [(b, a), (a, b)]);
        let settings = ways.into_iter().flatten().map(|(user, assistant)| {
            format!(
                "--set 'roles=[user={},assistant={}]'",
                user.name, assistant.name
            )
        });
        return Err(ambiguity::roles(&path, why, settings));
    }
    Ok(())
}

fn fields(report: &FileReport, form: Form, config: &DataConfig) -> u8 {
    let named = config.csv_columns.is_some() || !config.formats.columns.is_empty();
    match form {
        Form::Mixed => 70,
        Form::Pairs | Form::Table | Form::Sheet if !named => {
            95 - 5 * u8::from(!report.unused.is_empty())
        }
        _ => 100,
    }
}

fn why(form: Form, config: &DataConfig) -> String {
    let named = config.csv_columns.is_some() || !config.formats.columns.is_empty();
    match form {
        Form::Mixed => "its samples have more than one form".into(),
        _ if named => "its fields are named in the configuration".into(),
        Form::Pairs | Form::Table | Form::Sheet => "the names of its fields are known".into(),
        Form::Tokens => "it has `input_ids`".into(),
        Form::Metadata => "it is named as metadata".into(),
        form => format!("its keys are those of {form}"),
    }
}

fn dialogue(report: &FileReport, formats: &FormatConfig) -> (u8, Vec<String>) {
    if formats.roles.iter().any(|named| named.part == "user") {
        return (100, vec!["its roles are named in the configuration".into()]);
    }
    let is = |role: &RoleCount, names: &[&str]| names.contains(&role.name.to_lowercase().as_str());
    let (asks, answers): (Vec<_>, Vec<_>) = report.roles.iter().partition(|role| role.asks);
    let names = |roles: &[&RoleCount]| {
        let names: Vec<&str> = roles.iter().map(|r| r.name.as_str()).collect();
        names.join(", ")
    };
    let swapped = asks.iter().any(|r| is(r, ANSWERING)) && answers.iter().any(|r| is(r, ASKING));
    if swapped {
        let why = format!(
            "{} speaks first and would ask, {} would answer; their names say the opposite",
            names(&asks),
            names(&answers)
        );
        return (20, vec![why]);
    }
    let known = |role: &RoleCount| is(role, ASKING) || is(role, ANSWERING);
    let some = (
        asks.iter().any(|r| known(r)),
        answers.iter().any(|r| known(r)),
    );
    match some {
        (true, true) => (
            95,
            vec![format!(
                "{} and {} are known names",
                names(&asks),
                names(&answers)
            )],
        ),
        (true, false) | (false, true) => {
            let (known, other) = if some.0 {
                (&asks, &answers)
            } else {
                (&answers, &asks)
            };
            (
                80,
                vec![format!(
                    "{} is a known name, {} is not",
                    names(known),
                    names(other)
                )],
            )
        }
        (false, false) => {
            let mut reasons = vec![format!(
                "{} asks because it speaks first; nobody knows these names",
                names(&asks)
            )];
            let few = asks.iter().map(|role| role.turns).sum::<u64>() < FEW;
            let mut sure = 60;
            if few && !report.prefixes_read_as_text.is_empty() {
                sure = 40;
                reasons.push(
                    "other names stand before colons too, and there are few questions".into(),
                );
            }
            (sure, reasons)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(roles: &[(&str, u64, bool)], text: &[&str]) -> FileReport {
        let mut report = FileReport::new("a.txt", Form::Dialogue);
        let role = |(name, turns, asks): &(&str, u64, bool)| RoleCount {
            name: (*name).into(),
            turns: *turns,
            asks: *asks,
        };
        report.roles = roles.iter().map(role).collect();
        report.prefixes_read_as_text = text.iter().map(|t| ((*t).to_owned(), 1)).collect();
        report
    }

    #[test]
    fn names_decide_how_sure_it_is() {
        let none = FormatConfig::default();
        let sure =
            |roles: &[(&str, u64, bool)], text: &[&str]| dialogue(&file(roles, text), &none).0;
        assert_eq!(
            sure(&[("用户", 2, true), ("律师", 2, false)], &["注意"]),
            95
        );
        assert_eq!(sure(&[("用户", 2, true), ("王五", 2, false)], &[]), 80);
        assert_eq!(sure(&[("甲", 2, true), ("乙", 2, false)], &[]), 60);
        assert_eq!(sure(&[("甲", 2, true), ("乙", 2, false)], &["注意"]), 40);
        assert_eq!(sure(&[("甲", 9, true), ("乙", 9, false)], &["注意"]), 60);
        assert_eq!(sure(&[("律师", 2, true), ("用户", 2, false)], &[]), 20);
    }
}
