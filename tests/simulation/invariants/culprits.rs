//! Nobody is called corrupt unless something was damaged on purpose, and nobody goes because of a
//! failed all-reduce unless something made it fail.

use coordinator::engine::Notice;
use shared::error::Code;
use shared::ids::WorkerId;
use shared::wire::message::{Envelope, ToWorker};

use super::Violation;

pub(super) fn notice(planted: bool, notice: &Notice) -> Result<(), Violation> {
    match notice {
        Notice::Corrupt { .. } | Notice::StatesDiffer { .. } if !planted => {
            Err(Violation::new("culprits", notice.to_string()))
        }
        _ => Ok(()),
    }
}

pub(super) fn refused(
    planted: bool,
    spoiled: bool,
    to: &WorkerId,
    message: &Envelope<ToWorker>,
) -> Result<(), Violation> {
    let ToWorker::Refused(error) = &message.body else {
        return Ok(());
    };
    let accuses = matches!(
        error.code,
        Code::Corrupt | Code::WrongCompute | Code::ReplicasDisagree
    );
    let reduces = error.code == Code::Evicted && error.what.contains("all-reduce");
    if (accuses && !planted) || (reduces && !spoiled) {
        return Err(Violation::new("culprits", format!("{to} refused: {error}")));
    }
    Ok(())
}
