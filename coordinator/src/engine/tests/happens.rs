//! What a test lets happen in a cluster of scripted workers: their work, their reduces, time.

use std::time::Duration;

use shared::ids::{Identity, WorkerId};
use shared::numerics::Fingerprint;
use shared::wire::message::{Applied, Computed, FromWorker, Progress, Task};

use super::super::{Cost, Event, WorkKind};
use super::cluster::Cluster;
use super::scripted::{gradient, worker};

impl Cluster {
    /// Lets a worker compute the oldest micro-batch it holds.
    pub(super) fn compute(&mut self, name: &WorkerId) -> bool {
        let Some(scripted) = self.workers.get_mut(name) else {
            return false;
        };
        let Some((identity, micro_batch, task)) = scripted.held.pop_front() else {
            return false;
        };
        let fingerprint = gradient(identity.step, micro_batch) + scripted.wrong;
        if task == Task::Train {
            scripted.side.insert(micro_batch, fingerprint);
        }
        let computed = Computed {
            micro_batch,
            fingerprint,
            compute_us: 1,
            task,
        };
        self.say(name, identity, FromWorker::Computed(computed));
        true
    }

    /// Lets every member that was told to reduce do so, when all of them were told.
    pub(super) fn reduce(&mut self) -> bool {
        let told = std::mem::take(&mut self.reducing);
        let Some(newest) = told.iter().map(|(_, i)| (i.generation, i.attempt)).max() else {
            return false;
        };
        let current: Vec<_> = told
            .into_iter()
            .filter(|(_, i)| (i.generation, i.attempt) == newest)
            .collect();
        let sums: Vec<u64> = current
            .iter()
            .filter_map(|(w, _)| self.workers.get(w))
            .map(|s| s.sum)
            .collect();
        let total: u64 = sums.iter().sum();
        for (name, identity) in current {
            let Some(scripted) = self.workers.get_mut(&name).filter(|s| !s.mute) else {
                continue;
            };
            let (skipped, loss_scale) = (self.outcome)(identity.step);
            let update = if skipped { 0 } else { total };
            scripted.shadow = scripted.state + update + u64::from(scripted.lies);
            let applied = Applied {
                state_digest: scripted.shadow.to_string(),
                total_fingerprint: (Fingerprint(0) + Fingerprint(total)).0,
                contributed_fingerprint: (Fingerprint(0) + Fingerprint(scripted.sum)).0,
                skipped,
                loss_scale,
                ..Applied::default()
            };
            self.say(&name, identity, FromWorker::Applied(applied));
        }
        true
    }

    /// Time passes, tick by tick; those who are `alive` give signs of life, and nothing moves.
    pub(super) fn pass(&mut self, time: Duration, alive: &[&str]) {
        let (until, tick) = (self.now + time, Duration::from_millis(100));
        let mut beats = 0;
        while self.now < until {
            self.now += tick;
            beats += 1;
            if beats % 10 == 0 {
                for name in alive {
                    self.beat(name, Progress::default());
                }
            }
            self.event(Event::Tick);
        }
    }

    /// What a worker's largest micro-batch took before it took part.
    pub(super) fn rehearsed(&mut self, name: &str, time: Duration) -> bool {
        let cost = Cost {
            kind: WorkKind::Train,
            tokens: 10,
        };
        let times = std::iter::once((cost.tokens, time));
        let member = self.engine.members.get_mut(&worker(name));
        member.map(|m| m.pace.rehearsed(times)).is_some()
    }

    pub(super) fn beat(&mut self, name: &str, progress: Progress) {
        self.say(
            &worker(name),
            Identity::default(),
            FromWorker::Beat(progress),
        );
    }

    /// Runs until nothing happens any more.
    pub(super) fn run(&mut self) {
        for _ in 0..100_000 {
            let names: Vec<_> = self.workers.keys().cloned().collect();
            let mut moved = false;
            for name in names {
                moved |= self.compute(&name);
            }
            if !moved && !self.hold_reduce {
                moved = self.reduce();
            }
            if !moved {
                return;
            }
        }
        panic!("the run does not end");
    }
}
