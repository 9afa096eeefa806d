//! Evaluations: a step without a gradient, between two training steps, on the committed state.
//!
//! An evaluation's micro-batches are dealt, credited, reduced and agreed on like those of a training step; the outcome
//! is sums, and the state stays. Keeps: a state that a replay evaluates again gives the same sums; whether the run
//! stops is a function of the evaluations alone.

use shared::evaluation::{SetSums, WIDTH};
use shared::wire::message::{Applied, Task};

use super::Engine;
use super::event::{Command, Evaluated};
use super::state::{Phase, Reducing};
use super::work::StepWork;

impl Engine {
    /// Whether the committed state has to be evaluated before anything else is done with it.
    pub(super) fn evaluation_due(&self) -> bool {
        let stands = self.evaluated.is_some_and(|step| step >= self.committed);
        !stands && self.schedule.is_evaluated(self.committed)
    }

    /// The micro-batches to compute next on the committed state: those of its evaluation, or those of the next step.
    pub(super) fn next_work(&self) -> StepWork {
        if self.evaluation_due() {
            return StepWork::new(Task::Evaluate, self.schedule.evaluation());
        }
        let step = self.committed.next();
        let mut work = StepWork::new(Task::Train, self.schedule.micro_batches(step));
        work.lost_credits = match self.abandoned {
            (of, lost) if of == step => lost,
            _ => 0,
        };
        work
    }

    /// Whether the committed step is the last one.
    pub(super) fn ends(&self) -> bool {
        self.committed.0 >= self.schedule.total_steps() || self.stopped_early()
    }

    fn stopped_early(&self) -> bool {
        self.evaluated == Some(self.committed) && self.course.standing(self.committed).stops
    }

    /// After a rewind, back or forward: evaluations after the committed step must come again.
    pub(super) fn rewind_evaluations(&mut self) {
        self.evaluated = self.course.newest(self.committed);
    }

    /// All members agree on the sums: records the evaluation.
    pub(super) fn commit_evaluation(&mut self, agreed: &Applied) {
        let step = self.committed;
        let (sums, answers) = self.parts(&agreed.evaluation);
        let known = self.course.get(step);
        let what = format!("the evaluation of step {step}");
        if known.is_some_and(|known| known != sums) && !self.forks(step, &what, Vec::new()) {
            return;
        }
        let Phase::Reducing(reducing) = std::mem::replace(&mut self.phase, Phase::Gathering) else {
            return;
        };
        let Reducing { work, .. } = reducing;
        self.course.add(step, sums.clone());
        self.evaluated = Some(step);
        let standing = self.course.standing(step);
        let wall = self.now.saturating_sub(self.committed_at);
        let identity = self.identity();
        self.out.push(Command::Evaluated(Box::new(Evaluated {
            step,
            term: identity.term,
            generation: identity.generation,
            sums,
            answers,
            standing,
            credits: work.credited,
            compute_us: work.compute_us,
            wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
        })));
        // Joiners that do not follow the totals have missed nothing: the state is the same.
        self.store_owed();
    }

    /// Splits a total into the sums of each set and the integers of the answers.
    fn parts(&self, total: &[i64]) -> (Vec<SetSums>, Vec<i64>) {
        let (sets, behind) = total
            .split_at_checked(self.schedule.sets() * WIDTH)
            .unwrap_or((total, &[]));
        let (sets, _) = sets.as_chunks::<WIDTH>();
        let sums = sets.iter().copied().map(SetSums::from_array).collect();
        // The last integer counts the micro-batches.
        let answers = behind.split_last().map_or(&[][..], |(_, answers)| answers);
        (sums, answers.to_vec())
    }
}
