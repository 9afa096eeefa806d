//! How a joiner gets the committed state, and what happens at a step boundary.
//!
//! A joiner takes a frozen state from a member and follows the totals; training goes on meanwhile. The joiner counts
//! from the first boundary at which it has proved the committed state's digest. Only for a joiner that is one step
//! behind the boundary is held, for a bounded moment.

use std::collections::BTreeSet;

use shared::error::{Code, Error};
use shared::ids::{Identity, Step, WorkerId};
use shared::wire::message::{Sync, SyncSource, ToWorker};

use super::event::{Command, Rewind};
use super::members::{Member, MemberState};
use super::notice::Notice;
use super::state::Phase;
use super::{Engine, Restorable};

/// Sources that are tried for one joiner before it is refused.
const SYNC_TRIES: usize = 8;

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
        if self.pending_failure.is_some() {
            self.fail_safely();
            return;
        }
        if self.interrupted {
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
        let committed = self.committed;
        let ready = self
            .members
            .values()
            .filter(|m| m.has_state(committed) && m.drain_deadline.is_none())
            .count();
        let needed = self.needed();
        self.short_of_workers = ready < needed;
        if self.short_of_workers {
            // The wait has no bound, so the committed state must not be in memory alone meanwhile.
            self.store_owed();
            self.notice(Notice::Waiting { ready, needed });
            return;
        }
        if self.waits_for_joiners() || self.replays_the_best() {
            return;
        }
        self.last_waiting = None;
        self.form_generation();
        self.started = true;
        self.begin_step();
    }

    /// How many workers must hold the committed state before the run goes on.
    fn needed(&self) -> usize {
        let needed = if self.started {
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
        ends && self.is_on_storage(self.committed) && self.is_on_storage(self.result())
    }

    /// Where the best state is the result and is lost before it was on storage, goes back so that it is computed again,
    /// with the same bytes. Returns whether the boundary must wait or has changed.
    fn replays_the_best(&mut self) -> bool {
        let Some(best) = self.lost_best() else {
            return false;
        };
        if self.somebody_is_on_its_way() {
            return true;
        }
        let Some(point) = self.point_to_go_back_to() else {
            return true;
        };
        if point.step > best {
            let what =
                format!("the best state, that of step {best}, lies before where this run began");
            let error = Error::new(Code::NoCheckpoint, what)
                .why(format!(
                    "it began after step {}, and nobody holds it",
                    point.step
                ))
                .fix(format!(
                    "--set resume_from_checkpoint=FOLDER, the checkpoint of step {best}"
                ));
            self.fail(error);
            return true;
        }
        self.notice(Notice::BestLost {
            step: best,
            from: point.step,
        });
        self.rewind(point);
        true
    }

    fn waits_for_joiners(&self) -> bool {
        let behind = |state: &MemberState| matches!(state, MemberState::Ready { step, .. } if step.next() == self.committed);
        let syncing = |state: &MemberState| matches!(state, MemberState::Syncing { .. });
        let nobody_works = self.working() == 0;
        let held = self.now < self.committed_at + self.options.timeouts.catch_up;
        self.members
            .values()
            .any(|m| (nobody_works && syncing(m.state())) || (behind(m.state()) && held))
    }

    pub(super) fn ready(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        step: Step,
        digest: &str,
    ) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        let (MemberState::Syncing { follows, .. } | MemberState::Ready { follows, .. }) =
            *member.state()
        else {
            return;
        };
        if member.sync_order.as_ref() != Some(identity) {
            return;
        }
        member.last_proof = self.now;
        if step > self.committed {
            // The run went back to a checkpoint meanwhile.
            self.set_state(worker, MemberState::Loaded);
            return;
        }
        let agreed = if step == self.committed {
            self.state_digest.clone()
        } else {
            self.digests.get(&step).cloned()
        };
        if let Some(agreed) = agreed.filter(|agreed| agreed != digest) {
            self.proves_another(worker, step, digest, &agreed);
            return;
        }
        if step == self.committed && self.state_digest.is_none() {
            self.state_digest = Some(digest.to_owned());
            self.digests.insert(step, digest.to_owned());
        }
        // A joiner that is behind and follows nobody takes the state anew.
        let state = match follows || step == self.committed {
            true => MemberState::Ready { step, follows },
            false => MemberState::Loaded,
        };
        self.set_state(worker, state);
        if step == self.committed {
            self.retains_what_it_has(worker);
        }
    }

    pub(super) fn unsynced(&mut self, worker: &WorkerId, reason: String) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        if !matches!(
            member.state(),
            MemberState::Syncing { .. } | MemberState::Ready { .. }
        ) {
            return;
        }
        // The peer that it followed is gone, but the joiner has the committed state already.
        if let MemberState::Ready { step, .. } = *member.state()
            && step == self.committed
        {
            let follows = false;
            self.set_state(worker, MemberState::Ready { step, follows });
            return;
        }
        if member.sync_tries > SYNC_TRIES {
            let error = Error::new(Code::SyncFailed, "the state could not be brought up")
                .why(reason)
                .why(format!(
                    "{SYNC_TRIES} tries: its line is too slow, or its peers cannot be reached"
                ))
                .fix("check the network between the workers (--advertise), then join again");
            self.refuse(worker, error);
            return;
        }
        self.look_through_its_source(worker);
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        // A peer that cannot be reached now may be in a while: the tries are spread over time.
        let doubled = 1 << member.sync_tries.min(8);
        let pause = (self.options.timeouts.beat / 4).saturating_mul(doubled);
        member.next_sync_at = self.now + pause.min(self.options.timeouts.lease);
        self.set_state(worker, MemberState::Loaded);
        self.notice(Notice::SyncAgain {
            worker: worker.clone(),
            reason,
        });
    }

    fn sync_loaded(&mut self) {
        let loaded: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| *m.state() == MemberState::Loaded && m.drain_deadline.is_none())
            .filter(|(_, m)| self.now >= m.next_sync_at)
            .map(|(id, m)| {
                (
                    id.clone(),
                    m.sync_tries + m.wrong_proofs,
                    m.wrong_proofs > 0,
                )
            })
            .collect();
        for (worker, tries, only_from_peers) in loaded {
            let Some(source) = self.state_source(tries, only_from_peers) else {
                return;
            };
            let follows = matches!(source, SyncSource::Peer(_));
            let sync = Sync {
                step: self.committed,
                source,
                state_digest: self.state_digest.clone().unwrap_or_default(),
            };
            // Each order has a number of its own: an answer still on its way is no answer to the next order.
            self.sync_orders = self.sync_orders.next();
            let at = Identity {
                attempt: self.sync_orders,
                ..self.identity()
            };
            let since = self.now;
            self.set_state(&worker, MemberState::Syncing { since, follows });
            if let Some(member) = self.members.get_mut(&worker) {
                // With a new state the worker forgets its assignments.
                member.outstanding.clear();
                member.sync_tries += 1;
                member.sync_source = Some(sync.source.clone());
                member.sync_order = Some(at.clone());
                member.proof_deadline = None;
            }
            self.send_at(&worker, at, ToWorker::Sync(sync));
        }
    }

    /// The source of the committed state for a joiner. When no worker holds that state, the run goes back to storage.
    fn state_source(&mut self, tries: usize, only_from_peers: bool) -> Option<SyncSource> {
        let between_steps = matches!(self.phase, Phase::Gathering | Phase::Finishing);
        let here = self.restorable_at(self.committed);
        if between_steps
            && self.working() == 0
            && !only_from_peers
            && let Some(here) = here
        {
            // A checkpoint that the coordinator is verifying is nobody's source meanwhile.
            return (!self.is_verifying(here.step)).then_some(here.source);
        }
        let gives =
            |m: &&Member| m.has_state(self.committed) && !m.suspect && m.proof_deadline.is_none();
        let count = self.members.values().filter(gives).count();
        let nth = tries % count.max(1);
        if let Some(holder) = self.members.values().filter(gives).nth(nth) {
            return Some(SyncSource::Peer(holder.hello.peer_address.clone()));
        }
        let anybody = self.members.values().any(|m| m.has_state(self.committed));
        if !between_steps || anybody {
            return None;
        }
        // A holder whose session broke may be on its way back.
        if self.somebody_is_on_its_way() {
            return None;
        }
        if let Some(point) = self.restart_point()
            && (self.is_verifying(point.step) || self.arrives_after(point.step))
        {
            return None;
        }
        let point = self.point_to_go_back_to()?;
        let source = point.source.clone();
        self.notice(Notice::Rewound { step: point.step });
        self.rewind(point);
        Some(source)
    }

    /// The checkpoint or the seed from which the state of a step can be restored.
    fn restorable_at(&self, step: Step) -> Option<Restorable> {
        let stored = self.checkpoints.stored.get(&step).map(|stored| Restorable {
            step,
            source: SyncSource::Checkpoint(stored.folder.clone()),
            state_digest: Some(stored.state_digest.clone()),
        });
        stored.or_else(|| self.origin.clone().filter(|origin| origin.step == step))
    }

    /// The state that a run goes back to when nobody holds the committed one; fails the run when there is none.
    pub(super) fn point_to_go_back_to(&mut self) -> Option<Restorable> {
        let point = self.restart_point();
        if point.is_none() {
            let what = "nobody holds the state, and no checkpoint that can be used is left";
            let error = Error::new(Code::NoCheckpoint, what)
                .fix("--set resume_from_checkpoint=FOLDER, the one this run began with");
            self.fail(error);
        }
        point
    }

    /// Sets the run to a state on storage, back or forward. Steps that are repeated must reproduce their digests.
    pub(super) fn rewind(&mut self, to: Restorable) {
        let known = to
            .state_digest
            .or_else(|| self.digests.get(&to.step).cloned());
        if (self.committed, &self.state_digest) == (to.step, &known) {
            return;
        }
        self.goes_on_from(to.step, known);
        for worker in self.members.those(|_, m| m.is_working()) {
            self.set_state(&worker, MemberState::Loaded);
        }
    }

    /// Makes `step` the committed one. A run that was about to finish goes on.
    pub(super) fn goes_on_from(&mut self, step: Step, state_digest: Option<String>) {
        if let Some(digest) = &state_digest {
            self.digests.insert(step, digest.clone());
        }
        (self.committed, self.state_digest) = (step, state_digest);
        self.rewind_evaluations();
        self.phase = Phase::Gathering;
        self.hung_on.clear();
        let forked = BTreeSet::new();
        self.out.push(Command::Rewind(Rewind {
            step,
            state_digest: self.state_digest.clone(),
            forked,
        }));
        for worker in self
            .members
            .those(|_, m| matches!(m.state(), MemberState::Ready { .. }))
        {
            self.set_state(&worker, MemberState::Loaded);
        }
    }

    /// After a commit: workers that hold the state before and follow nobody must take the state anew.
    pub(super) fn outdate_those_who_do_not_follow(&mut self) {
        let outdated = |_: &WorkerId, m: &Member| {
            matches!(m.state(), MemberState::Ready { follows: false, .. })
        };
        for worker in self.members.those(outdated) {
            self.set_state(&worker, MemberState::Loaded);
        }
    }

    /// A joiner that follows a peer and gets nothing any more takes the state from another peer.
    pub(super) fn sync_those_left_behind(&mut self) {
        let (now, lease, committed) = (self.now, self.options.timeouts.lease, self.committed);
        let behind = |m: &Member| match *m.state() {
            MemberState::Ready { step, follows } => follows && step < committed,
            _ => false,
        };
        for worker in self
            .members
            .those(|_, m| m.behind_since.is_some() != behind(m))
        {
            if let Some(member) = self.members.get_mut(&worker) {
                member.behind_since = behind(member).then_some(now);
            }
        }
        // Later commits extend no deadline: the totals that the joiner gets show in its own progress.
        let left_behind = |m: &Member| {
            m.behind_since.is_some_and(|since| {
                now > since.max(m.last_proof).max(m.progress_times().peers) + lease
            })
        };
        for worker in self.members.those(|_, m| left_behind(m)) {
            self.set_state(&worker, MemberState::Loaded);
            let reason = format!("it follows a peer and has not reached step {committed}");
            self.notice(Notice::SyncAgain { worker, reason });
        }
    }
}
