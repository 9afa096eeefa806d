//! How long an all-reduce, or a state on its way, may stand still.
//!
//! In: the bytes that moved at its sockets, the time. Out: whether nothing has moved for too long. Keeps: bytes in
//! either direction renew it, whole chunks or not, so that a slow line is never taken for one that hangs.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing has moved: it counts from the last byte that did.
pub(super) struct Patience {
    limit: Duration,
    since: Instant,
    /// Bytes that had moved by then.
    moved: u64,
}

impl Patience {
    pub(super) fn new(limit: Duration, now: Instant, moved: u64) -> Self {
        Self {
            limit,
            since: now,
            moved,
        }
    }

    /// Something arrived, so the whole time begins again; `moved` are the bytes by now.
    pub(super) fn received(&mut self, now: Instant, moved: u64) {
        (self.since, self.moved) = (now, moved);
    }

    /// Nothing has moved, and that was told: it is told again after a quarter of the time.
    pub(super) fn again(&mut self, now: Instant) {
        self.since = now.checked_sub(self.limit * 3 / 4).unwrap_or(now);
    }

    /// When to look again whether anything moved.
    pub(super) fn ends(&self) -> Instant {
        self.since + self.limit
    }

    /// Whether nothing has moved for the whole time; `moved` are the bytes by now.
    pub(super) fn is_over(&mut self, now: Instant, moved: u64) -> bool {
        if moved > self.moved {
            self.moved = moved;
            self.since = now;
        }
        now >= self.ends()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);
    const LONG: u64 = 15;

    #[test]
    fn bytes_in_either_direction_renew_it_for_as_long_as_they_move() {
        let begun = Instant::now();
        let at = |second| begun + Duration::from_secs(second);
        let mut receiving = Patience::new(LIMIT, begun, 7);
        let mut sending = Patience::new(LIMIT, begun, 7);
        for second in 1..=LONG {
            assert!(!receiving.is_over(at(second), 7));
            receiving.received(at(second), 7);
            assert!(!sending.is_over(at(second), 7 + second));
        }
        assert!(!receiving.is_over(at(LONG + 4), 7));
        assert!(receiving.is_over(at(LONG + 5), 7));
        assert!(!sending.is_over(at(LONG + 4), 7 + LONG));
        assert!(sending.is_over(at(LONG + 5), 7 + LONG));
    }

    #[test]
    fn whoever_waits_on_says_so_again_and_sooner() {
        let begun = Instant::now() + LIMIT;
        let mut patience = Patience::new(LIMIT, begun, 0);
        assert!(patience.is_over(begun + LIMIT, 0));
        patience.again(begun + LIMIT);
        assert_eq!(patience.ends(), begun + LIMIT * 5 / 4);
        // Something moves: the whole time begins.
        assert!(!patience.is_over(begun + LIMIT * 5 / 4, 1));
        assert_eq!(patience.ends(), begun + LIMIT * 9 / 4);
    }

    #[test]
    fn what_arrived_renews_it_once() {
        let begun = Instant::now();
        let mut patience = Patience::new(LIMIT, begun, 0);
        let arrived = begun + Duration::from_secs(1);
        patience.received(arrived, 512);
        assert!(patience.is_over(arrived + LIMIT, 512));
    }

    #[test]
    fn it_ends_when_nothing_moves_at_all() {
        let begun = Instant::now();
        let mut patience = Patience::new(LIMIT, begun, 0);
        assert_eq!(patience.ends(), begun + LIMIT);
        assert!(patience.is_over(patience.ends(), 0));
    }
}
