//! What the coordinator does with storage beside its engine: publish, look through, remove, export.
//!
//! In: the engine's orders, a little later. Out: what came of them, as events.
//! Keeps: as the driver: content is compared with the agreed digest before it gets its name; a process that is
//! gone answers nothing, and what it had begun may have happened or not.

use coordinator::engine::{Event, PublishFailure, StoredCheckpoint};
use shared::ids::{Step, Term};
use shared::numerics;

use super::invariants::Violation;
use super::world::{Item, Own, World};

const MS: u64 = 1000;

impl World {
    /// How long a checkpoint moves; that it does is said once a second, unless storage hangs.
    pub(crate) fn moves_storage(&mut self, staging: &str) -> u64 {
        if std::mem::take(&mut self.publication_hangs) {
            let stage = self.timeouts.stage_stall.as_micros() as u64;
            return self.dice.within(stage / 2, 3 * stage);
        }
        let most = self.setting.sizes.transfer.max(50 * MS);
        let time = self.dice.within(MS, most);
        for second in 1..=time / (1000 * MS) {
            let moves = Item::Own(self.term, Own::Moves(staging.to_owned()));
            self.after(second * 1000 * MS, moves);
        }
        time
    }

    pub(crate) fn own(&mut self, term: Term, own: Own) -> Result<(), Violation> {
        let gone = self.engine.is_none() || self.term != term;
        if gone && self.dice.one_in(2) {
            return Ok(());
        }
        let event = match own {
            Own::Interrupt => Some(Event::Interrupt),
            Own::Moves(staging) => Some(Event::Publishing {
                staging: staging.into(),
            }),
            Own::Publish {
                step,
                state_digest,
                staging,
            } => {
                // A process that is gone had written the line first, or it gave no name.
                if gone && !self.store.digests().contains_key(&step) {
                    return Ok(());
                }
                let outcome = self.publish(step, &state_digest, &staging)?;
                let staging = staging.into();
                Some(Event::Published {
                    step,
                    staging,
                    outcome,
                })
            }
            Own::Verify(stored) => {
                let step = stored.step;
                let outcome = self.store.look_through(step, Some(&stored.state_digest));
                Some(Event::Verified { step, outcome })
            }
            Own::Remove(step) => {
                self.store.checkpoints.remove(&step);
                None
            }
            Own::Export { result, last } => {
                let judge = &self.judge;
                let outcome = self.store.export(result, last, |step| judge.digest(step));
                Some(Event::Exported { result, outcome })
            }
        };
        match event.filter(|_| !gone) {
            Some(event) => self.coordinator(event),
            None => Ok(()),
        }
    }

    fn publish(
        &mut self,
        step: Step,
        agreed: &String,
        staging: &str,
    ) -> Result<Result<StoredCheckpoint, PublishFailure>, Violation> {
        let found = if self.planted.publishes_anything() {
            let staged = self.store.staged.get(staging);
            let found = staged.map(numerics::state_digest);
            found.unwrap_or_else(|| agreed.clone())
        } else {
            agreed.clone()
        };
        let checkpoint = match self.store.publishable(step, &found, staging) {
            Ok(checkpoint) => checkpoint,
            Err(failure) => return Ok(Err(failure)),
        };
        self.judge.published(step, agreed, &checkpoint)?;
        Ok(Ok(self.store.publish(step, staging, checkpoint)))
    }
}
