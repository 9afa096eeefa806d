//! The word that ends a collective: the generation has changed.
//!
//! In: one [`CancelSource`] held by whoever decides. Out: any number of [`Cancel`] to wait on.
//! A source that goes away cancels too, so that nobody waits for a word that can never come.

use tokio::sync::watch;

/// The side that cancels.
#[derive(Debug)]
pub struct CancelSource(watch::Sender<bool>);

impl CancelSource {
    /// A source that has not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// A token to wait on, one of any number.
    #[must_use]
    pub fn token(&self) -> Cancel {
        Cancel(self.0.subscribe())
    }

    /// Cancels everything that waits, now and later.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Default for CancelSource {
    fn default() -> Self {
        Self::new()
    }
}

/// The side that waits to be cancelled.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// Returns once cancelled.
    pub async fn cancelled(&mut self) {
        // An error means that the source is gone, which counts as the word.
        let _ = self.0.wait_for(|cancelled| *cancelled).await;
    }
}
