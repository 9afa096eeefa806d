//! Tells the ledger, and then everything that a run leaves for people, what happens in it.
//!
//! In: the run's events. Out: the same events, in order, to the ledger and then to each sink: the history with its
//! files, `logs/cluster.jsonl`, the terminal or the JSON stream; and the events that follow from them: alarms, the end
//! of patience, complaints.
//! Keeps: only a ledger that must not go on, and a gap in the history, end a run; another sink that fails is a
//! complaint. Each complaint is made once between two checkpoints.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use shared::config::RunConfig;
use shared::error::{Error, Result, render};
use shared::evaluation::EvaluationSet;
use shared::ids::Step;
use shared::plan::Plan;
use shared::run_paths::RunPaths;

use super::events::{self, skipped};
use super::history::{LedgerHistory, RunHistory};
use super::recorder::Recorder;
use super::records;
use crate::engine::Evaluated;
use crate::estimate::serving::refusals;
use crate::history::{
    Answers, ClusterLog, CompleteEvent, CoordinatorTraffic, EventSink, Reporter, RunEvent,
    Sentinel, Summary,
};

/// The sinks of a run's events.
pub struct Journal {
    history: RunHistory,
    /// Every event of the run, over all its starts.
    cluster: ClusterLog,
    /// The other sinks, which hear of an event after the files.
    sinks: Vec<Box<dyn EventSink>>,
    sentinel: Sentinel,
    answers: Option<Answers>,
    summary: Summary,
    started: Instant,
    /// Why the adapter may be refused by programs that serve it.
    refusals: Vec<String>,
    /// Complaints said since the last checkpoint: each is said again only after the next one.
    complaints: BTreeSet<String>,
}

impl Journal {
    /// Opens the journal of a run whose checkpoint of step `from` lies in `checkpoint`, and that
    /// has committed `since` after it. What was `said` before goes to the log of events.
    ///
    /// # Errors
    /// [`Code::Io`](shared::error::Code::Io) with the path.
    pub fn open(
        config: Arc<RunConfig>,
        plan: Arc<Plan>,
        reporter: Reporter,
        from: Step,
        checkpoint: Option<&Path>,
        since: &LedgerHistory<'_>,
        said: &[RunEvent],
    ) -> Result<Self> {
        let total_steps = plan.total_steps();
        let paths = RunPaths::new(&config.output_dir);
        let refusals = refusals(&config);
        let logging_steps = config.logging_steps;
        let history = RunHistory::open(config, plan, from, checkpoint, since)?;
        let cluster = ClusterLog::open(&paths.cluster_log())?;
        let newest = history.newest();
        let mut journal = Self {
            history,
            cluster,
            sinks: vec![Box::new(reporter)],
            sentinel: Sentinel::default(),
            answers: None,
            summary: Summary {
                total_steps,
                resumed: newest.0,
                output_dir: paths.output_dir().to_path_buf(),
                ..Summary::default()
            },
            started: Instant::now(),
            refusals,
            complaints: BTreeSet::new(),
        };
        for event in said {
            journal.log(event);
        }
        // Alarms that an earlier start gave are not given again.
        let _ = journal.sentinel.look(&journal.history.evaluations());
        journal.take(&RunEvent::Started {
            total_steps,
            step: newest,
            logging_steps,
        })?;
        Ok(journal)
    }

    /// Tells every sink of an event, the ledger first: nobody hears of what it neither has nor holds to be written.
    ///
    /// # Errors
    /// When the ledger must not go on, or the history has a gap.
    pub(super) fn happened(&mut self, recorder: &mut Recorder, event: &RunEvent) -> Result<()> {
        self.record(recorder, event)?;
        self.take(event)
    }

    /// [`Self::happened`] of an evaluation. Its answers are on the disk before its ledger line: a recorded evaluation is
    /// not computed again.
    ///
    /// # Errors
    /// As [`Self::happened`].
    pub(super) fn evaluated(
        &mut self,
        recorder: &mut Recorder,
        evaluated: &Evaluated,
        sets: &[EvaluationSet],
    ) -> Result<()> {
        if let Some(answers) = &mut self.answers
            && let Err(error) = answers.add(evaluated.step, &evaluated.answers)
        {
            self.complain(&error);
        }
        let epoch = self.history.epoch();
        self.happened(recorder, &events::evaluation(evaluated, epoch, sets))
    }

