//! The renderings in which the answers of a conversation are learned.
//!
//! In: a conversation, and which of its answers are learned. Out: one rendering, or as many as are needed: some
//! templates write an answer otherwise once another question follows it, as those that take thoughts out of what was
//! said before. Keeps: each answer is learned once, as it was written when it was the last one; a rendering holds
//! every answer that stands in it like that, so that a template that changes nothing gives one.

use std::ops::Range;

use shared::error::{Code, Error, Result};

use super::answers::{Around, Beginnings, Placed};
use crate::data::excerpt::excerpt;

/// Bytes that the renderings of one conversation may have together.
const MOST: usize = 64 << 20;

/// A rendering, and the answers that are learned in it.
pub(super) struct View {
    /// It renders so many messages.
    pub messages: usize,
    pub text: String,
    /// The answers' messages and places, in order.
    pub answers: Vec<(usize, Range<usize>)>,
    pub unsaid: Option<String>,
}

/// The renderings of a conversation, from the first answer on; `whole` is that of all messages.
pub(super) fn views(
    all: &Beginnings<'_>,
    learned: impl DoubleEndedIterator<Item = usize>,
    whole: String,
) -> Result<Vec<View>> {
    let mut left: Vec<(usize, Around)> = Vec::new();
    let mut last = View {
        messages: all.conversation.messages.len(),
        text: whole,
        answers: Vec::new(),
        unsaid: None,
    };
    let mut bytes = last.text.len();
    for index in learned {
        let around = all.around(index)?;
        match all.place(index, &around, &last.text)? {
            Some(placed) => last.take(index, placed),
            None => {
                bytes += around.before.len() + around.through.len();
                require_room(all, bytes)?;
                left.push((index, around));
            }
        }
    }
    let mut views = Vec::new();
    if left.is_empty() || !last.answers.is_empty() {
        views.push(last);
    }
    // From the last answer that has no place yet: its own rendering may hold earlier ones too.
    while let Some((index, around)) = left.pop() {
        let mut view = View {
            messages: index + 1,
            text: around.through.clone(),
            answers: Vec::new(),
            unsaid: None,
        };
        let Some(own) = all.place(index, &around, &view.text)? else {
            return Err(no_prefix(all, index, &around));
        };
        let mut still = Vec::new();
        for (earlier, around) in left {
            match all.place(earlier, &around, &view.text)? {
                Some(placed) => view.take(earlier, placed),
                None => still.push((earlier, around)),
            }
        }
        view.take(index, own);
        left = still;
        views.push(view);
    }
    views.reverse();
    Ok(views)
}

impl View {
    fn take(&mut self, index: usize, placed: Placed) {
        self.answers.push((index, placed.range));
        self.unsaid = self.unsaid.take().or(placed.unsaid);
    }
}

fn require_room(all: &Beginnings<'_>, bytes: usize) -> Result<()> {
    if bytes <= MOST {
        return Ok(());
    }
    let limit = MOST >> 20;
    Err(Error::new(
        Code::TemplateRefused,
        "a conversation needs more renderings than there is room for",
    )
    .in_file(all.template.file())
    .why("the chat template writes answers otherwise once another question follows, so each needs a rendering")
    .why(format!("those of this conversation have more than {limit} MiB together"))
    .fix("cut the conversation into shorter ones, or --set loss_on=last"))
}

/// The messages before an answer are rendered otherwise alone than with it, even where it is the last one.
fn no_prefix(all: &Beginnings<'_>, index: usize, around: &Around) -> Error {
    let Around { before, through } = around;
    let same = before.bytes().zip(through.bytes());
    let same = same.take_while(|(a, b)| a == b).count();
    let tail = |text: &str| {
        let mut from = same.min(text.len());
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        excerpt(&text[from..])
    };
    let error = Error::new(
        Code::TemplateRefused,
        "the chat template renders a conversation's beginning differently from the whole",
    )
    .in_file(all.template.file())
    .why(format!(
        "the messages before the answer (message {}), with add_generation_prompt=true, are no prefix of the text with \
         the answer",
        index + 1
    ))
    .why(format!(
        "they part at byte {same}: {:?} there, {:?} with the answer",
        tail(before),
        tail(through)
    ))
    .why("so where the answer begins cannot be told, and what to mask neither");
    let system = all.conversation.messages.iter().find(|m| {
        let text = m.content.trim();
        m.role == "system" && before.contains(text) && !through.contains(text)
    });
    match system {
        Some(_) => error
            .why("the template writes the system prompt only before a question that comes last, so never in training")
            .fix("write the text of the system message at the beginning of the first question, and take the message out"),
        None => error.fix(
            "put a template of the model that only adds at the end, such as its training form, into the folder as \
             chat_template.jinja",
        ),
    }
}
