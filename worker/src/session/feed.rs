//! Serves the committed state, and the totals after it, to a peer that joins.

use shared::error::Result;
use tokio::sync::oneshot;

use crate::checkpoint;
use crate::collective::{Feeding, StateFeed, StateSource};
use crate::train::state_thread::{Followed, StateJob};

/// Asks the state thread, which knows where one state ends and the next total begins.
pub(super) struct CommittedFeed(pub(super) std::sync::mpsc::SyncSender<StateJob>);

impl StateSource for CommittedFeed {
    fn feed(&self) -> Feeding {
        let (begin, begun) = oneshot::channel();
        let asked = self.0.try_send(StateJob::Follow(begin)).is_ok();
        Box::pin(async move {
            if !asked {
                return None;
            }
            let followed = begun.await.ok()?;
            // Encoding copies the state: off the threads that move chunks.
            let encoded = tokio::task::spawn_blocking(move || encode(followed)).await;
            encoded.ok()?.ok()
        })
    }
}

fn encode(followed: Followed) -> Result<StateFeed> {
    Ok(StateFeed {
        step: followed.state.step,
        state: checkpoint::encode_snapshot(&followed.state)?,
        totals: followed.totals,
    })
}
