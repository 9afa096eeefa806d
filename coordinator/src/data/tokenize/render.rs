//! A conversation to the model's text, and the spans of it that are learned.
//!
//! In: a conversation, the chat template, what is learned. Out: the text, and a byte range for each answer that is; more
//! than one text where answers are written otherwise once more follows (`views`). Where the template marks answers by
//! `{% generation %}` blocks, those are the ranges. Else from the end of the rendering of the earlier messages with
//! `add_generation_prompt`, to the end of the answer's own rendering without the white space after it. With
//! `loss_on: all` one range, and in it holes for the answers of weight 0.
//! Keeps: nothing is rendered twice that does not decide a range.

use std::ops::Range;

use shared::config::{LossOn, SpecialTokensInText};
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, Marked, TextTokenizer};

use super::answers::Beginnings;
use super::lost::Shown;
use super::views::{View, views};
use crate::data::config::DataConfig;
use crate::data::sample::{Conversation, Notes};

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
    /// Where the text spells special tokens that are text.
    pub quoted: Vec<usize>,
    pub notes: Notes,
}

/// What a conversation is rendered with.
pub(crate) struct Renderer<'a> {
    pub template: &'a ChatTemplate,
    pub tokenizer: &'a TextTokenizer,
    pub config: &'a DataConfig,
}

impl Renderer<'_> {
    /// Renders a conversation, and finds the spans of it that are learned.
    pub(crate) fn render(&self, conversation: &Conversation) -> Result<Vec<Rendered>> {
        let tools = conversation.tools.as_ref();
        let rendered = if self.template.marks_answers_with(tools) {
            self.marked(conversation).map(|one| vec![one])
        } else {
            self.unmarked(conversation)
        };
        let mut all = rendered?;
        for rendered in &mut all {
            self.quote(conversation, rendered)?;
        }
        Ok(all)
    }

    /// By the template's own blocks.
    fn marked(&self, conversation: &Conversation) -> Result<Rendered> {
        let Conversation {
            messages,
            tools,
            unlearned,
            ..
        } = conversation;
        let Marked { text, answers } = self.template.render_marked(messages, tools.as_ref())?;
        let chosen = |list: Vec<usize>| blocks(self.template, conversation, &answers, &list);
        let loss_on = self.config.loss_on;
        let learned = learned(conversation, loss_on);
        let spans = match loss_on {
            LossOn::All => std::iter::once(0..text.len()).collect(),
            LossOn::Response if unlearned.is_empty() => answers.clone(),
            _ => chosen(learned.clone())?,
        };
        let holes = match loss_on {
            LossOn::All => chosen(unlearned.clone())?,
            _ => Vec::new(),
        };
        let mut notes = Notes::of(messages.len());
        let shown = self.shown(conversation, messages.len(), &text);
        shown.missing(&mut notes);
        let placed = spans.len() == learned.len() && loss_on != LossOn::All;
        for (place, index) in learned.into_iter().enumerate() {
            let range = spans.get(place).filter(|_| placed);
            shown.require(index, range, &mut notes)?;
        }
        let ends = match loss_on {
            LossOn::All => answers,
            _ => spans.clone(),
        };
        Ok(Rendered {
            spans,
            holes,
            marked: true,
            ends,
            quoted: Vec::new(),
            notes,
            text,
        })
    }

    /// By the renderings of the conversation's beginnings.
    fn unmarked(&self, conversation: &Conversation) -> Result<Vec<Rendered>> {
        let Conversation {
            messages,
            tools,
            unlearned,
            ..
        } = conversation;
        let whole = self.template.render_with(messages, tools.as_ref(), false)?;
        if self.config.loss_on == LossOn::All {
            return self
                .all(conversation, unlearned, whole)
                .map(|one| vec![one]);
        }
        let learned = learned(conversation, self.config.loss_on);
        let first = learned.first().copied();
        let all = Beginnings::new(self.template, self.tokenizer, conversation, first)?;
        let views = views(&all, learned.into_iter(), whole)?;
        let views = views.into_iter();
        views.map(|view| self.view(conversation, view)).collect()
    }

    fn view(&self, conversation: &Conversation, view: View) -> Result<Rendered> {
        let View {
            messages,
            text,
            answers,
            unsaid,
        } = view;
        let mut notes = Notes::of(messages);
        notes.unsaid = unsaid;
        let shown = self.shown(conversation, messages, &text);
        shown.missing(&mut notes);
        for (index, range) in &answers {
            shown.require(*index, Some(range), &mut notes)?;
        }
        let spans: Vec<Range<usize>> = answers.into_iter().map(|(_, range)| range).collect();
        Ok(Rendered {
            ends: spans.clone(),
            spans,
            holes: Vec::new(),
            marked: false,
            quoted: Vec::new(),
            notes,
            text,
        })
    }

    /// Everything is learned but the answers of weight 0.
    fn all(
        &self,
        conversation: &Conversation,
        unlearned: &[usize],
        text: String,
    ) -> Result<Rendered> {
        let messages = &conversation.messages;
        let last = messages.len().checked_sub(1);
        let answered = last.filter(|last| messages[*last].role == "assistant");
        let first = unlearned.first().copied().or(answered);
        let beginnings = Beginnings::new(self.template, self.tokenizer, conversation, first)?;
        let mut holes = Vec::new();
        for &index in unlearned {
            let around = beginnings.around(index)?;
            let placed = beginnings.place(index, &around, &text)?;
            holes.push(placed.ok_or_else(|| self.hole_unknown(index))?.range);
        }
        let span = 0..beginnings.end_of(&text);
        let mut notes = Notes::of(messages.len());
        let shown = self.shown(conversation, messages.len(), &text);
        shown.missing(&mut notes);
        if let Some(last) = answered.filter(|last| !unlearned.contains(last)) {
            shown.require(last, None, &mut notes)?;
        }
        let ends = answered.map(|_| span.clone());
        Ok(Rendered {
            spans: vec![span],
            holes,
            marked: false,
            ends: ends.into_iter().collect(),
            quoted: Vec::new(),
            notes,
            text,
        })
    }

    fn hole_unknown(&self, index: usize) -> Error {
        Error::new(
            Code::TemplateRefused,
            "where an answer of weight 0 stands cannot be told",
        )
        .in_file(self.template.file())
        .why(format!(
            "the chat template writes message {} otherwise once more follows it",
            index + 1
        ))
        .fix("--set loss_on=response learns each answer as it was given, and leaves this one out")
    }

    /// Special tokens that the texts spell: told, and where they are to be text, found in the rendering.
    fn quote(&self, conversation: &Conversation, rendered: &mut Rendered) -> Result<()> {
        let tools = conversation.tools.as_ref();
        let messages = &conversation.messages[..rendered.notes.messages];
        rendered.notes.spelled = self.tokenizer.spelled(messages, tools);
        let plain = self.config.formats.special_tokens == SpecialTokensInText::Plain;
        if plain && !rendered.notes.spelled.is_empty() {
            let template = self.template;
            rendered.quoted =
                template.quoted(self.tokenizer, messages, tools, false, &rendered.text)?;
        }
        Ok(())
    }

    fn shown<'a>(
        &'a self,
        conversation: &'a Conversation,
        messages: usize,
        text: &'a str,
    ) -> Shown<'a> {
        Shown {
            template: self.template,
            tokenizer: self.tokenizer,
            conversation,
            messages,
            text,
        }
    }
}

