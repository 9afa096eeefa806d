//! What the data turned out to be: for people as text, for programs as JSON.
//!
//! Keeps: every row that was cut or left out is counted in it, and the first [`KEPT`] of them stand in
//! it with file and line.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::config::Overflow;

use super::file_report::{FileReport, RoleCount};
use super::listed::{KEPT, LISTED, listed, listed_of};
use super::of_a_kind::{More, few};
use super::privacy::PrivacyReport;

/// A row and its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Path below the data folder.
    pub file: String,
    /// First line of the sample.
    pub line: u64,
    /// Tokens before any cut.
    pub tokens: u64,
}

/// A row longer than `max_seq_length`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongRow {
    /// The row, before any cut.
    #[serde(flatten)]
    pub row: Row,
    /// Target tokens that are not learned.
    pub lost_targets: u64,
}

impl fmt::Display for LongRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            row: Row { file, line, tokens },
            lost_targets,
        } = self;
        write!(
            f,
            "{file}:{line} ({tokens} tokens, {lost_targets} targets lost)"
        )
    }
}

/// Long rows that are counted and not listed, because so many are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// How many rows are not listed.
    pub rows: u64,
    /// Their target tokens that are not learned.
    pub lost_targets: u64,
}

impl Unlisted {
    fn is_none(&self) -> bool {
        self.rows == 0
    }
}

/// Rows without a token to learn from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unlearnable {
    pub count: u64,
    /// The first of them.
    pub first: Vec<Row>,
    /// Tokens of the longest one that is cut; 0 when none is.
    pub longest_cut: u64,
    /// Among them is one that is not cut.
    pub whole: bool,
    /// Among them is one whose answers have weight 0.
    pub weighted_out: bool,
}

impl Unlearnable {
    /// Takes a row; it is cut when it has more than `limit` tokens.
    pub(crate) fn add(&mut self, row: Row, limit: u64, weighted_out: bool) {
        self.count += 1;
        self.weighted_out |= weighted_out;
        if row.tokens > limit {
            self.longest_cut = self.longest_cut.max(row.tokens);
        } else {
            self.whole = true;
        }
        if self.first.len() < LISTED {
            self.first.push(row);
        }
    }
}

/// What a source gave to the mixture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Path as it is written in `data_sources`.
    pub path: String,
    /// Its weight, as it is written.
    pub weight: String,
    /// Samples in its files.
    pub samples: u64,
    /// Rows it has in the prepared dataset.
    pub rows: u64,
}

/// What the whole data turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// One entry per file that was read.
    pub files: Vec<FileReport>,
    /// Rows of the prepared dataset.
    pub samples: u64,
    /// Tokens of all rows.
    pub tokens: u64,
    /// Tokens of all rows that are learned.
    pub target_tokens: u64,
    /// The longest row, before any cut.
    pub longest: Option<Row>,
    /// The longest row that is allowed, in tokens.
    pub max_seq_length: u32,
    /// What happened to longer ones.
    pub overflow: Overflow,
    /// The longer ones, of very many the first.
    pub long_rows: Vec<LongRow>,
    /// What lies behind those.
    #[serde(default, skip_serializing_if = "Unlisted::is_none")]
    pub unlisted_long_rows: Unlisted,
    /// What each of `data_sources` gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceReport>,
    /// The personal data found, unless nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyReport>,
    /// What a person should know.
    pub notices: Vec<String>,
}

impl DataReport {
    /// The report before the first file.
    pub(crate) fn new(max_seq_length: u32, overflow: Overflow) -> Self {
        Self {
            files: Vec::new(),
            samples: 0,
            tokens: 0,
            target_tokens: 0,
            longest: None,
            max_seq_length,
            overflow,
            long_rows: Vec::new(),
            unlisted_long_rows: Unlisted::default(),
            sources: Vec::new(),
            privacy: None,
            notices: Vec::new(),
        }
    }

    /// Takes a row that is too long.
    pub(crate) fn add_long(&mut self, row: LongRow) {
        if self.long_rows.len() < KEPT {
            self.long_rows.push(row);
        } else {
            self.unlisted_long_rows.rows += 1;
            self.unlisted_long_rows.lost_targets += row.lost_targets;
        }
    }

