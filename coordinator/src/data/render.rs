//! A conversation to the model's text, and the spans of it that are learned.
//!
//! In: a conversation and the chat template. Out: the text, and a byte range for each answer: from
//! the end of the rendering of the earlier messages with `add_generation_prompt`, to the end of the
//! answer's own rendering without the white space after it. With `train_on_inputs` one range.
//! Keeps: every earlier rendering is a prefix of the whole one, or the sample is refused.

use std::ops::Range;

use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, Message};

use super::Conversation;
use super::read::excerpt;

/// A conversation as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub text: String,
    /// Byte ranges that are learned, in order.
    pub spans: Vec<Range<usize>>,
    /// Roles whose text the template leaves out.
    pub left_out: Vec<String>,
}

/// Renders a conversation.
pub(crate) fn render(
    template: &ChatTemplate,
    conversation: &Conversation,
    train_on_inputs: bool,
) -> Result<Rendered> {
    let messages = &conversation.messages;
    let text = template.render(messages, false)?;
    let spans = if train_on_inputs {
        std::iter::once(0..text.len()).collect()
    } else {
        let answers = (0..messages.len()).filter(|&i| messages[i].role == "assistant");
        answers
            .map(|i| answer(template, messages, i, &text))
            .collect::<Result<_>>()?
    };
    let lost = |m: &&Message| !text.contains(m.content.trim());
    let left_out = messages
        .iter()
        .filter(lost)
        .map(|m| m.role.clone())
        .collect();
    Ok(Rendered {
        text,
        spans,
        left_out,
    })
}

/// The range of one answer in the whole text.
fn answer(
    template: &ChatTemplate,
    messages: &[Message],
    index: usize,
    whole: &str,
) -> Result<Range<usize>> {
    let before = template.render(&messages[..index], true)?;
    require_prefix(
        template,
        &before,
        whole,
        index,
        "with add_generation_prompt=true",
    )?;
    let last = index + 1 == messages.len();
    let through = if last {
        whole.to_owned()
    } else {
        template.render(&messages[..=index], false)?
    };
    require_prefix(template, &through, whole, index, "and the answer")?;
    let end = through.trim_end().len();
    Ok(before.len()..end.max(before.len()))
}

fn require_prefix(
    template: &ChatTemplate,
    part: &str,
    whole: &str,
    index: usize,
    which: &str,
) -> Result<()> {
    if whole.starts_with(part) {
        return Ok(());
    }
    let same = part
        .bytes()
        .zip(whole.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let tail = |text: &str| {
        let mut from = same.min(text.len());
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        excerpt(&text[from..])
    };
    Err(Error::new(
        Code::TemplateRefused,
        "the chat template renders a conversation's beginning differently from the whole",
    )
    .in_file(template.file())
    .why(format!(
        "the messages before the answer (message {}) {which} are no prefix of the whole text",
        index + 1
    ))
    .why(format!(
        "they part at byte {same}: {:?} there, {:?} in the whole",
        tail(part),
        tail(whole)
    ))
    .why("so where the answer begins and ends cannot be told, and what to mask neither")
    .fix("--set train_on_inputs=true, or make each answer a sample of its own"))
}
