//! What comes back: a worker whose session broke, or the coordinator itself.
//!
//! A returning worker says what it holds. Its sums count again when they belong to the step in work
//! and nobody else was given any of it. A coordinator that comes back waits for the workers it
//! knew, takes the newest state that its own record vouches for, and goes on in the same step.

use std::collections::BTreeSet;

use shared::ids::{Identity, Step, WorkerId};
use shared::wire::message::{Hello, Position, SyncSource, Task, ToWorker};

use super::Engine;
use super::audit::is_audited;
use super::event::Command;
use super::notice::Notice;
use super::pace::Pace;
use super::state::{Member, MemberState, Phase};
use super::work::StepWork;

impl Engine {
    /// A loaded worker opens a new session.
    pub(super) fn returned(&mut self, worker: WorkerId, hello: Hello, position: Position) {
        // The coordinator may not have noticed yet that the old session is dead.
        let before = self.members.get_mut(&position.worker);
        let pace = before.map(|m| std::mem::take(&mut m.pace));
        self.left(&position.worker, "it opened a new session".into());
        let class = position.loaded.as_ref().map(|l| l.device_class.clone());
        let state = MemberState::Returned(Box::new(position.clone()));
        let mut member = Member::new(hello, state, self.now);
        let known = pace.filter(|pace| pace.typical().is_some());
        member.pace = known.unwrap_or_else(|| Pace::told(&position.compute_us));
        self.members.insert(worker.clone(), member);
        if !self.accepts_device(&worker, class.unwrap_or_default()) {
            return;
        }
        self.notice(Notice::Returned {
            worker: worker.clone(),
            before: position.worker.clone(),
        });
        if !matches!(self.phase, Phase::Recovering { .. }) {
            self.take_in(&worker, &position);
        }
    }

    /// The committed step a returning worker can be brought to without data from others.
    fn reachable(&self, position: &Position) -> Option<Step> {
        let vouched = |step: Step, digest: &str| {
            !digest.is_empty() && self.digests.get(&step).is_some_and(|known| known == digest)
        };
        let next = position.step.next();
        if vouched(next, &position.shadow_digest) {
            return Some(next);
        }
        vouched(position.step, &position.state_digest).then_some(position.step)
    }

    /// While the run goes on: back into the step in work, or like a joiner.
    fn take_in(&mut self, worker: &WorkerId, position: &Position) {
        let reachable = self.reachable(position) == Some(self.committed);
        let missed_commit = position.step != self.committed;
        let none = std::collections::BTreeMap::new();
        let of_this = matches!(&self.phase, Phase::Computing(work) if work.task == position.task);
        let sums = if missed_commit || !of_this {
            &none
        } else {
            &position.credited
        };
        let room = self.working() < self.options.max_workers;
        let step = self.committed.next();
        let rate = self.options.audit_rate;
        let counts = match &mut self.phase {
            Phase::Computing(work) if reachable && room => {
                let trains = work.task == Task::Train;
                work.readmit(worker, sums, |id| trains && is_audited(rate, step, id))
            }
            _ => false,
        };
        // Sums of another task count for nothing.
        self.welcome(worker, counts && of_this);
        if !reachable {
            self.set_state(worker, MemberState::Loaded);
            return;
        }
        if missed_commit {
            self.commit_missed(worker);
        }
        if counts {
            self.count_in(worker);
            self.next_generation();
            self.judge_all();
            self.deal();
            self.reduce_when_covered();
        } else if matches!(self.phase, Phase::Gathering) {
            let step = self.committed;
            let follows = false;
            self.set_state(worker, MemberState::Ready { step, follows });
        } else {
            self.set_state(worker, MemberState::Loaded);
        }
    }

    fn count_in(&mut self, worker: &WorkerId) {
        let slot = u32::try_from(self.working()).unwrap_or(u32::MAX);
        let slot = shared::ids::Slot(slot);
        self.set_state(worker, MemberState::Working { slot });
    }

