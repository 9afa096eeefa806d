//! Nobody is called corrupt but the machine in which something was damaged, and nobody is evicted as hung,
//! silent or standing still but a machine that a fault struck which explains it.

use coordinator::engine::Notice;
use shared::error::{Code, Error};
use shared::ids::WorkerId;
use shared::wire::message::{Envelope, ToWorker};

use super::{Suspects, Violation};

impl Suspects {
    fn is_planted(&self, worker: &WorkerId) -> bool {
        let owner = self.owners.get(worker);
        owner.is_some_and(|machine| self.planted.contains(machine))
    }

    fn may_be_missed(&self, worker: &WorkerId) -> bool {
        let owner = self.owners.get(worker);
        owner.is_some_and(|machine| self.explains(*machine))
    }

    /// Something happened to this machine that may end it.
    pub(super) fn explains(&self, machine: usize) -> bool {
        self.struck.contains(&machine) || self.planted.contains(&machine)
    }

    /// Whether an error that is said of a worker may be said of it.
    fn allows(&self, worker: &WorkerId, error: &Error) -> bool {
        let reduces = error.what.contains("all-reduce");
        match error.code {
            Code::Corrupt | Code::WrongCompute | Code::ReplicasDisagree => self.is_planted(worker),
            Code::Evicted if reduces && self.any_peer => true,
            Code::Evicted => self.may_be_missed(worker),
            _ => true,
        }
    }
}

pub(super) fn notice(suspects: &Suspects, notice: &Notice) -> Result<(), Violation> {
    let allowed = match notice {
        Notice::Corrupt { worker, .. } => suspects.is_planted(worker),
        // Somebody's state is spoiled; whose, is not said yet.
        Notice::StatesDiffer { .. } => !suspects.planted.is_empty() || suspects.rotted,
        Notice::Hung { worker, .. } | Notice::Silent { worker } => suspects.may_be_missed(worker),
        Notice::HungInReduce { worker, .. } => suspects.any_peer || suspects.may_be_missed(worker),
        Notice::Failed { worker, error } => suspects.allows(worker, error),
        _ => true,
    };
    if allowed {
        return Ok(());
    }
    Err(Violation::new("culprits", notice.to_string()))
}

pub(super) fn refused(
    suspects: &Suspects,
    to: &WorkerId,
    message: &Envelope<ToWorker>,
) -> Result<(), Violation> {
    let ToWorker::Refused(error) = &message.body else {
        return Ok(());
    };
    if suspects.allows(to, error) {
        return Ok(());
    }
    Err(Violation::new("culprits", format!("{to} refused: {error}")))
}
