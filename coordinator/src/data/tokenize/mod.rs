//! Conversations to tokens, and which of them are learned.
//!
//! `render` a conversation to text and the spans that are learned, in as many `views` as that needs, by where `answers`
//! stand and what is `lost` · `mask` both to ids and targets ·
//! `given` samples that came as tokens · `text` those without speakers.

mod answers;
pub(crate) mod fields;
pub(crate) mod given;
mod lost;
mod mask;
mod render;
pub(crate) mod text;
mod views;

pub(crate) use mask::mask;
pub(crate) use render::Renderer;