    /// It applied the step, and the word that it is committed was lost.
    fn commit_missed(&mut self, worker: &WorkerId) {
        let Some(state_digest) = self.digests.get(&self.committed).cloned() else {
            return;
        };
        let identity = Identity {
            step: self.committed,
            ..self.identity()
        };
        self.send_at(worker, identity, ToWorker::Commit { state_digest });
    }

    /// After a restart: goes on once everybody who was known is back, or has not come in time.
    pub(super) fn recover_when_all_are_back(&mut self) {
        let Phase::Recovering { until, expected } = &self.phase else {
            return;
        };
        let back: BTreeSet<_> = self
            .members
            .values()
            .filter_map(|m| match &m.state {
                MemberState::Returned(position) => Some(&position.worker),
                _ => None,
            })
            .collect();
        if self.now < *until && !expected.iter().all(|w| back.contains(w)) {
            return;
        }
        self.recover();
    }

    fn recover(&mut self) {
        self.phase = Phase::Gathering;
        let returned: Vec<(WorkerId, Position)> = self
            .members
            .iter()
            .filter_map(|(id, m)| match &m.state {
                MemberState::Returned(position) => Some((id.clone(), (**position).clone())),
                _ => None,
            })
            .collect();
        let best = returned.iter().filter_map(|(_, p)| self.reachable(p)).max();
        let on_storage = self.restorable.step;
        let remembered = self.committed;
        let best = best.filter(|step| *step >= on_storage);
        self.committed = best.unwrap_or(on_storage);
        if self.committed != remembered {
            self.rewind_evaluations();
            self.out.push(Command::Rewind(self.committed));
            self.notice(Notice::Rewound {
                step: self.committed,
            });
        }
        self.state_digest = match best {
            Some(step) => self.digests.get(&step).cloned(),
            None => self.restorable.state_digest.clone(),
        };
        let Some(step) = best else {
            for (worker, _) in returned {
                self.welcome(&worker, false);
                self.set_state(&worker, MemberState::Loaded);
            }
            return;
        };
        self.go_on_from(step, returned);
    }

    /// The same step goes on with what the returning workers hold.
    fn go_on_from(&mut self, step: Step, returned: Vec<(WorkerId, Position)>) {
        let next = step.next();
        let finished = self.ends() && !self.evaluation_due();
        let mut work = if finished {
            StepWork::default()
        } else {
            self.next_work()
        };
        let task = work.task;
        let there = |p: &Position| self.reachable(p) == Some(step);
        let holders = returned.iter().filter(|(_, p)| there(p)).count();
        let holders = holders.min(self.options.max_workers);
        // The boundary decides otherwise; sums of a step that waits are computed again.
        let goes_on = !finished && holders >= self.options.min_workers;
        let mut credited = 0;
        let rate = self.options.audit_rate;
        for (worker, position) in returned {
            let holds = self.reachable(&position) == Some(step)
                && self.working() < self.options.max_workers;
            let at_step = position.step == step;
            let audited = |id| task == Task::Train && is_audited(rate, next, id);
            let keeps = holds
                && at_step
                && goes_on
                && position.task == task
                && work.readmit(&worker, &position.credited, audited);
            if keeps {
                credited += position.credited.len();
            }
            self.welcome(&worker, keeps);
            if !holds {
                self.set_state(&worker, MemberState::Loaded);
                continue;
            }
            if !at_step {
                self.commit_missed(&worker);
            }
            self.count_in(&worker);
        }
        let workers = self.working();
        if workers == 0 {
            return;
        }
        self.notice(Notice::Recovered {
            step,
            workers,
            credited,
        });
        self.started = true;
        self.next_generation();
        if !goes_on {
            return;
        }
        self.phase = Phase::Computing(work);
        self.judge_all();
        self.deal();
        self.reduce_when_covered();
    }

    /// Where the run can be restored from when nobody holds its state.
    pub(super) fn is_on_storage(&self, step: Step) -> bool {
        self.published == Some(step)
            || (step == self.restorable.step
                && matches!(self.restorable.source, SyncSource::Initial))
    }
}
