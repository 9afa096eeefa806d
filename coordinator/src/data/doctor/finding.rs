//! What was found: for people as text, for programs as JSON.

use std::fmt;

use serde::Serialize;
use shared::config::Overflow;
use shared::dataset::RowOrigin;
use shared::error::{Error, render};

use crate::data::detected::Detected;
use crate::data::listed::listed;
use crate::data::report::DataReport;

/// Places shown per finding; the JSON has all.
const SHOWN: usize = 8;

/// What kind of a finding it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Validation samples that are trained on.
    Overlap,
    /// Rows longer than `max_seq_length`.
    CutRows,
    /// Samples that are there twice.
    Duplicates,
    /// Samples that say nearly the same.
    NearDuplicates,
    /// One question with unlike answers.
    Contradictions,
    /// Answers without a word.
    EmptyAnswers,
    /// Answers of one word.
    OneWordAnswers,
    /// Answers that open unlike the others.
    Openings,
    /// Samples far longer or shorter than the others.
    OddLengths,
    /// Answers in another script.
    OtherLanguage,
    /// Full-width and half-width forms of the same signs.
    MixedWidths,
    /// Characters that become `<unk>`.
    UnknownTokens,
    /// Characters written byte by byte.
    ByteTokens,
}

impl Kind {
    /// Every kind, in the order of a report.
    pub const ALL: &'static [Self] = &[
        Self::Overlap,
        Self::CutRows,
        Self::Duplicates,
        Self::NearDuplicates,
        Self::Contradictions,
        Self::EmptyAnswers,
        Self::OneWordAnswers,
        Self::Openings,
        Self::OddLengths,
        Self::OtherLanguage,
        Self::MixedWidths,
        Self::UnknownTokens,
        Self::ByteTokens,
    ];

    /// What to do about it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Overlap => {
                "take each out of one of the two: the validation loss of what was trained on says nothing"
            }
            Self::CutRows => {
                "--set max_seq_length=NUMBER, or cut the samples where they may be cut"
            }
            Self::Duplicates => "keep one of each: what is there twice is learned twice as hard",
            Self::NearDuplicates => {
                "keep the best of each, unless the difference is what shall be learned"
            }
            Self::Contradictions => {
                "decide which answer is right: the model would learn to guess between them"
            }
            Self::EmptyAnswers => "write the answer, or take the sample out",
            Self::OneWordAnswers => {
                "write a sentence, unless one word is the answer that is wanted"
            }
            Self::Openings => "let all answers open the same way, or none",
            Self::OddLengths => "look whether a sample holds several, or only a part of one",
            Self::OtherLanguage => "translate them, unless two languages are wanted",
            Self::MixedWidths => "write them the same way everywhere",
            Self::UnknownTokens => {
                "replace the characters: the model can neither read nor write them"
            }
            Self::ByteTokens => "replace rare characters where a common one says the same",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Something a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// What it is, with counts.
    pub what: String,
    /// Where; the samples of one group belong together.
    pub places: Vec<Vec<RowOrigin>>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.kind, self.what)?;
        let place = |RowOrigin { file, line }: &RowOrigin| format!("{file}:{line}");
        if self.places.iter().all(|group| group.len() == 1) {
            let all: Vec<String> = self.places.iter().flatten().map(place).collect();
            writeln!(f, "  at {}", listed(&all))?;
        } else {
            for group in self.places.iter().take(SHOWN) {
                let all: Vec<String> = group.iter().map(place).collect();
                writeln!(f, "  at {}", listed(&all))?;
            }
            if let Some(more) = self.places.len().checked_sub(SHOWN).filter(|n| *n > 0) {
                writeln!(f, "  and {more} more")?;
            }
        }
        writeln!(f, "  fix: {}", self.kind.fix())
    }
}

/// Everything that is known of the data.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What each file was taken for.
    pub detected: Vec<Detected>,
    /// What was read.
    pub report: DataReport,
    /// What was read of `validation_dir`, when there is one.
    pub validation: Option<DataReport>,
    /// What a person should look at.
    pub findings: Vec<Finding>,
    /// Why a run cannot start with it.
    pub refused: Option<Error>,
}

impl Diagnosis {
    /// Kinds that were sought and not found.
    #[must_use]
    pub fn clean(&self) -> Vec<Kind> {
        let found = |kind: &Kind| self.findings.iter().any(|f| f.kind == *kind);
        let sought = |kind: &Kind| *kind != Kind::Overlap || self.validation.is_some();
        let kinds = Kind::ALL.iter().copied();
        kinds.filter(|k| sought(k) && !found(k)).collect()
    }

    /// As one JSON object, with every place.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let finding = |f: &Finding| {
            serde_json::json!({
                "kind": f.kind, "what": f.what, "places": f.places, "fix": f.kind.fix(),
            })
        };
        let mut all = serde_json::json!({
            "event": "data_check",
            "detected": self.detected,
            "report": self.report,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "not_found": self.clean(),
            "refused": self.refused,
        });
        if let Some(validation) = &self.validation {
            all["validation"] = serde_json::json!(validation);
        }
        all
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.detected {
            write!(f, "{file}")?;
        }
        write!(f, "{}", self.report)?;
        if let Some(validation) = &self.validation {
            write!(f, "validation: {validation}")?;
        }
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        let clean: Vec<String> = self.clean().iter().map(ToString::to_string).collect();
        writeln!(f, "\nlooked for and not found: {}", clean.join(", "))?;
        match &self.refused {
            Some(error) => writeln!(f, "\na run cannot start with this data:\n{}", render(error)),
            None => writeln!(f, "a run can start with this data"),
        }
    }
}

/// Rows that do not fit, as a finding.
pub(super) fn cut_rows(report: &DataReport) -> Option<Finding> {
    let (rows, lost) = report.too_long();
    if rows == 0 {
        return None;
    }
    let all = report.target_tokens + lost;
    let done = if report.overflow == Overflow::Truncate {
        "cut"
    } else {
        "left out"
    };
    let place = |row: &super::super::report::LongRow| {
        vec![RowOrigin {
            file: row.row.file.clone(),
            line: row.row.line,
        }]
    };
    Some(Finding {
        kind: Kind::CutRows,
        what: format!(
            "{rows} of {} samples are longer than {} tokens and are {done}: {lost} of {all} target \
             tokens are lost",
            report.samples.max(rows),
            report.max_seq_length,
        ),
        places: report.long_rows.iter().map(place).collect(),
    })
}
