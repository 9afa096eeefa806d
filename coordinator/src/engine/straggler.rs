//! Straggler relief: a micro-batch that is late with one worker is given to an idle one as well.
//!
//! The first result counts, the other is void: both hold the same integers, so relief never changes the adapter.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{MicroBatchId, Step, WorkerId};
use shared::wire::message::ToWorker;

use super::Engine;
use super::members::{Member, Members};
use super::notice::Notice;
use super::pace::{SLOW, median};
use super::state::Phase;
use super::work::StepWork;
use super::{Cost, WorkKind};

/// Largest number of workers that compute the same micro-batch.
pub(super) const COPIES: usize = 2;
/// Largest cluster in which each worker is relieved as soon as it is idle; larger ones wait for the next tick.
const FEW: usize = 32;

/// A late micro-batch and the time that its holder will still take.
type Late = (Duration, MicroBatchId);

/// The usual time for a cost, in seconds: `unit.1 * tokens`, with the median worker's seconds for a token.
fn usual(cost: Cost, unit: (WorkKind, f64)) -> Duration {
    Duration::try_from_secs_f64(unit.1 * cost.tokens as f64).unwrap_or(Duration::MAX)
}

/// The step's micro-batches and their holders, to judge which are late.
#[derive(Clone, Copy)]
struct Lateness<'a> {
    work: &'a StepWork,
    members: &'a Members,
    /// The step in work.
    step: Step,
    now: Duration,
    /// A micro-batch of which no more time is left than this is not late.
    min_time_left: Duration,
    /// The kind of work in hand, and the median worker's seconds for one token of it.
    unit: (WorkKind, f64),
}

impl Lateness<'_> {
    /// The usual time of a worker for a cost; the median worker's before its first report.
    fn takes(self, member: &Member, cost: Cost) -> Duration {
        member
            .pace
            .typical(cost)
            .unwrap_or_else(|| usual(cost, self.unit))
    }

    /// The late micro-batches, the latest first, computed once for all idle workers.
    fn late_ones(self) -> Vec<Late> {
        let assigned = self.work.assigned.iter();
        let alone = assigned.filter(|(_, holders)| holders.len() < COPIES);
        let mut late: Vec<_> = alone
            .filter_map(|(id, holders)| {
                let holder = self.members.get(holders.first()?)?;
                Some((self.time_left(holder, *id)?, *id))
            })
            .collect();
        late.sort_unstable_by(|one, other| other.cmp(one));
        late
    }

    /// Index in `late` of the latest micro-batch that `worker` would finish in less than half the time its holder
    /// needs.
    fn latest_elsewhere(self, worker: &WorkerId, late: &[Late]) -> Option<usize> {
        let member = self.members.get(worker)?;
        late.iter().position(|(left, id)| {
            let own = self.takes(member, self.work.cost(*id));
            let holds = |holders: &BTreeSet<WorkerId>| holders.contains(worker);
            *left > own * 2 && !self.work.assigned.get(id).is_some_and(holds)
        })
    }

    /// Time that a holder will still take for one of its assignments; `None` when no more than `min_time_left` is left.
    fn time_left(self, holder: &Member, id: MicroBatchId) -> Option<Duration> {
        let place = holder
            .outstanding
            .iter()
            .position(|o| o.step == self.step && o.micro_batch == id && o.task.counts())?;
        let first = holder.outstanding.front()?;
        let running = self.now.saturating_sub(first.since);
        let (pace, typical) = (self.takes(holder, first.cost), usual(first.cost, self.unit));
        let behind = holder.outstanding.iter().skip(1).take(place);
        let queued = behind.map(|o| self.takes(holder, o.cost)).sum::<Duration>();
        if holder.suspect {
            return Some(Duration::MAX);
        }
        // An assignment that already took twice the usual time may never end.
        let overdue = running > self.min_time_left.max(pace.max(typical) * 2);
        let left = if overdue {
            running + queued
        } else {
            pace.saturating_sub(running) + queued
        };
        (left > self.min_time_left).then_some(left)
    }
}

