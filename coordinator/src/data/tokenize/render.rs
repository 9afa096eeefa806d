//! A conversation to the model's text, and the spans of it that are learned.
//!
//! In: a conversation, the chat template, what is learned. Out: the text, and a byte range for each
//! answer that is. Where the template marks answers by `{% generation %}` blocks, those are the
//! ranges. Else from the end of the rendering of the earlier messages with `add_generation_prompt`,
//! to the end of the answer's own rendering without the white space after it. With `loss_on: all`
//! one range, and in it holes for the answers of weight 0.
//! Keeps: every earlier rendering is a prefix of the whole one, or the sample is refused; nothing is
//! rendered twice that does not decide a range.

use std::ops::Range;

use shared::config::LossOn;
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, Marked, Message};

use crate::data::excerpt::excerpt;
use crate::data::sample::Conversation;

/// A conversation as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub text: String,
    /// Byte ranges that are learned, in order.
    pub spans: Vec<Range<usize>>,
    /// Byte ranges within them that are not.
    pub holes: Vec<Range<usize>>,
    /// The template's own blocks gave the ranges.
    pub marked: bool,
    /// Byte ranges that must end with the token that stops the model: answers as far as they are
    /// known, else the whole text where it ends with one.
    pub ends: Vec<Range<usize>>,
    /// Roles whose text the template leaves out.
    pub left_out: Vec<String>,
}

/// Renders a conversation, and finds the spans of it that are learned.
pub(crate) fn render(
    template: &ChatTemplate,
    conversation: &Conversation,
    loss_on: LossOn,
) -> Result<Rendered> {
    let messages = &conversation.messages;
    let tools = conversation.tools.as_ref();
    let Marked { text, answers } = if template.marks_answers() {
        template.render_marked(messages, tools)?
    } else {
        Marked {
            text: template.render_with(messages, tools, false)?,
            answers: Vec::new(),
        }
    };
    let walk = Walk {
        template,
        conversation,
        text: &text,
        marked: template.marks_answers().then_some(&answers[..]),
    };
    let is_answer = |&i: &usize| messages[i].role == "assistant";
    let unlearned = &conversation.unlearned;
    let spans = match loss_on {
        LossOn::All => std::iter::once(0..text.len()).collect(),
        LossOn::Response if unlearned.is_empty() => match walk.marked {
            Some(marked) => marked.to_vec(),
            None => walk.ranges((0..messages.len()).filter(is_answer))?,
        },
        LossOn::Response => {
            let learned = |i: &usize| is_answer(i) && !unlearned.contains(i);
            walk.ranges((0..messages.len()).filter(learned))?
        }
        LossOn::Last => {
            let last = (0..messages.len()).rfind(is_answer);
            walk.ranges(last.into_iter().filter(|i| !unlearned.contains(i)))?
        }
    };
    let holes = match loss_on {
        LossOn::All => walk.ranges(unlearned.iter().copied())?,
        _ => Vec::new(),
    };
    let answered = messages.last().is_some_and(|m| m.role == "assistant");
    let ends = match (loss_on, walk.marked) {
        (LossOn::All, Some(marked)) => marked.to_vec(),
        (LossOn::All, None) if !answered => Vec::new(),
        _ => spans.clone(),
    };
    let lost = |m: &&Message| !text.contains(m.content.trim());
    let left_out = messages.iter().filter(lost).map(|m| m.role.clone());
    Ok(Rendered {
        spans,
        holes,
        marked: walk.marked.is_some(),
        ends,
        left_out: left_out.collect(),
        text,
    })
}

/// A conversation and its text, to find single answers in.
struct Walk<'a> {
    template: &'a ChatTemplate,
    conversation: &'a Conversation,
    text: &'a str,
    /// What the template marks, where it does.
    marked: Option<&'a [Range<usize>]>,
}

impl Walk<'_> {
    /// The ranges of these answers.
    fn ranges(&self, answers: impl Iterator<Item = usize>) -> Result<Vec<Range<usize>>> {
        let messages = &self.conversation.messages;
        let Some(marked) = self.marked else {
            return answers
                .map(|i| answer(self.template, self.conversation, i, self.text))
                .collect();
        };
        let all = (0..messages.len()).filter(|&i| messages[i].role == "assistant");
        let all: Vec<usize> = all.collect();
        let place = |i: usize| all.iter().position(|&a| a == i);
        let chosen: Vec<usize> = answers.filter_map(place).collect();
        if chosen.is_empty() || marked.len() == all.len() {
            return Ok(chosen.into_iter().map(|p| marked[p].clone()).collect());
        }
        Err(Error::new(
            Code::TemplateRefused,
            "which answer a {% generation %} block of the chat template belongs to cannot be told",
        )
        .in_file(self.template.file())
        .why(format!(
            "it marks {} blocks in a conversation with {} answers, and not all answers are learned",
            marked.len(),
            all.len()
        ))
        .fix("write one block around each answer in the template, or take the tags out of it")
        .fix("or --set loss_on=response and no `weight` in the data"))
    }
}

/// The range of one answer in the whole text.
fn answer(
    template: &ChatTemplate,
    conversation: &Conversation,
    index: usize,
    whole: &str,
) -> Result<Range<usize>> {
    let (messages, tools) = (&conversation.messages, conversation.tools.as_ref());
    let before = template.render_with(&messages[..index], tools, true)?;
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
        template.render_with(&messages[..=index], tools, false)?
    };
    let through = without_closing(template, &through, whole);
    require_prefix(template, through, whole, index, "and the answer")?;
    let end = through.trim_end().len();
    Ok(before.len()..end.max(before.len()))
}

/// Some templates close the very last turn with the token that ends a text; an answer before it ends
/// without.
fn without_closing<'a>(template: &ChatTemplate, through: &'a str, whole: &str) -> &'a str {
    let closed = template
        .eos_token()
        .and_then(|eos| through.strip_suffix(eos));
    match closed {
        Some(open) if !whole.starts_with(through) && whole.starts_with(open) => open,
        _ => through,
    }
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
