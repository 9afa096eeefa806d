//! A step boundary: what is decided between two steps, and when the next one begins.
//!
//! In: who is ready, what is owed, whether the run ends. Out: a generation and the next step, or the wait for what is
//! missing. Keeps: only for a joiner that is one step behind the boundary is held, for a bounded moment; a wait without
//! a bound begins only once the committed state is owed to storage.

use super::Engine;
use super::members::MemberState;
use super::notice::Notice;
use super::state::Phase;

/// How the run stands at its boundaries.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    /// Whether this coordinator has begun a step: from then on `min_workers` counts and `wait_workers` no more.
    pub(super) started: bool,
    /// Whether the run waits for more workers.
    pub(super) short_of_workers: bool,
}

impl Engine {
    /// After every event: ends a recovery, gives joiners a source, leaves a boundary, where that has become possible.
    pub(super) fn settle(&mut self) {
        self.recover_when_all_are_back();
        let leads = !matches!(self.phase, Phase::Over | Phase::Recovering { .. });
        if leads && self.members.anybody_waits() {
            self.sync_loaded();
        }
        if matches!(self.phase, Phase::Gathering) {
            self.leave_boundary();
        }
    }

    /// At a step boundary: forms the generation and begins the step.
    fn leave_boundary(&mut self) {
        self.fail_when_too_many_are_skipped();
        if self.hold_for_checkpoint() {
            return;
        }
        if self.stopping.pending_failure.is_some() {
            self.fail_safely();
            return;
        }
        if self.stopping.interrupted {
            self.stop_safely();
            return;
        }
        self.store_owed();
        if !self.release_drained() {
            return;
        }
        if self.nothing_is_left_to_compute() {
            self.begin_step();
            return;
        }
        let committed = self.states.committed;
        let ready = self
            .members
            .values()
            .filter(|m| m.has_state(committed) && m.drain_deadline.is_none())
            .count();
        let needed = self.needed();
        self.boundary.short_of_workers = ready < needed;
        if self.boundary.short_of_workers {
            // The wait has no bound, so the committed state must not be in memory alone meanwhile.
            self.store_owed();
            self.outbox.notice(Notice::Waiting { ready, needed });
            return;
        }
        if self.waits_for_joiners() || self.replays_the_best() {
            return;
        }
        self.outbox.wait_is_over();
        self.form_generation();
        self.boundary.started = true;
        self.begin_step();
    }

    /// How many workers must hold the committed state before the run goes on.
    fn needed(&self) -> usize {
        let needed = if self.boundary.started {
            self.options.min_workers
        } else {
            self.options.wait_workers
        };
        // Only the state is left to be written, and one holder can do that.
        let needed = if self.ends() && !self.evaluation_due() {
            1
        } else {
            needed
        };
        needed.max(1).min(self.options.max_workers.max(1))
    }

    /// Whether every step is committed and the last and the best state are on storage: the end needs no worker.
    fn nothing_is_left_to_compute(&self) -> bool {
        let ends = !self.evaluation_due() && self.ends();
        ends && self.checkpoints.is_on_storage(self.states.committed)
            && self.checkpoints.is_on_storage(self.result())
    }

    fn waits_for_joiners(&self) -> bool {
        let committed = self.states.committed;
        let behind = |state: &MemberState| matches!(state, MemberState::Ready { step, .. } if step.next() == committed);
        let syncing = |state: &MemberState| matches!(state, MemberState::Syncing { .. });
        let nobody_works = self.working() == 0;
        let held = self.now < self.states.committed_at + self.options.timeouts.catch_up;
        self.members
            .values()
            .any(|m| (nobody_works && syncing(m.state())) || (behind(m.state()) && held))
    }
}
