//! Stories told to the engine: scripted workers answer its orders, nothing else is there.

mod cluster;
mod disputes;
mod edges;
mod happens;
mod late;
mod non_finite;
mod returns;
mod scripted;
mod stalled;
mod stories;