impl Engine {
    /// Gives late micro-batches to all idle workers.
    pub(super) fn relieve(&mut self) {
        let Some(unit) = self.typical_unit() else {
            return;
        };
        self.report_the_slow(unit);
        let late = self.lateness(unit).map(Lateness::late_ones);
        let Some(mut late) = late.filter(|late| !late.is_empty()) else {
            return;
        };
        let idle = self.members.working();
        let idle = idle.iter().filter(|w| {
            let member = self.members.get(w);
            member.is_some_and(|m| m.is_free() && m.outstanding.is_empty())
        });
        for worker in idle.cloned().collect::<Vec<_>>() {
            self.relieve_by(&worker, unit, &mut late);
        }
    }

    /// Gives a late micro-batch to a worker that has just become idle; with more than [`FEW`] workers the next tick
    /// does.
    pub(super) fn relieve_if_idle(&mut self, worker: &WorkerId) {
        let idle = |m: &Member| m.is_free() && m.outstanding.is_empty();
        let few = self.members.len() <= FEW;
        if few
            && self.members.get(worker).is_some_and(idle)
            && let Some(unit) = self.typical_unit()
        {
            self.report_the_slow(unit);
            if let Some(mut late) = self.lateness(unit).map(Lateness::late_ones) {
                self.relieve_by(worker, unit, &mut late);
            }
        }
    }

    /// The median worker's seconds for one token of the kind of work in hand; `None` before any report of that kind.
    fn typical_unit(&self) -> Option<(WorkKind, f64)> {
        let Phase::Computing(work) = &self.phase else {
            return None;
        };
        let kind = work.cost(*work.assigned.keys().next()?).kind;
        let thousand = Cost { kind, tokens: 1000 };
        let paces = self.members.values();
        let times = paces.filter_map(|m| m.pace.typical(thousand)).collect();
        median(times).map(|time| (kind, time.as_secs_f64() / 1000.0))
    }

    fn lateness(&self, unit: (WorkKind, f64)) -> Option<Lateness<'_>> {
        let Phase::Computing(work) = &self.phase else {
            return None;
        };
        Some(Lateness {
            work,
            members: &self.members,
            step: self.states.committed.next(),
            now: self.now,
            min_time_left: self.options.timeouts.min_time_left_to_double,
            unit,
        })
    }

    fn relieve_by(&mut self, worker: &WorkerId, unit: (WorkKind, f64), late: &mut Vec<Late>) {
        let lateness = self.lateness(unit);
        let Some(place) = lateness.and_then(|l| l.latest_elsewhere(worker, late)) else {
            return;
        };
        let (_, micro_batch) = late.remove(place);
        let (now, at) = (self.now, self.identity());
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        let (task, cost) = (work.task, work.cost(micro_batch));
        let holders = work.assigned.entry(micro_batch).or_default();
        holders.insert(worker.clone());
        if let Some(member) = self.members.get_mut(worker) {
            member.give(&at, task, (micro_batch, cost), now);
        }
        self.send(worker, ToWorker::Assign(task, vec![micro_batch]));
    }

    fn report_the_slow(&mut self, unit: (WorkKind, f64)) {
        let mut slow = Vec::new();
        let floor = self.options.timeouts.min_time_left_to_double;
        let Phase::Computing(work) = &self.phase else {
            return;
        };
        let cost = work.largest(unit.0);
        let typical = usual(cost, unit);
        for (worker, member) in self.members.iter_mut() {
            let Some(own) = member.pace.typical(cost) else {
                continue;
            };
            let is_slow = own > typical * SLOW && own > floor;
            if is_slow && !member.reported_slow {
                slow.push((worker.clone(), own));
            }
            member.reported_slow = is_slow || (member.reported_slow && own > typical * 2);
        }
        for (worker, own) in slow {
            self.outbox.notice(Notice::Slow {
                worker,
                own,
                typical,
            });
        }
    }
}
