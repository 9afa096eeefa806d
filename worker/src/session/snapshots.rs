//! Serves the committed state to a peer that joins.

use bytes::Bytes;
use shared::ids::Step;

use crate::checkpoint;
use crate::collective::SnapshotSource;
use crate::train::thread::{CommittedState, committed};

/// The state that the compute thread committed last.
pub(super) struct CommittedSnapshots(pub(super) CommittedState);

impl SnapshotSource for CommittedSnapshots {
    fn snapshot(&self, step: Step) -> Option<Bytes> {
        let state = committed(&self.0).filter(|state| state.step == step)?;
        checkpoint::encode_snapshot(&state).ok()
    }
}
