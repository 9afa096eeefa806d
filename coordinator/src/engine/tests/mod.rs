//! Stories told to the engine: scripted workers answer its orders, nothing else is there.

mod cluster;
mod disputes;
mod non_finite;
mod stories;
