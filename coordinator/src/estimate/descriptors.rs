//! File descriptors that a process needs at once, for files and connections.
//!
//! In: workers. Out: [`Descriptors`]. Keeps: counted from how connections are made: each worker connects to every other
//! and accepts a connection from it, and has one session. Not here: a machine's limit, which only the machine itself
//! knows.

use serde::Serialize;

use super::advice::Advice;

/// Descriptors of a process for files, pipes, its runtime and its libraries, rounded up.
const OWN: u64 = 64;
/// A connection that a worker made to a peer, and one that the peer made to it.
const PER_PEER: u64 = 2;

/// File descriptors that the processes of a run need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Descriptors {
    /// Descriptors of each worker.
    pub worker: u64,
    /// Descriptors of the coordinator.
    pub coordinator: u64,
    /// The most that a process on this machine can get, its hard RLIMIT_NOFILE; `None` when the machine does not say.
    pub limit: Option<u64>,
}

impl Descriptors {
    /// The descriptors of a run with W workers: `64 + 1 + 2 (W - 1)` in each worker, `64 + W` in the coordinator.
    #[must_use]
    pub fn new(workers: u64, limit: Option<u64>) -> Self {
        Self {
            worker: OWN + 1 + PER_PEER * workers.saturating_sub(1),
            coordinator: OWN + workers,
            limit,
        }
    }

    /// Advice to raise this machine's limit, where it is below what a process needs.
    #[must_use]
    pub fn advice(&self, workers: u64) -> Option<Advice> {
        let limit = self.limit?;
        let needed = self.worker.max(self.coordinator);
        (needed > limit).then(|| Advice {
            about: "--workers",
            text: format!(
                "{workers} workers need {} open files each and {} in the coordinator, this machine \
                 gives {limit}: raise the hard limit (`ulimit -Hn`, LimitNOFILE=)",
                self.worker, self.coordinator
            ),
            evidence: "two connections between each pair of workers, and a session each; both \
                       programs raise the soft limit to the hard one themselves"
                .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_connections_per_peer_and_a_session_are_counted() {
        assert_eq!(Descriptors::new(1, None).worker, OWN + 1);
        let found = Descriptors::new(500, Some(1024));
        assert_eq!(
            (found.worker, found.coordinator),
            (OWN + 1 + 998, OWN + 500)
        );
    }

    #[test]
    fn only_a_limit_that_does_not_do_is_worth_a_word() {
        assert_eq!(Descriptors::new(400, Some(1024)).advice(400), None);
        assert_eq!(Descriptors::new(4000, None).advice(4000), None);
        let advice = Descriptors::new(500, Some(1024)).advice(500).unwrap();
        assert!(advice.text.contains("ulimit -Hn"), "{advice:?}");
        assert!(advice.text.contains("1063"), "{advice:?}");
    }
}