fn is_answer(conversation: &Conversation, index: usize) -> bool {
    conversation.messages[index].role == "assistant"
}

/// The answers that are learned; of the whole text, all that count.
fn learned(conversation: &Conversation, loss_on: LossOn) -> Vec<usize> {
    let messages = 0..conversation.messages.len();
    let mut answers = messages.filter(|&i| is_answer(conversation, i));
    let counts = |i: &usize| !conversation.unlearned.contains(i);
    match loss_on {
        LossOn::Last => answers.next_back().into_iter().filter(counts).collect(),
        LossOn::Response | LossOn::All => answers.filter(counts).collect(),
    }
}

/// The blocks of these answers.
fn blocks(
    template: &ChatTemplate,
    conversation: &Conversation,
    marked: &[Range<usize>],
    answers: &[usize],
) -> Result<Vec<Range<usize>>> {
    let messages = 0..conversation.messages.len();
    let all: Vec<usize> = messages.filter(|&i| is_answer(conversation, i)).collect();
    let place = |i: &usize| all.iter().position(|a| a == i);
    let chosen: Vec<usize> = answers.iter().filter_map(place).collect();
    if chosen.is_empty() || marked.len() == all.len() {
        return Ok(chosen.into_iter().map(|p| marked[p].clone()).collect());
    }
    Err(Error::new(
        Code::TemplateRefused,
        "which answer a {% generation %} block of the chat template belongs to cannot be told",
    )
    .in_file(template.file())
    .why(format!(
        "it marks {} blocks in a conversation with {} answers, and not all answers are learned",
        marked.len(),
        all.len()
    ))
    .fix("write one block around each answer in the template, or take the tags out of it")
    .fix("or --set loss_on=response and no `weight` in the data"))
}
