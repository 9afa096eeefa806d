//! How far a follower may fall behind.

use super::*;

#[test]
fn a_follower_of_a_small_adapter_may_fall_behind_by_many_steps() {
    // 300 KB/s and 45 s of transfer at one step a second, as it was seen: 42 totals of 300,000 parameters.
    assert!(followed_totals(300_000) > 42);
}

#[test]
fn totals_that_wait_take_no_more_than_their_bytes_but_four_always_may() {
    for parameters in [1, 1000, 1 << 20, 1 << 22] {
        let bytes = followed_totals(parameters) * (parameters + EXTRAS) * size_of::<i64>();
        assert!(bytes <= FOLLOWED_BYTES, "{parameters}");
    }
    assert_eq!(followed_totals(828_000_000), FOLLOWED_TOTALS);
}
