//! How a member's state is brought up, and how a generation is formed at a step boundary.
//!
//! A joiner takes a frozen state from a member and follows the totals; training goes on meanwhile.
//! It counts from the first boundary at which it has proved the committed state's digest. Only when
//! it is one step behind the boundary is held, for a bounded moment.

use std::collections::BTreeSet;

use shared::error::{Code, Error};
use shared::ids::{Slot, Step, WorkerId};
use shared::wire::message::{self, Sync, SyncSource, ToWorker};

use super::Engine;
use super::event::Command;
use super::notice::Notice;
use super::state::{Member, MemberState, Phase};

/// Sources tried for one joiner.
const SYNC_TRIES: usize = 8;

impl Engine {
    /// After every event: whatever can go on goes on.
    pub(super) fn settle(&mut self) {
        self.recover_when_all_are_back();
        if !matches!(self.phase, Phase::Over | Phase::Recovering { .. }) {
            self.sync_loaded();
        }
        if matches!(self.phase, Phase::Gathering) {
            self.leave_boundary();
        }
    }

    /// At a step boundary: forms the generation and begins the step.
    fn leave_boundary(&mut self) {
        if self.hold_for_checkpoint() {
            return;
        }
        if self.failing.is_some() {
            self.fail_safely();
            return;
        }
        if self.interrupted {
            self.stop_safely();
            return;
        }
        self.write_the_best();
        if !self.release_drained() {
            return;
        }
        let committed = self.committed;
        let ready = self
            .members
            .values()
            .filter(|m| m.has_state(committed) && m.draining.is_none())
            .count();
        let needed = if self.started {
            self.options.min_workers
        } else {
            self.options.wait_workers
        };
        let needed = needed.max(1).min(self.options.max_workers.max(1));
        if ready < needed {
            self.notice(Notice::Waiting { ready, needed });
            return;
        }
        if self.waits_for_joiners() {
            return;
        }
        self.last_waiting = None;
        self.form_generation();
        self.started = true;
        self.begin_step();
    }

    fn waits_for_joiners(&self) -> bool {
        let behind = |state: &MemberState| matches!(state, MemberState::Ready { step, .. } if step.next() == self.committed);
        let syncing = |state: &MemberState| matches!(state, MemberState::Syncing { .. });
        let nobody_works = self.working() == 0;
        let held = self.now < self.committed_at + self.options.ladder.catch_up;
        self.members
            .values()
            .any(|m| (nobody_works && syncing(&m.state)) || (behind(&m.state) && held))
    }

