//! The peer service and its all-reduce over loopback, and over lines in memory: several members in one process.
//!
//! Sums are compared with the plain wrapping sum, element by element. Nothing here sleeps in real
//! time: members meet over channels, and every wait has a deadline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exact;
mod faults;
mod follow;
mod group;
mod lines;
mod reducer;