    /// [`Self::happened`] of the run's end, which nobody hears of before the whole ledger is on the disk.
    ///
    /// # Errors
    /// As [`Self::happened`], and when the ledger cannot be forced to the disk.
    pub(super) fn completed(&mut self, recorder: &mut Recorder, complete: &RunEvent) -> Result<()> {
        self.record(recorder, complete)?;
        recorder.finish()?;
        self.take(complete)
    }

    /// Writes an event to the ledger, or lets it wait while the ledger cannot be written.
    fn record(&mut self, recorder: &mut Recorder, event: &RunEvent) -> Result<()> {
        if let Some(record) = records::record(event)
            && let Some(news) = recorder.write(record)?
        {
            self.say(&news);
        }
        Ok(())
    }

    /// Tells every sink but the ledger of an event, and of what follows from it.
    ///
    /// # Errors
    /// [`Code::Internal`](shared::error::Code::Internal) for a step that does not follow the newest one.
    fn take(&mut self, event: &RunEvent) -> Result<()> {
        self.history.take(event)?;
        match event {
            RunEvent::Checkpoint { .. } => {
                self.summary.checkpoints += 1;
                self.complaints.clear();
            }
            RunEvent::Complete(_) => {
                for refusal in std::mem::take(&mut self.refusals) {
                    self.say(&refusal);
                }
            }
            _ => {}
        }
        self.tell(event);
        for complaint in self.history.complaints() {
            self.complain(&complaint);
        }
        match event {
            RunEvent::Step(step) => {
                self.summary.count(&step.record);
                if let Some(notice) = skipped(&step.record) {
                    self.tell(&notice);
                }
            }
            RunEvent::Evaluation(evaluation) => {
                for alarm in self.sentinel.look(&self.history.evaluations()) {
                    let text = alarm.to_string();
                    self.tell(&RunEvent::Overfitting { alarm, text });
                }
                if evaluation.stops {
                    self.say(&format!(
                        "stopped early at step {}: {} evaluations in a row were not better",
                        evaluation.entry.step, evaluation.evaluation.without_improvement
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells the sinks beside the history.
    pub(super) fn tell(&mut self, event: &RunEvent) {
        self.log(event);
        let failed: Vec<_> = self
            .sinks
            .iter_mut()
            .filter_map(|sink| sink.take(event).err())
            .collect();
        for error in failed {
            self.complain(&error);
        }
    }

    /// Writes an event to the log of events alone: whoever else should hear of it has.
    pub(super) fn log(&mut self, event: &RunEvent) {
        if let Err(error) = self.cluster.take(event) {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &Error) {
        if self.complaints.insert(render(error)) {
            self.tell(&RunEvent::complaint(error));
        }
    }

    /// Tells of a line that people should know.
    pub(super) fn say(&mut self, text: &str) {
        self.tell(&RunEvent::notice(text));
    }

    /// Says at which address workers can join.
    pub fn listening(&mut self, address: &str) {
        self.tell(&RunEvent::Listening {
            address: address.to_owned(),
            token: None,
        });
    }

    /// From now on the answers of each evaluation go to these files.
    pub fn keep_answers(&mut self, answers: Answers) {
        let text = format!("answers to eval_prompts: {}", answers.page().display());
        self.say(&text);
        self.answers = Some(answers);
    }

    /// The newest step in the history.
    pub(super) fn newest(&self) -> Step {
        self.history.newest()
    }

    /// The state file of a checkpoint's step, as it was at that step, however late it is written.
    ///
    /// # Errors
    /// [`Code::Internal`](shared::error::Code::Internal) when it cannot be serialised.
    pub(super) fn trainer_state(&mut self, step: Step) -> Result<String> {
        let state = self.history.trainer_state(step);
        for complaint in self.history.complaints() {
            self.complain(&complaint);
        }
        state
    }

    /// The end of a run whose last step is `step`, which early stopping makes smaller than planned.
    pub(super) fn completion(
        &self,
        step: Step,
        adapter_sha256: String,
        traffic: CoordinatorTraffic,
    ) -> RunEvent {
        let summary = Summary {
            time: self.started.elapsed(),
            total_steps: step.0,
            ..self.summary.clone()
        };
        RunEvent::Complete(Box::new(CompleteEvent {
            step,
            loss: summary.last_loss,
            output_dir: summary.output_dir.display().to_string(),
            num_tokens: summary.tokens,
            seconds: summary.time.as_secs_f64(),
            tokens_per_second: summary.tokens_per_second(),
            adapter_sha256,
            traffic,
            summary,
        }))
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
