//! Recovery: a worker whose session broke comes back, or the coordinator itself.
//!
//! A returning worker says what it holds. Its sums count again when they belong to the step in work and no other worker
//! was given any of their micro-batches. A coordinator that is started again waits for the workers in its ledger, takes
//! the newest state whose digest the ledger has, and goes on in the same step.
//! Keeps: a worker is found by its incarnation, never by a name it claims, and everything that its earlier session held
//! is given back first; a holder whose session broke is waited for before anything is rolled back, and a returning
//! state that is ahead of the run wins.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{Identity, Step, WorkerId};
use shared::wire::message::{Hello, Loaded, Position, Task, ToWorker};

use super::Engine;
use super::audit::is_audited;
use super::event::{Command, Rewind};
use super::members::{Member, MemberState};
use super::notice::Notice;
use super::pace::Pace;
use super::state::Phase;
use super::work::StepWork;

impl Engine {
    /// A loaded worker opens a new session.
    pub(super) fn returned(&mut self, worker: WorkerId, hello: Hello, position: Position) {
        let pace = self.end_earlier_session(&hello.incarnation);
        self.members.awaits_no_more(&hello.incarnation);
        let loaded = position.loaded.clone().unwrap_or_default();
        let state = MemberState::Returned(Box::new(position.clone()));
        let mut member = Member::new(hello, state, self.now);
        member.pace = pace.unwrap_or_default();
        member.pace.rehearsed(rehearsals(&loaded));
        let known =
            |(step, digest): &(&Step, &String)| self.states.digests.get(step) == Some(*digest);
        // The worker's newest state counts as kept where it is owed, because the worker is told so now.
        let keep = self.kept();
        let newest = std::iter::once((&position.step, &position.state_digest));
        let newest = newest.filter(|(step, _)| keep.contains(step));
        let retained = position.retained.iter().chain(newest).filter(known);
        member.retains = retained.map(|(step, _)| *step).collect();
        // What is owed may change with what this worker holds, so it must not drop any of these states yet.
        let keeps: BTreeSet<_> = keep.union(&member.retains).copied().collect();
        let holds = !member.retains.is_empty();
        self.members.insert(worker.clone(), member);
        if !self.accepts_device(&worker, loaded.device_class) {
            return;
        }
        if holds {
            self.retain(&worker, &keeps);
        }
        self.outbox.notice(Notice::Returned {
            worker: worker.clone(),
            before: position.worker.clone(),
        });
        if !matches!(self.phase, Phase::Recovering { .. }) {
            self.take_in(&worker, &position);
        }
    }

    /// Ends the process's earlier session, if any: its assignments and credits go back before the new session counts.
    /// Returns the earlier session's pace.
    pub(super) fn end_earlier_session(&mut self, incarnation: &str) -> Option<Pace> {
        let before = self.members.of_incarnation(incarnation)?.clone();
        let pace = self
            .members
            .get_mut(&before)
            .map(|m| std::mem::take(&mut m.pace));
        self.left(&before, "it opened a new session".into());
        pace
    }

