//! How a joiner gets the committed state.
//!
//! A joiner takes a frozen state from a member and follows the totals; training goes on meanwhile. The joiner counts
//! from the first boundary at which it has proved the committed state's digest.

use shared::error::{Code, Error};
use shared::ids::{Attempt, Identity, Step, WorkerId};
use shared::wire::message::{Sync, SyncSource, ToWorker};

use super::Engine;
use super::members::{Member, MemberState};
use super::notice::Notice;
use super::state::Phase;

/// Sources that are tried for one joiner before it is refused.
const SYNC_TRIES: usize = 8;

/// Numbers the `Sync` orders: an answer still on its way is no answer to the next order.
#[derive(Debug, Default)]
pub(super) struct SyncOrders {
    newest: Attempt,
}

impl SyncOrders {
    /// The identity of the next order, which carries its number in the place of an attempt.
    fn next(&mut self, identity: Identity) -> Identity {
        self.newest = self.newest.next();
        Identity {
            attempt: self.newest,
            ..identity
        }
    }
}

impl Engine {
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
        if step > self.states.committed {
            // The run went back to a checkpoint meanwhile.
            self.members.set_state(worker, MemberState::Loaded);
            return;
        }
        let agreed = if step == self.states.committed {
            self.states.state_digest.clone()
        } else {
            self.states.digests.get(&step).cloned()
        };
        if let Some(agreed) = agreed.filter(|agreed| agreed != digest) {
            self.proves_another(worker, step, digest, &agreed);
            return;
        }
        if step == self.states.committed && self.states.state_digest.is_none() {
            self.states.begins_with(digest);
        }
        // A joiner that is behind and follows nobody takes the state anew.
        let state = match follows || step == self.states.committed {
            true => MemberState::Ready { step, follows },
            false => MemberState::Loaded,
        };
        self.members.set_state(worker, state);
        if step == self.states.committed {
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
            && step == self.states.committed
        {
            let follows = false;
            self.members
                .set_state(worker, MemberState::Ready { step, follows });
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
        self.members.set_state(worker, MemberState::Loaded);
        self.outbox.notice(Notice::SyncAgain {
            worker: worker.clone(),
            reason,
        });
    }

    pub(super) fn sync_loaded(&mut self) {
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
                step: self.states.committed,
                source,
                state_digest: self.states.state_digest.clone().unwrap_or_default(),
            };
            let at = self.sync_orders.next(self.identity());
            let since = self.now;
            self.members
                .set_state(&worker, MemberState::Syncing { since, follows });
            if let Some(member) = self.members.get_mut(&worker) {
                // With a new state the worker forgets its assignments.
                member.outstanding.clear();
                member.sync_tries += 1;
                member.sync_source = Some(sync.source.clone());
                member.sync_order = Some(at.clone());
                member.proof_deadline = None;
            }
            self.outbox.send_at(&worker, at, ToWorker::Sync(sync));
        }
    }

    /// The source of the committed state for a joiner. When no worker holds that state, the run goes back to storage.
    fn state_source(&mut self, tries: usize, only_from_peers: bool) -> Option<SyncSource> {
        let between_steps = matches!(self.phase, Phase::Gathering | Phase::Finishing);
        let here = self.checkpoints.restorable_at(self.states.committed);
        if between_steps
            && self.working() == 0
            && !only_from_peers
            && let Some(here) = here
        {
            // A checkpoint that the coordinator is verifying is nobody's source meanwhile.
            return (!self.checkpoints.is_verifying(here.step)).then_some(here.source);
        }
        let gives = |m: &&Member| {
            m.has_state(self.states.committed) && !m.suspect && m.proof_deadline.is_none()
        };
        let count = self.members.values().filter(gives).count();
        let nth = tries % count.max(1);
        if let Some(holder) = self.members.values().filter(gives).nth(nth) {
            return Some(SyncSource::Peer(holder.hello.peer_address.clone()));
        }
        let anybody = self
            .members
            .values()
            .any(|m| m.has_state(self.states.committed));
        if !between_steps || anybody {
            return None;
        }
        // A holder whose session broke may be on its way back.
        if self.members.somebody_is_on_its_way() {
            return None;
        }
        if let Some(point) = self.restart_point()
            && (self.checkpoints.is_verifying(point.step)
                || self
                    .checkpoints
                    .arrives_after(point.step, self.states.committed))
        {
            return None;
        }
        let point = self.point_to_go_back_to()?;
        let source = point.source.clone();
        self.outbox.notice(Notice::Rewound { step: point.step });
        self.rewind(point);
        Some(source)
    }

    /// A joiner that follows a peer and gets nothing any more takes the state from another peer.
    pub(super) fn sync_those_left_behind(&mut self) {
        let (now, lease, committed) =
            (self.now, self.options.timeouts.lease, self.states.committed);
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
            self.members.set_state(&worker, MemberState::Loaded);
            let reason = format!("it follows a peer and has not reached step {committed}");
            self.outbox.notice(Notice::SyncAgain { worker, reason });
        }
    }
}