    /// How many rows are longer than `max_seq_length`, and how many target tokens they lose.
    #[must_use]
    pub fn too_long(&self) -> (u64, u64) {
        let lost: u64 = self.long_rows.iter().map(|r| r.lost_targets).sum();
        let Unlisted { rows, lost_targets } = self.unlisted_long_rows;
        (self.long_rows.len() as u64 + rows, lost + lost_targets)
    }
}

impl DataReport {
    fn say_too_long(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (long, lost) = self.too_long();
        if long == 0 {
            return Ok(());
        }
        let done = match self.overflow {
            Overflow::Drop => "left out",
            _ => "cut",
        };
        writeln!(
            f,
            "{long} rows are longer than max_seq_length={} and were {done}, {lost} target tokens lost: {}",
            self.max_seq_length,
            listed_of(&self.long_rows, long)
        )
    }
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut more = More::default();
        for file in &self.files {
            if !more.shows(file.form, file.samples) {
                continue;
            }
            writeln!(f, "{}: {}, {} samples", file.file, file.form, file.samples)?;
            let role = |r: &RoleCount| {
                let does = if r.asks { "asks" } else { "answers" };
                format!("{} {does} ({} turns)", r.name, r.turns)
            };
            if !file.roles.is_empty() {
                writeln!(
                    f,
                    "  roles: {}",
                    file.roles.iter().map(role).collect::<Vec<_>>().join(", ")
                )?;
            }
            if !file.prefixes_read_as_text.is_empty() {
                let text: Vec<String> = file
                    .prefixes_read_as_text
                    .iter()
                    .map(|(n, c)| format!("{n} ({c})"))
                    .collect();
                writeln!(f, "  read as text, not as roles: {}", listed(&text))?;
            }
            if !file.unused.is_empty() {
                writeln!(f, "  not used: {}", listed(&file.unused_counted()))?;
            }
            if file.left_out > 0 {
                writeln!(
                    f,
                    "  left out, marked as not to be learned: {} samples: {}",
                    file.left_out,
                    listed_of(&file.first_left_out, file.left_out)
                )?;
            }
        }
        write!(f, "{more}")?;
        for SourceReport {
            path,
            weight,
            samples,
            rows,
        } in &self.sources
        {
            writeln!(
                f,
                "source {path}, weight {weight}: {samples} samples, {rows} rows"
            )?;
        }
        writeln!(
            f,
            "{} samples, {} tokens, {} of them learned",
            self.samples, self.tokens, self.target_tokens
        )?;
        if let Some(Row { file, line, tokens }) = &self.longest {
            writeln!(
                f,
                "longest: {file}:{line} with {tokens} of {} tokens",
                self.max_seq_length
            )?;
        }
        self.say_too_long(f)?;
        if let Some(privacy) = &self.privacy {
            writeln!(f, "{privacy}")?;
        }
        for notice in few(&self.notices) {
            writeln!(f, "note: {notice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tokens: u64) -> Row {
        Row {
            file: "a.jsonl".into(),
            line: tokens,
            tokens,
        }
    }

    #[test]
    fn of_very_many_long_rows_the_first_are_listed_and_all_are_counted() {
        let mut report = DataReport::new(5, Overflow::Truncate);
        let many = KEPT as u64 + 7;
        for n in 0..many {
            report.add_long(LongRow {
                row: row(n + 6),
                lost_targets: 2,
            });
        }
        assert_eq!(report.too_long(), (many, 2 * many));
        assert_eq!(report.long_rows.len(), KEPT);
        let said = report.to_string();
        assert!(said.contains("10007 rows are longer"), "{said}");
        assert!(said.contains("20014 target tokens lost"), "{said}");
        assert!(said.trim_end().ends_with(" and 9987 more"), "{said}");
        let json = serde_json::to_string(&report).unwrap();
        let again: DataReport = serde_json::from_str(&json).unwrap();
        assert_eq!(again, report);
    }

    #[test]
    fn of_rows_without_targets_the_first_the_longest_and_the_reasons_are_kept() {
        let mut rows = Unlearnable::default();
        for n in 1..=LISTED as u64 + 10 {
            rows.add(row(n), 25, false);
        }
        assert_eq!((rows.count, rows.first.len()), (30, LISTED));
        assert_eq!((rows.longest_cut, rows.whole), (30, true));
        assert!(!rows.weighted_out);
    }
}
