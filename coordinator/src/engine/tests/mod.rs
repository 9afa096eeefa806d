//! Stories told to the engine: scripted workers answer its orders, nothing else is there.

mod cluster;
mod disputes;
mod edges;
mod non_finite;
mod scripted;
mod stories;