    /// Takes a returning worker in while the run goes on: into the step in work, or as a joiner.
    fn take_in(&mut self, worker: &WorkerId, position: &Position) {
        let holds = self.states.reachable(position);
        let ahead = holds.filter(|step| *step > self.states.committed);
        // Where a best state before that step is lost, the run would go back at once.
        if let Some(step) = ahead.filter(|step| !self.goes_back_from(*step)) {
            self.go_forward(step);
        }
        let reachable = holds == Some(self.states.committed);
        let missed_commit = position.step != self.states.committed;
        let none = std::collections::BTreeMap::new();
        let of_this = matches!(&self.phase, Phase::Computing(work) if work.task == position.task);
        let sums = if missed_commit || !of_this {
            &none
        } else {
            &position.credited
        };
        let room = self.working() < self.options.max_workers;
        let step = self.states.committed.next();
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
            self.members.set_state(worker, MemberState::Loaded);
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
        } else {
            // The step goes on without this worker, which holds the committed state in case others lose it.
            let step = self.states.committed;
            let follows = false;
            self.members
                .set_state(worker, MemberState::Ready { step, follows });
        }
    }

    fn count_in(&mut self, worker: &WorkerId) {
        let slot = u32::try_from(self.working()).unwrap_or(u32::MAX);
        let slot = shared::ids::Slot(slot);
        self.members
            .set_state(worker, MemberState::Working { slot });
        if let Some(member) = self.members.get_mut(worker) {
            member.sync_tries = 0;
        }
    }

    /// Repeats the lost `Commit` to a worker that has applied the step.
    fn commit_missed(&mut self, worker: &WorkerId) {
        let Some(state_digest) = self.states.digests.get(&self.states.committed).cloned() else {
            return;
        };
        let identity = Identity {
            step: self.states.committed,
            ..self.identity()
        };
        self.outbox
            .send_at(worker, identity, ToWorker::Commit { state_digest });
    }

    /// After a restart: ends the recovery once every awaited worker is back or the time is over.
    pub(super) fn recover_when_all_are_back(&mut self) {
        let Phase::Recovering { until, awaited } = &self.phase else {
            return;
        };
        let returned = |m: &&Member| matches!(m.state(), MemberState::Returned(_));
        let back = self.members.values().filter(returned);
        let back: BTreeSet<_> = back.map(|m| &m.hello.incarnation).collect();
        if self.now < *until && !awaited.iter().all(|w| back.contains(w)) {
            return;
        }
        self.recover();
    }

    fn recover(&mut self) {
        self.phase = Phase::Gathering;
        let returned: Vec<(WorkerId, Position)> = self
            .members
            .iter()
            .filter_map(|(id, m)| match m.state() {
                MemberState::Returned(position) => Some((id.clone(), (**position).clone())),
                _ => None,
            })
            .collect();
        let best = returned
            .iter()
            .filter_map(|(_, p)| self.states.reachable(p))
            .max();
        let on_storage = self.restart_point().map(|point| point.step);
        let best = best.filter(|step| Some(*step) >= on_storage);
        let remembered = self.states.committed;
        // The run goes back to storage only where no worker has brought a state.
        (self.states.committed, self.states.state_digest) = match best {
            Some(step) => (step, self.states.digests.get(&step).cloned()),
            None => match self.point_to_go_back_to() {
                Some(point) => (point.step, point.state_digest),
                None => return,
            },
        };
        if self.states.committed != remembered {
            self.evaluations.rewind(self.states.committed);
            self.outbox.push(Command::Rewind(Rewind {
                step: self.states.committed,
                state_digest: self.states.state_digest.clone(),
                forked: BTreeSet::new(),
            }));
            self.outbox.notice(Notice::Rewound {
                step: self.states.committed,
            });
        }
        let Some(step) = best else {
            for (worker, _) in returned {
                self.welcome(&worker, false);
                self.members.set_state(&worker, MemberState::Loaded);
            }
            return;
        };
        self.go_on_from(step, returned);
    }

    /// Goes on in the step after `step` with the sums of the returned workers.
    fn go_on_from(&mut self, step: Step, returned: Vec<(WorkerId, Position)>) {
        let next = step.next();
        let ends = self.ends() && !self.evaluation_due();
        let finished = ends || self.too_many_skipped();
        let mut work = if finished {
            StepWork::default()
        } else {
            self.next_work()
        };
        let task = work.task;
        let there = |p: &Position| self.states.reachable(p) == Some(step);
        let holders = returned.iter().filter(|(_, p)| there(p)).count();
        let holders = holders.min(self.options.max_workers);
        // Otherwise the boundary decides, and the sums are computed again.
        let goes_on = !finished && holders >= self.options.min_workers;
        let mut credited = 0;
        let rate = self.options.audit_rate;
        for (worker, position) in returned {
            let holds = self.states.reachable(&position) == Some(step)
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
                self.members.set_state(&worker, MemberState::Loaded);
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
        self.outbox.notice(Notice::Recovered {
            step,
            workers,
            credited,
        });
        self.boundary.started = true;
        self.next_generation();
        if !goes_on {
            return;
        }
        self.phase = Phase::Computing(work);
        self.judge_all();
        self.deal();
        self.reduce_when_covered();
    }
}

/// Tokens and time of each micro-batch of a worker's rehearsal.
pub(super) fn rehearsals(loaded: &Loaded) -> impl Iterator<Item = (u64, Duration)> {
    let tried = loaded.rehearsals.iter();
    tried.map(|r| (r.tokens, Duration::from_micros(r.compute_us)))
}
