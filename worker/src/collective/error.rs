//! Why an all-reduce did not end with a total, and who is to blame.
//!
//! In: what the transport saw. Out: [`CollectiveError`], small enough to report to the coordinator
//! and convertible to the coded failure of the whole program.

use shared::error::{Code, Error};
use shared::ids::WorkerId;
use shared::wire::message::{Failed, FailureScope};

/// Kinds of failure; they differ in what the session does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The generation changed, as asked for. Nobody is to blame: wait for the next order.
    Cancelled,
    /// A peer is in a later generation already. Nobody is to blame: wait for the next order.
    Stale,
    /// A peer could not be reached.
    Unreachable,
    /// The stream from or to a peer broke.
    PeerLost,
    /// Nothing moves for longer than the patience. The all-reduce goes on: who is to blame, and whether anybody, the
    /// coordinator knows, who hears of every member.
    Stalled,
    /// A peer sent what it never should, or the caller asked for what cannot be.
    Protocol,
}

/// A collective that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct CollectiveError {
    /// Kind of the failure, which decides what the session does next.
    pub kind: FailureKind,
    /// The member that caused it, when it can be told.
    pub culprit: Option<WorkerId>,
    /// What failed, in words for people.
    pub what: String,
}

impl CollectiveError {
    pub(crate) fn new(kind: FailureKind, what: String) -> Self {
        Self {
            kind,
            culprit: None,
            what,
        }
    }

    pub(super) fn by(mut self, culprit: &WorkerId) -> Self {
        self.culprit = Some(culprit.clone());
        self
    }

    /// The failure as the coordinator hears it.
    #[must_use]
    pub fn told(self, scope: FailureScope) -> Failed {
        Failed {
            culprit: self.culprit.clone(),
            error: self.into(),
            scope,
        }
    }
}

impl From<CollectiveError> for Error {
    fn from(failure: CollectiveError) -> Self {
        let code = match failure.kind {
            FailureKind::Unreachable => Code::Unreachable,
            FailureKind::Protocol => Code::Internal,
            FailureKind::Cancelled
            | FailureKind::Stale
            | FailureKind::PeerLost
            | FailureKind::Stalled => Code::SessionLost,
        };
        let fix = match failure.kind {
            FailureKind::Unreachable => {
                "check that workers reach each other's --listen address, or give --advertise HOST"
            }
            FailureKind::Protocol => "run the same version of the worker on every machine",
            _ => "nothing: the step is repeated with the workers that are left",
        };
        let error = Self::new(code, "the all-reduce between workers failed").why(failure.what);
        match failure.culprit {
            Some(worker) => error.why(format!("caused by worker {worker}")).fix(fix),
            None => error.fix(fix),
        }
    }
}
