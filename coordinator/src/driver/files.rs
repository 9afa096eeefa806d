//! The files that grow with the run: `metrics.jsonl` and TensorBoard's events.
//!
//! In: steps and entries of the history, in order. Out: whole pieces at the ends of the files.
//! Keeps: a piece that a file cannot take yet waits for the next write, in order, and so does opening the file anew
//! when the run goes back. No failure here ends a run.

use std::collections::VecDeque;
use std::time::SystemTime;

use shared::error::Result;
use shared::ids::Step;
use shared::run_paths::RunPaths;

use crate::history::{EventFile, HistoryEntry, MetricsLog, StepRecord};

/// The open files, and the pieces that wait for them.
pub(super) struct Files {
    paths: RunPaths,
    /// The step after which the files are opened anew.
    after: Step,
    metrics: Option<MetricsLog>,
    events: Option<EventFile>,
    steps: VecDeque<StepRecord>,
    entries: VecDeque<HistoryEntry>,
}

impl Files {
    /// Opens the files of a run that stands after `from`.
    ///
    /// # Errors
    /// [`Code::Io`](shared::error::Code::Io) with the path.
    pub(super) fn open(paths: RunPaths, from: Step) -> Result<Self> {
        let mut files = Self {
            paths,
            after: from,
            metrics: None,
            events: None,
            steps: VecDeque::new(),
            entries: VecDeque::new(),
        };
        files.write()?;
        Ok(files)
    }

    /// Adds a committed step to `metrics.jsonl`.
    ///
    /// # Errors
    /// Why a piece could not be written; the piece waits.
    pub(super) fn step(&mut self, record: StepRecord) -> Result<()> {
        self.steps.push_back(record);
        self.write()
    }

    /// Adds an entry of the history to TensorBoard's events.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub(super) fn entry(&mut self, entry: HistoryEntry) -> Result<()> {
        self.entries.push_back(entry);
        self.write()
    }

    /// The run goes on from an earlier step: removes later lines and begins the curves anew from that step.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub(super) fn back(&mut self, step: Step) -> Result<()> {
        self.after = step;
        (self.metrics, self.events) = (None, None);
        self.steps.retain(|record| record.step <= step);
        self.entries.retain(|entry| entry.step() <= step.0);
        self.write()
    }

    /// The run goes on from a later step: adds the steps and entries up to it, which count again.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub(super) fn forward(
        &mut self,
        steps: Vec<StepRecord>,
        entries: Vec<HistoryEntry>,
    ) -> Result<()> {
        self.steps.extend(steps);
        self.entries.extend(entries);
        self.write()
    }

    /// Writes the waiting pieces; a file that cannot be written keeps none from the other.
    fn write(&mut self) -> Result<()> {
        let metrics = self.write_metrics();
        let events = self.write_events();
        metrics.and(events)
    }

    fn write_metrics(&mut self) -> Result<()> {
        let metrics = match &mut self.metrics {
            Some(metrics) => metrics,
            none => none.insert(MetricsLog::open(&self.paths.metrics(), self.after)?),
        };
        while let Some(record) = self.steps.front() {
            metrics.append(record)?;
            self.steps.pop_front();
        }
        Ok(())
    }

    fn write_events(&mut self) -> Result<()> {
        let now = SystemTime::now();
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(EventFile::create(&self.paths.logs(), self.after, now)?),
        };
        while let Some(entry) = self.entries.front() {
            match entry {
                HistoryEntry::Steps(entry) => events.scalars(entry, now)?,
                HistoryEntry::Evaluation(entry) => events.evaluation(entry, now)?,
            }
            self.entries.pop_front();
        }
        Ok(())
    }
}
