//! An [`Imported`] as our YAML, as a list for people, and as one object for programs.

use std::fmt::Write;

use serde_json::{Value, json};
use shared::error::visible;

use super::{Imported, Outcome, Remark};

const PARTS: &[(Outcome, &str)] = &[
    (Outcome::Changed, "taken, and written or meant otherwise"),
    (Outcome::NoCounterpart, "no counterpart"),
    (Outcome::NotYet, "not in this version"),
    (Outcome::Unknown, "unknown keys"),
];

impl Imported {
    /// Our YAML, each line with its origin in a comment.
    #[must_use]
    pub fn yaml(&self) -> String {
        let file = clean(&self.file);
        let mut text = format!(
            "# Imported from {file} ({}). What has no counterpart is listed by\n# `coordinator import {file}`.\n",
            self.tool.name()
        );
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| format!("{}: {}", line.key, line.value))
            .collect();
        let widest = lines.iter().map(|line| line.chars().count()).max();
        let width = widest.unwrap_or(0).min(48);
        for (line, written) in self.lines.iter().zip(lines) {
            let _ = writeln!(text, "{written:width$}  # {}", clean(&line.from));
        }
        text
    }

    /// The remarks as text for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}: {}\n", self.file, self.decided);
        for (outcome, title) in PARTS {
            let found: Vec<&Remark> = self.of(*outcome).collect();
            if found.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{title} ({}):", found.len());
            for remark in found {
                let line = remark.line.unwrap_or(0);
                let _ = writeln!(
                    text,
                    "  {}:{line} {}: {}",
                    self.file,
                    visible(&remark.key),
                    visible(&remark.value)
                );
                let _ = writeln!(text, "      {}", visible(&remark.why));
                let _ = writeln!(text, "      instead: {}", remark.instead);
            }
        }
        let nothing: Vec<String> = self
            .of(Outcome::NothingLost)
            .map(|remark| format!("{} ({})", remark.key, remark.line.unwrap_or(0)))
            .collect();
        if !nothing.is_empty() {
            let _ = writeln!(
                text,
                "\nnothing lost, since they are empty, off, or what happens here anyway ({}), with their lines:\n  {}",
                nothing.len(),
                nothing.join(", ")
            );
        }
        for notice in self.of(Outcome::Notice) {
            let _ = writeln!(text, "\nnotice: {}", notice.why);
        }
        let _ = writeln!(
            text,
            "\n{} lines written; next: `coordinator check --config OUR.yaml`",
            self.lines.len()
        );
        text
    }

    fn of(&self, outcome: Outcome) -> impl Iterator<Item = &Remark> {
        self.remarks
            .iter()
            .filter(move |remark| remark.outcome == outcome)
    }

    /// The import as one JSON object with `event: import`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "event": "import",
            "file": self.file,
            "tool": self.tool,
            "decided": self.decided,
            "yaml": self.yaml(),
            "lines": self.lines,
            "remarks": self.remarks,
        })
    }
}

/// Removes the characters that could end a YAML comment.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}'))
        .collect()
}
