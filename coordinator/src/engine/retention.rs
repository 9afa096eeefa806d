//! Which old checkpoints are removed from storage: `save_total_limit`.
//!
//! In: the checkpoints on storage. Out: orders to remove. Keeps: the best one and whatever the run could go back to are
//! never removed.

use shared::ids::Step;

use super::Engine;
use super::checkpoints::Checkpoints;
use super::event::Command;

impl Engine {
    /// Removes the oldest checkpoints beyond `save_total_limit`. Kept are the best one, the one that the run would go
    /// back to, and that of the committed state where a late publication lies ahead of it: it would be owed again at
    /// once.
    pub(super) fn remove_oldest(&mut self) {
        let Some(limit) = self.options.save_total_limit else {
            return;
        };
        let point = self.restart_point().map(|point| point.step);
        let stays = [self.best(), point, Some(self.states.committed)];
        for step in self.checkpoints.take_oldest(limit, &stays) {
            self.outbox.push(Command::Remove(step));
        }
    }
}

impl Checkpoints {
    /// Takes out the oldest checkpoints beyond `save_total_limit`, but for those that stay; returns their steps.
    fn take_oldest(&mut self, limit: u32, stays: &[Option<Step>]) -> Vec<Step> {
        let keep = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let older = self.stored.keys().rev().skip(keep);
        let older = older.filter(|step| !stays.contains(&Some(**step)));
        let older: Vec<_> = older.copied().collect();
        for step in &older {
            self.stored.remove(step);
        }
        older
    }
}
