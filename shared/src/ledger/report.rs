//! What an audit found, for people and for programs.
//!
//! Keeps: the sample column and the counts of samples depend on the run alone, never on how many
//! workers computed it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::Parent;
use super::state::SetAside;
use crate::error::{Error, render};
use crate::ids::{RunId, Step, Term, WorkerId};

/// A checkpoint whose files are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Step whose state the checkpoint should hold.
    pub step: Step,
    /// Folder of the checkpoint, relative to the output folder.
    pub folder: String,
    /// The result is of it, or the run would go on from it: then there is no whole proof.
    pub result_rests_on_it: bool,
    /// The file, the reason, what to do.
    pub error: Error,
}

/// A run that was proved from its ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Identifier of the run that was proved.
    pub run_id: RunId,
    /// Version of the program that began it.
    pub version: String,
    /// Whole lines of the ledger.
    pub lines: u64,
    /// Hash of the last of them.
    pub head: String,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// The step after which the ledger begins.
    pub begins_after: Step,
    /// Where the first state came from, when not from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The highest step that is committed: all from [`Self::begins_after`] on are, once each.
    pub steps: Step,
    /// The step that the run stands after; lower after a rewind, until the tail is computed again.
    pub goes_on_after: Step,
    /// Samples used by these steps.
    pub samples: u64,
    /// Samples that an epoch left out.
    pub lost: u64,
    /// Samples that an epoch used twice.
    pub repeated: u64,
    /// Number of samples in the dataset.
    pub rows: u64,
    /// Epochs that used every sample once.
    pub epochs_finished: u64,
    /// Samples that the epoch in work has used, each once.
    pub begun_epoch: u64,
    /// Micro-batches credited to each worker, those of void steps too.
    pub micro_batches: BTreeMap<WorkerId, u64>,
    /// Micro-batches of steps that a fork made void.
    #[serde(skip_serializing_if = "is_none")]
    pub void: u64,
    /// Steps that applied nothing, because a value was not finite or out of range.
    pub skipped: u64,
    /// How many coordinators led, one after the other.
    pub terms: u64,
    /// Term of the newest coordinator.
    pub newest_term: Term,
    /// How often the run went on from an earlier state.
    pub rewinds: u64,
    /// How often that was a fork: a replay on several device classes came out differently, and what was
    /// committed after the step it began from is void.
    #[serde(skip_serializing_if = "is_none")]
    pub forks: u64,
    /// Steps that were computed again, with the same samples and the same state.
    pub replayed: u64,
    /// How often a worker was forced to leave.
    pub evictions: u64,
    /// Checkpoints that hold the state which was committed.
    pub checkpoints: Vec<Step>,
    /// The checkpoints among these whose content could not be computed again: an earlier version wrote them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_recomputed: Vec<Step>,
    /// Checkpoints that the run itself set aside, as the ledger says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// Checkpoints that have their name and are damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Damaged>,
    /// Whether all that the result rests on is as it was recorded; what is not follows as an error.
    pub proved: bool,
    /// The adapter in the output folder does not prove to be the recorded one.
    #[serde(skip_serializing_if = "is_false")]
    pub adapter_differs: bool,
    /// SHA-256 of the adapter, when the run is complete.
    pub adapter_sha256: Option<String>,
    /// SHA-256 over `step: row,row,...` of every step, in order.
    pub sample_column: String,
}

