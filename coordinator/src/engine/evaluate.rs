//! Evaluations: a step without a gradient, between two training steps, on the committed state.
//!
//! An evaluation's micro-batches are dealt, credited, reduced and agreed on like those of a training step; the outcome
//! is sums, and the state stays. Keeps: a state that a replay evaluates again gives the same sums; whether the run
//! stops is a function of the evaluations alone.

use shared::evaluation::{Course, SetSums, Standing, WIDTH};
use shared::ids::Step;
use shared::wire::message::{Applied, Task};

use super::event::{Command, Evaluated};
use super::state::{Phase, Reducing};
use super::work::StepWork;
use super::{Engine, Schedule};

/// Evaluations of committed states.
#[derive(Debug)]
pub(super) struct Evaluations {
    /// Every evaluation whose steps stand or may come again: evaluated again after a rewind, a state must reproduce
    /// its sums.
    pub(super) course: Course,
    /// Step of the newest evaluation that no rewind has made void.
    newest: Option<Step>,
}

impl Evaluations {
    pub(super) fn new(course: Course, newest: Option<Step>) -> Self {
        Self { course, newest }
    }

    /// Whether the committed state is still to be evaluated.
    fn is_due(&self, schedule: &dyn Schedule, committed: Step) -> bool {
        let stands = self.newest.is_some_and(|step| step >= committed);
        !stands && schedule.is_evaluated(committed)
    }

    /// Whether the newest evaluation is of the committed state.
    pub(super) fn are_of(&self, committed: Step) -> bool {
        self.newest == Some(committed)
    }

    /// Whether the patience was over with the committed state's evaluation.
    fn stop_at(&self, committed: Step) -> bool {
        self.are_of(committed) && self.course.standing(committed).stops
    }

    /// The step with the best evaluation so far.
    pub(super) fn best(&self, committed: Step) -> Option<Step> {
        self.best_of(self.newest?.min(committed))
    }

    /// The best step of those up to `step`, whatever came later.
    pub(super) fn best_of(&self, step: Step) -> Option<Step> {
        self.course.standing(step).best.map(|(best, _)| best)
    }

    /// Whether this state was evaluated before and came to other sums.
    fn contradict(&self, step: Step, sums: &[SetSums]) -> bool {
        self.course.get(step).is_some_and(|known| known != sums)
    }

    fn add(&mut self, step: Step, sums: Vec<SetSums>) -> Standing {
        self.course.add(step, sums);
        self.newest = Some(step);
        self.course.standing(step)
    }

    /// After a rewind, back or forward: evaluations after the committed step must come again.
    pub(super) fn rewind(&mut self, committed: Step) {
        self.newest = self.course.newest(committed);
    }

    /// Forgets the evaluations that a rewind has made void: the run takes another course.
    pub(super) fn void_later(&mut self) {
        let stands = self.newest;
        self.course.retain(|at| Some(at) <= stands);
    }
}

impl Engine {
    /// Whether the committed state has to be evaluated before anything else is done with it.
    pub(super) fn evaluation_due(&self) -> bool {
        let committed = self.states.committed;
        self.evaluations.is_due(self.schedule.as_ref(), committed)
    }

    /// The micro-batches to compute next on the committed state: those of its evaluation, or those of the next step.
    pub(super) fn next_work(&self) -> StepWork {
        if self.evaluation_due() {
            return StepWork::new(Task::Evaluate, self.schedule.evaluation());
        }
        let step = self.states.committed.next();
        let mut work = StepWork::new(Task::Train, self.schedule.micro_batches(step));
        work.lost_credits = self.step.lost_before(step);
        work
    }

    /// Whether the committed step is the last one.
    pub(super) fn ends(&self) -> bool {
        let committed = self.states.committed;
        committed.0 >= self.schedule.total_steps() || self.evaluations.stop_at(committed)
    }

    /// All members agree on the sums: records the evaluation.
    pub(super) fn commit_evaluation(&mut self, agreed: &Applied) {
        let step = self.states.committed;
        let (sums, answers) = parts(&agreed.evaluation, self.schedule.sets());
        let what = format!("the evaluation of step {step}");
        if self.evaluations.contradict(step, &sums) && !self.forks(step, &what, Vec::new()) {
            return;
        }
        let Phase::Reducing(reducing) = std::mem::replace(&mut self.phase, Phase::Gathering) else {
            return;
        };
        let Reducing { work, .. } = reducing;
        let standing = self.evaluations.add(step, sums.clone());
        let wall = self.now.saturating_sub(self.states.committed_at);
        let identity = self.identity();
        self.outbox.push(Command::Evaluated(Box::new(Evaluated {
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
}

/// Splits a total into the sums of each set and the integers of the answers.
fn parts(total: &[i64], sets: usize) -> (Vec<SetSums>, Vec<i64>) {
    let (sums, behind) = total.split_at_checked(sets * WIDTH).unwrap_or((total, &[]));
    let (sums, _) = sums.as_chunks::<WIDTH>();
    let sums = sums.iter().copied().map(SetSums::from_array).collect();
    // The last integer counts the micro-batches.
    let answers = behind.split_last().map_or(&[][..], |(_, answers)| answers);
    (sums, answers.to_vec())
}
