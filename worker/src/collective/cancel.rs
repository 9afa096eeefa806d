//! The word that ends a collective: the generation has changed.
//!
//! In: one [`CancelSource`] held by whoever decides. Out: any number of [`Cancel`] to wait on.
//! A source that goes away cancels too, so that nobody waits for a word that can never come.

use tokio::sync::watch;

/// Gives the word.
#[derive(Debug)]
pub struct CancelSource(watch::Sender<bool>);

impl CancelSource {
    /// A source that has not spoken yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Something to wait on.
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

/// Waits for the word.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// Returns once cancelled.
    pub async fn cancelled(&mut self) {
        // An error means that the source is gone, which counts as the word.
        let _ = self.0.wait_for(|cancelled| *cancelled).await;
    }
}
