//! Straggler relief: what is late with one worker is given to an idle one as well.
//!
//! The first result counts, the other is void: who computes never changes what comes out.

use std::time::Duration;

use shared::ids::{MicroBatchId, WorkerId};
use shared::wire::message::ToWorker;

use super::Engine;
use super::notice::Notice;
use super::pace::{SLOW, median};
use super::state::{Member, Phase};

/// At most so many workers compute the same micro-batch.
const COPIES: usize = 2;

impl Engine {
    /// Gives what is late elsewhere to workers that have nothing to do.
    pub(super) fn relieve(&mut self) {
        let typical = median(
            self.members
                .values()
                .filter_map(|m| m.pace.typical())
                .collect(),
        );
        let Some(typical) = typical else { return };
        self.name_the_slow(typical);
        let idle: Vec<_> = self
            .working_ids()
            .into_iter()
            .filter(|w| {
                let member = self.members.get(w);
                member.is_some_and(|m| m.is_free() && m.outstanding.is_empty())
            })
            .collect();
        for worker in idle {
            let Some(micro_batch) = self.latest_elsewhere(&worker, typical) else {
                continue;
            };
            let (now, at) = (self.now, self.identity());
            let Phase::Computing(work) = &mut self.phase else {
                return;
            };
            let task = work.task;
            let holders = work.assigned.entry(micro_batch).or_default();
            holders.insert(worker.clone());
            if let Some(member) = self.members.get_mut(&worker) {
                member.give(&at, micro_batch, task, now);
            }
            self.send(&worker, ToWorker::Assign(task, vec![micro_batch]));
        }
    }

    /// The assignment that would end last, when `worker` is sure to be done before.
    fn latest_elsewhere(&self, worker: &WorkerId, typical: Duration) -> Option<MicroBatchId> {
        let Phase::Computing(work) = &self.phase else {
            return None;
        };
        let own = self.members.get(worker)?.pace.typical().unwrap_or(typical);
        let candidates = work
            .assigned
            .iter()
            .filter(|(_, holders)| holders.len() < COPIES && !holders.contains(worker));
        candidates
            .filter_map(|(id, holders)| {
                let holder = self.members.get(holders.first()?)?;
                let left = self.time_left(holder, *id, typical)?;
                (left > own * 2).then_some((left, *id))
            })
            .max()
            .map(|(_, id)| id)
    }

    /// How long a holder will still take for one of its assignments; nothing when that is soon.
    fn time_left(&self, holder: &Member, id: MicroBatchId, typical: Duration) -> Option<Duration> {
        let late = self.options.ladder.late;
        let step = self.committed.next();
        let place = holder
            .outstanding
            .iter()
            .position(|o| o.step == step && o.micro_batch == id && o.task.counts())?;
        let running = self.now.saturating_sub(holder.outstanding.front()?.since);
        let pace = holder.pace.typical().unwrap_or(typical);
        let queued = pace * u32::try_from(place).unwrap_or(u32::MAX);
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

    fn name_the_slow(&mut self, typical: Duration) {
        let mut slow = Vec::new();
        let floor = self.options.ladder.late;
        for (worker, member) in &mut self.members {
            let Some(own) = member.pace.typical() else {
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
