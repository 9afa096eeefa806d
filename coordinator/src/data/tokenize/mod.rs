//! Conversations to tokens, and which of them are learned.
//!
//! `render` a conversation to text and the spans that are learned · `mask` both to ids and targets ·
//! `given` samples that came as tokens.

pub(crate) mod fields;
pub(crate) mod given;
mod mask;
mod render;

pub(crate) use mask::mask;
pub(crate) use render::render;