impl Report {
    /// The report for a terminal, one fact a line; then every damaged checkpoint that the proof stands without.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("run {}\n", self.run_id);
        for (name, fact) in self.facts() {
            text.push_str(&format!("  {name:13}  {fact}\n"));
        }
        text.push_str(&format!("sample column sha256 {}\n", self.sample_column));
        for damaged in self.damaged.iter().filter(|d| !d.result_rests_on_it) {
            text.push_str(&format!("\n{}\n", render(&damaged.error)));
        }
        text
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("chain", format!("{}, none altered", lines(self.lines))),
            ("chain head", self.head.clone()),
            ("steps", self.step_text()),
        ];
        if let Some(parent) = &self.parent {
            let text = format!("step {} of run {}", parent.step, parent.run_id);
            facts.push(("goes on from", text));
        }
        facts.push((
            "samples",
            format!(
                "{} used, lost {}, repeated {}",
                self.samples, self.lost, self.repeated
            ),
        ));
        facts.push(("epochs", self.epoch_text()));
        let total: u64 = self.micro_batches.values().sum();
        let mut text = format!("{total}, each credited once and as planned");
        if self.void > 0 {
            let void = self.void;
            text.push_str(&format!("; {void} of them in steps that a fork made void"));
        }
        facts.push(("micro-batches", text));
        let workers = self.micro_batches.iter();
        facts.extend(workers.map(|(worker, count)| ("", format!("{count} by {worker}"))));
        if self.skipped > 0 {
            let text = format!("{}, a value was not finite or out of range", self.skipped);
            facts.push(("skipped steps", text));
        }
        facts.push(("terms", format!("{}", self.terms)));
        facts.push((
            "rewinds",
            match self.rewinds {
                0 => "0".into(),
                n => format!("{n}; steps computed again, all equal: {}", self.replayed),
            },
        ));
        if self.forks > 0 {
            let text = "several device classes took part and a replay came out differently";
            facts.push(("forks", format!("{}; {text}", self.forks)));
        }
        facts.push(("evictions", self.evictions.to_string()));
        self.files(&mut facts);
        facts
    }

    /// What lies beside the ledger.
    fn files(&self, facts: &mut Vec<(&'static str, String)>) {
        let steps: Vec<String> = self.checkpoints.iter().map(Step::to_string).collect();
        let checkpoints = if steps.is_empty() {
            "none".into()
        } else {
            format!("{}, as committed", steps.join(", "))
        };
        facts.push(("checkpoints", checkpoints));
        if !self.not_recomputed.is_empty() {
            let steps: Vec<String> = self.not_recomputed.iter().map(Step::to_string).collect();
            let text =
                "of an earlier version: files as listed, their content was not computed again";
            facts.push(("", format!("{} {text}", steps.join(", "))));
        }
        facts.extend(self.set_aside.iter().map(|aside| {
            let (step, after, line) = (aside.step, aside.after, aside.line);
            let again = if aside.written_again {
                "; written again since"
            } else {
                ""
            };
            let text = format!("{step}, found after step {after} (line {line}){again}");
            ("set aside", format!("{text}: {}", aside.reason))
        }));
        facts.extend(self.damaged.iter().map(|damaged| {
            let rests = if damaged.result_rests_on_it {
                "what the run ends with, or would go on from"
            } else {
                "the proof stands without it"
            };
            ("damaged", format!("{}, {rests}", damaged.folder))
        }));
        facts.push((
            "adapter",
            match &self.adapter_sha256 {
                Some(sha256) if self.adapter_differs => {
                    format!("sha256 {sha256} was recorded, the file does not prove to be it")
                }
                Some(sha256) => format!("sha256 {sha256}, as recorded"),
                None => "not written yet".into(),
            },
        ));
    }

    fn step_text(&self) -> String {
        if self.steps == self.begins_after {
            return format!("none yet of {}", self.total_steps);
        }
        let first = self.begins_after.next();
        let mut text = format!(
            "{first} to {} of {}, no gap, none twice",
            self.steps, self.total_steps
        );
        if self.goes_on_after < self.steps {
            text.push_str(&format!(
                "; the run goes on after step {}",
                self.goes_on_after
            ));
        }
        text
    }

    fn epoch_text(&self) -> String {
        let mut text = format!(
            "{} whole, each of {} samples once",
            self.epochs_finished, self.rows
        );
        if self.epochs_finished == 0 {
            text = "none whole yet".into();
        }
        if self.begun_epoch > 0 {
            text.push_str(&format!(
                "; one begun, {} of {} samples",
                self.begun_epoch, self.rows
            ));
        }
        text
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_none(count: &u64) -> bool {
    *count == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn lines(count: u64) -> String {
    format!("{count} {}", if count == 1 { "line" } else { "lines" })
}
