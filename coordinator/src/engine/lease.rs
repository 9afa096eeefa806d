//! Whose lease is over, and whose device hangs: what each tick looks for.
//!
//! In: when each worker was heard, and what moved on it. Out: workers that are suspected, evicted. Keeps: a worker that
//! loads or takes the state may take as long as anything moves.

use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{Step, WorkerId};
use shared::wire::message::ToWorker;

use super::event::Command;
use super::members::{Member, MemberState, Outstanding};
use super::notice::Notice;
use super::state::CurrentStep;
use super::{Engine, Timeouts};

/// The refusal for a worker whose device hangs: a hung device does not recover within its process.
fn hung(step: Step) -> Error {
    Error::new(
        Code::Evicted,
        format!("step {step}: this worker's device did not finish a micro-batch in time"),
    )
    .why("the process is alive and its device does not answer; the others go on without it")
    .fix("look at the device, then start this worker again")
}

impl Engine {
    pub(super) fn tick(&mut self) {
        let (now, timeouts) = (self.now, self.options.timeouts);
        for (worker, member) in self.members.iter_mut() {
            if now.saturating_sub(member.last_heard) > timeouts.suspect && !member.suspect {
                member.suspect = true;
                let worker = worker.clone();
                self.outbox
                    .push(Command::Notice(Notice::Suspect { worker }));
            }
        }
        self.members.forget_the_absent(now);
        for (worker, notice) in self.overdue() {
            if let Notice::Hung { step, .. } = notice {
                self.send(&worker, ToWorker::Refused(hung(step)));
            }
            self.remove(&worker, notice);
        }
        self.sync_those_left_behind();
        self.reduce_overdue();
        self.state_check_overdue();
        self.proof_overdue();
        self.release_overdue();
        self.checkpoint_overdue();
        self.deal();
    }

    /// Workers that have let a deadline pass, each with the notice that says which.
    fn overdue(&mut self) -> Vec<(WorkerId, Notice)> {
        let (now, timeouts) = (self.now, &self.options.timeouts);
        let mut overdue = Vec::new();
        for (worker, member) in self.members.iter() {
            let silent = is_silent(member, now, timeouts);
            let late = member.outstanding.front();
            let late =
                late.filter(|first| !silent && is_late(member, first, &self.step, now, timeouts));
            if silent {
                let worker = worker.clone();
                overdue.push((worker.clone(), Notice::Silent { worker }));
            } else if let Some(first) = late {
                let notice = Notice::Hung {
                    worker: worker.clone(),
                    step: first.step,
                    micro_batch: first.micro_batch,
                };
                overdue.push((worker.clone(), notice));
            }
        }
        for (_, notice) in &overdue {
            if let Notice::Hung { micro_batch, .. } = notice {
                self.step.hung_on.insert(*micro_batch);
            }
        }
        overdue
    }
}

/// Whether the worker was silent for its lease, or loads or takes the state while nothing moves.
fn is_silent(member: &Member, now: Duration, timeouts: &Timeouts) -> bool {
    let moved = member.progress_times();
    let stands = |since: Duration, most: Duration| now.saturating_sub(since) > most;
    stands(member.last_heard, timeouts.lease)
        || match member.state() {
            MemberState::Joining { since } => stands(
                (*since).max(moved.device).max(moved.storage),
                timeouts.load_stall,
            ),
            MemberState::Syncing { since, .. } => stands(
                (*since).max(moved.peers).max(moved.storage),
                timeouts.sync_stall,
            ),
            _ => false,
        }
}

/// Whether the worker's device takes longer than its own past and the size of the work allow, and finishes nothing.
/// Where another device hung on the same micro-batch, the deadline may be wrong and not the worker: it gets more
/// time.
fn is_late(
    member: &Member,
    first: &Outstanding,
    step: &CurrentStep,
    now: Duration,
    timeouts: &Timeouts,
) -> bool {
    // A silent worker's device may be fine: only workers that are heard can be judged hung.
    if member.suspect {
        return false;
    }
    let mut deadline = member
        .pace
        .deadline(first.cost, timeouts.progress, timeouts.first_compute);
    if step.hung_on.contains(&first.micro_batch) {
        deadline = deadline.max(timeouts.first_compute);
    }
    let since = first.since.max(member.progress_times().device);
    now.saturating_sub(since) > deadline
}
