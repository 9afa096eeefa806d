//! Straggler relief: what is late with one worker is given to an idle one as well.
//!
//! The first result counts, the other is void: who computes never changes what comes out.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{MicroBatchId, WorkerId};
use shared::wire::message::ToWorker;

use super::Engine;
use super::members::Member;
use super::notice::Notice;
use super::pace::{SLOW, median};
use super::state::Phase;
use super::{Cost, WorkKind};

/// At most so many workers compute the same micro-batch.
const COPIES: usize = 2;
/// Up to so many workers each is looked at as soon as it is idle.
const FEW: usize = 32;

/// A micro-batch that is late where it is, and how long it will still take there.
type Late = (Duration, MicroBatchId);

/// What work usually takes, at the typical worker's time for a token.
fn usual(cost: Cost, unit: (WorkKind, f64)) -> Duration {
    Duration::try_from_secs_f64(unit.1 * cost.tokens as f64).unwrap_or(Duration::MAX)
}

impl Engine {
    /// Gives what is late elsewhere to workers that have nothing to do.
    pub(super) fn relieve(&mut self) {
        let Some(unit) = self.typical_unit() else {
            return;
        };
        self.name_the_slow(unit);
        let mut late = self.late_ones(unit);
        if late.is_empty() {
            return;
        }
        let idle = self.members.working();
        let idle = idle.iter().filter(|w| {
            let member = self.members.get(w);
            member.is_some_and(|m| m.is_free() && m.outstanding.is_empty())
        });
        for worker in idle.cloned().collect::<Vec<_>>() {
            self.relieve_by(&worker, unit, &mut late);
        }
    }

    /// The same for one that has just become idle. With many workers the next tick looks for all of them.
    pub(super) fn relieve_if_idle(&mut self, worker: &WorkerId) {
        let idle = |m: &Member| m.is_free() && m.outstanding.is_empty();
        let few = self.members.len() <= FEW;
        if few
            && self.members.get(worker).is_some_and(idle)
            && let Some(unit) = self.typical_unit()
        {
            self.name_the_slow(unit);
            let mut late = self.late_ones(unit);
            self.relieve_by(worker, unit, &mut late);
        }
    }

    /// What the typical worker takes for one token of the work in hand.
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

    fn relieve_by(&mut self, worker: &WorkerId, unit: (WorkKind, f64), late: &mut Vec<Late>) {
        let Some(place) = self.latest_elsewhere(worker, unit, late) else {
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

    /// What will take long where it is, the longest first: looked for once, whoever is idle.
    fn late_ones(&self, unit: (WorkKind, f64)) -> Vec<Late> {
        let Phase::Computing(work) = &self.phase else {
            return Vec::new();
        };
        let alone = work
            .assigned
            .iter()
            .filter(|(_, holders)| holders.len() < COPIES);
        let mut late: Vec<_> = alone
            .filter_map(|(id, holders)| {
                let holder = self.members.get(holders.first()?)?;
                Some((self.time_left(holder, *id, unit)?, *id))
            })
            .collect();
        late.sort_unstable_by(|one, other| other.cmp(one));
        late
    }

    /// The assignment that would end last, when `worker` is sure to be done before; its place among the late ones.
    fn latest_elsewhere(
        &self,
        worker: &WorkerId,
        unit: (WorkKind, f64),
        late: &[Late],
    ) -> Option<usize> {
        let Phase::Computing(work) = &self.phase else {
            return None;
        };
        let own = &self.members.get(worker)?.pace;
        late.iter().position(|(left, id)| {
            let cost = work.cost(*id);
            let own = own.typical(cost).unwrap_or_else(|| usual(cost, unit));
            let holds = |holders: &BTreeSet<WorkerId>| holders.contains(worker);
            *left > own * 2 && !work.assigned.get(id).is_some_and(holds)
        })
    }

    /// How long a holder will still take for one of its assignments; nothing when that is soon.
    fn time_left(
        &self,
        holder: &Member,
        id: MicroBatchId,
        unit: (WorkKind, f64),
    ) -> Option<Duration> {
        let late = self.options.ladder.late;
        let step = self.committed.next();
        let place = holder
            .outstanding
            .iter()
            .position(|o| o.step == step && o.micro_batch == id && o.task.counts())?;
        let first = holder.outstanding.front()?;
        let running = self.now.saturating_sub(first.since);
        let takes = |cost: Cost| {
            let own = holder.pace.typical(cost);
            own.unwrap_or_else(|| usual(cost, unit))
        };
        let (pace, typical) = (takes(first.cost), usual(first.cost, unit));
        let behind = holder.outstanding.iter().skip(1).take(place);
        let queued = behind.map(|o| takes(o.cost)).sum::<Duration>();
        if holder.suspect {
            return Some(Duration::MAX);
        }
        // One that already took longer than usual may take for ever.
        let overdue = running > late.max(pace.max(typical) * 2);
        let left = if overdue {
            running + queued
        } else {
            pace.saturating_sub(running) + queued
        };
        (left > late).then_some(left)
    }

    fn name_the_slow(&mut self, unit: (WorkKind, f64)) {
        let mut slow = Vec::new();
        let floor = self.options.ladder.late;
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
            if is_slow && !member.named_slow {
                slow.push((worker.clone(), own));
            }
            member.named_slow = is_slow || (member.named_slow && own > typical * 2);
        }
        for (worker, own) in slow {
            self.notice(Notice::Slow {
                worker,
                own,
                typical,
            });
        }
    }
}