    pub(super) fn ready(&mut self, worker: &WorkerId, step: Step, digest: &str) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        let (MemberState::Syncing { follows, .. } | MemberState::Ready { follows, .. }) =
            member.state
        else {
            return;
        };
        member.syncs = 0;
        member.proved = self.now;
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
        self.set_state(worker, MemberState::Ready { step, follows });
    }

    pub(super) fn unsynced(&mut self, worker: &WorkerId, reason: String) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        if !matches!(
            member.state,
            MemberState::Syncing { .. } | MemberState::Ready { .. }
        ) {
            return;
        }
        if member.syncs > SYNC_TRIES {
            let error = Error::new(Code::SyncFailed, "the state could not be brought up")
                .why(reason)
                .fix("check the network between the workers (--advertise), then join again");
            self.refuse(worker, error);
            return;
        }
        member.state = MemberState::Loaded;
        self.notice(Notice::SyncAgain {
            worker: worker.clone(),
            reason,
        });
    }

    fn sync_loaded(&mut self) {
        let loaded: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| m.state == MemberState::Loaded)
            .map(|(id, m)| (id.clone(), m.syncs + m.unlike, m.unlike > 0))
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
            let deadline = self.now + self.options.ladder.sync;
            if let Some(member) = self.members.get_mut(&worker) {
                member.state = MemberState::Syncing { deadline, follows };
                member.syncs += 1;
                member.source = Some(sync.source.clone());
                member.proving = None;
            }
            self.send(&worker, ToWorker::Sync(sync));
        }
    }

    /// Where a joiner takes the committed state from; goes back to storage when nobody has it.
    fn state_source(&mut self, tries: usize, only_from_peers: bool) -> Option<SyncSource> {
        let between_steps = matches!(self.phase, Phase::Gathering | Phase::Finishing);
        let at_its_beginning = self.committed == self.restorable.step && self.working() == 0;
        if between_steps && at_its_beginning && !only_from_peers {
            return Some(self.restorable.source.clone());
        }
        let holders: Vec<_> = self
            .members
            .values()
            .filter(|m| m.has_state(self.committed) && !m.suspect && m.proving.is_none())
            .map(|m| m.hello.peer_address.clone())
            .collect();
        if let Some(holder) = holders.get(tries % holders.len().max(1)) {
            return Some(SyncSource::Peer(holder.clone()));
        }
        let anybody = self.members.values().any(|m| m.has_state(self.committed));
        if !between_steps || anybody {
            return None;
        }
        self.rewind();
        Some(self.restorable.source.clone())
    }

    /// Nobody holds the state: back to the newest checkpoint. What is repeated must reproduce.
    pub(super) fn rewind(&mut self) {
        let there = (self.committed, &self.state_digest);
        if there == (self.restorable.step, &self.restorable.state_digest) {
            return;
        }
        self.committed = self.restorable.step;
        self.rewind_evaluations();
        self.state_digest = self.restorable.state_digest.clone();
        // Steps are missing again: an end that had begun is none.
        self.phase = Phase::Gathering;
        self.out.push(Command::Rewind(self.committed));
        self.notice(Notice::Rewound {
            step: self.committed,
        });
        let stale: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| matches!(m.state, MemberState::Ready { .. }))
            .map(|(id, _)| id.clone())
            .collect();
        for worker in stale {
            self.set_state(&worker, MemberState::Loaded);
        }
    }

    /// Whoever holds the state before and does not follow has to be brought up again.
    pub(super) fn outdate_those_who_do_not_follow(&mut self) {
        for member in self.members.values_mut() {
            if matches!(member.state, MemberState::Ready { follows: false, .. }) {
                member.state = MemberState::Loaded;
            }
        }
    }

    /// Whoever follows a peer that says nothing any more takes the state from another one.
    pub(super) fn sync_those_left_behind(&mut self) {
        let (now, lease, committed) = (self.now, self.options.ladder.lease, self.committed);
        let patience = |m: &Member| m.proved.max(self.committed_at) + lease;
        let left_behind = |m: &Member| match m.state {
            MemberState::Ready { step, follows } => {
                follows && step < committed && now > patience(m)
            }
            _ => false,
        };
        let left: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| left_behind(m))
            .map(|(id, _)| id.clone())
            .collect();
        for worker in left {
            self.set_state(&worker, MemberState::Loaded);
            let reason = format!("it follows a peer and has not reached step {committed}");
            self.notice(Notice::SyncAgain { worker, reason });
        }
    }

    fn form_generation(&mut self) {
        let committed = self.committed;
        let room = self.options.max_workers.saturating_sub(self.working());
        let at_hand: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| m.has_state(committed) && !m.is_working())
            .filter(|(_, m)| m.draining.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        let (joining, spare) = at_hand.split_at(at_hand.len().min(room));
        if !spare.is_empty() {
            self.notice_once(Notice::Spare {
                workers: spare.to_vec(),
                max_workers: self.options.max_workers,
            });
        }
        if joining.is_empty() && self.working() > 0 {
            return;
        }
        let taken = u32::try_from(self.working()).unwrap_or(u32::MAX);
        for (slot, worker) in (taken..).zip(joining) {
            self.set_state(worker, MemberState::Working { slot: Slot(slot) });
        }
        self.next_generation();
        self.report_devices();
    }

    /// Tells every member who the others are, under a new number.
    pub(super) fn next_generation(&mut self) {
        self.generation = self.generation.next();
        let working = self.working_ids();
        let list: Vec<_> = (0..)
            .zip(&working)
            .filter_map(|(slot, worker)| {
                let member = self.members.get_mut(worker)?;
                member.state = MemberState::Working { slot: Slot(slot) };
                Some(message::Member {
                    worker: worker.clone(),
                    slot: Slot(slot),
                    peer_address: member.hello.peer_address.clone(),
                })
            })
            .collect();
        let (generation, workers) = (self.generation, working.len());
        self.out.push(Command::Members(generation, working));
        self.send_working(&ToWorker::Members(list));
        self.notice(Notice::Generation {
            generation,
            workers,
        });
    }

    fn report_devices(&mut self) {
        let classes: BTreeSet<_> = self
            .members
            .values()
            .filter(|m| m.is_working())
            .map(|m| m.device_class.clone())
            .collect();
        if classes.len() > 1 {
            self.notice_once(Notice::MixedDevices {
                classes: classes.into_iter().collect(),
            });
        }
    }
}
