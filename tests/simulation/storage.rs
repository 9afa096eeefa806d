//! Checkpoints and the adapter on storage: what gets a name, what is looked through, what is exported.
//!
//! In: staged states, digests that were agreed on. Out: checkpoints, or why not, as `driver/publish` tells it.
//! Keeps: content is compared with the agreed digest before it gets its name.

use coordinator::engine::{ExportFailure, PublishFailure, StoredCheckpoint};
use shared::error::{Code, Error};
use shared::ids::Step;
use shared::numerics;

use super::store::{Checkpoint, Exported, Store, stored};

fn storage(what: &str) -> PublishFailure {
    PublishFailure::Storage(Error::new(Code::Io, what))
}

fn another(step: Step) -> Error {
    let what = format!("checkpoint {step} holds another state");
    Error::new(Code::Corrupt, what)
}

impl Store {
    /// What would be published from a staging folder.
    pub(crate) fn publishable(
        &self,
        step: Step,
        agreed: &str,
        staging: &str,
    ) -> Result<Checkpoint, PublishFailure> {
        if self.full {
            return Err(storage("no space left"));
        }
        if !self.is_written(step) {
            return Err(storage("the ledger is not on the disk yet"));
        }
        let staged = self.staged.get(staging);
        let state = staged.cloned().ok_or_else(|| storage("there is nothing"))?;
        if numerics::state_digest(&state) != agreed {
            return Err(PublishFailure::Content(another(step)));
        }
        Ok(Checkpoint {
            state,
            state_digest: agreed.to_owned(),
        })
    }

    /// Gives it its name.
    pub(crate) fn publish(
        &mut self,
        step: Step,
        staging: &str,
        checkpoint: Checkpoint,
    ) -> StoredCheckpoint {
        let published = stored(step, &checkpoint);
        self.staged.remove(staging);
        self.checkpoints.insert(step, checkpoint);
        if std::mem::take(&mut self.rots_next) {
            self.rot_newest();
        }
        published
    }

    /// Whether a checkpoint holds what its manifest says, and what is asked for.
    pub(crate) fn look_through(&self, step: Step, asked: Option<&String>) -> Result<(), Error> {
        let checkpoint = self.checkpoints.get(&step);
        let fits = |c: &&Checkpoint| asked.is_none_or(|digest| *digest == c.state_digest);
        if checkpoint.filter(fits).is_some_and(Checkpoint::is_sound) {
            return Ok(());
        }
        Err(another(step))
    }

    /// Brings the adapter of a step to where loaders look.
    pub(crate) fn export<'a>(
        &mut self,
        result: Step,
        last: Step,
        digest: impl Fn(Step) -> Option<&'a String>,
    ) -> Result<(), ExportFailure> {
        for step in [result, last] {
            self.look_through(step, digest(step))
                .map_err(|e| ExportFailure::Checkpoint(step, e))?;
        }
        if self.full {
            let error = Error::new(Code::Io, "no space left");
            return Err(ExportFailure::Storage(error));
        }
        let checkpoint = self.checkpoints.get(&result);
        self.exported = checkpoint.map(|checkpoint| Exported {
            result,
            last,
            state: checkpoint.state.clone(),
        });
        Ok(())
    }
}
