//! Where one answer stands in a rendering.
//!
//! In: a rendering, and those of the messages before an answer and through it. Out: the answer's range, `None` where the
//! rendering does not go on from those. Keeps: an answer begins where the model is asked to go on, and ends with the
//! token that ends it.

use std::ops::Range;

use shared::error::Result;
use shared::text::{ChatTemplate, TextTokenizer};

use crate::data::sample::Conversation;

/// Renders the beginnings of one conversation.
pub(super) struct Beginnings<'a> {
    pub template: &'a ChatTemplate,
    pub tokenizer: &'a TextTokenizer,
    pub conversation: &'a Conversation,
    /// What the template puts behind everything, asked for or not.
    pub always: String,
}

/// The renderings that tell where one answer stands.
pub(super) struct Around {
    /// The messages before it, with `add_generation_prompt`.
    pub before: String,
    /// The messages up to it, it included.
    pub through: String,
}

/// An answer in a rendering.
pub(super) struct Placed {
    pub range: Range<usize>,
    /// What the prompt has behind the place where the answer begins.
    pub unsaid: Option<String>,
}

impl<'a> Beginnings<'a> {
    /// `first` is an answer; a template that ignores `add_generation_prompt` is told by the messages before it.
    pub(super) fn new(
        template: &'a ChatTemplate,
        tokenizer: &'a TextTokenizer,
        conversation: &'a Conversation,
        first: Option<usize>,
    ) -> Result<Self> {
        let mut all = Self {
            template,
            tokenizer,
            conversation,
            always: String::new(),
        };
        if let Some(first) = first.filter(|first| *first > 0) {
            let bare = all.bare(first)?;
            let ignores = !template.asks_for_prompt(conversation.tools.as_ref())
                || bare == all.rendered(first, true)?;
            if ignores {
                let through = all.rendered(first + 1, false)?;
                all.always = always(tokenizer, &bare, &through);
            }
        }
        Ok(all)
    }

    fn rendered(&self, messages: usize, prompt: bool) -> Result<String> {
        let Conversation {
            messages: all,
            tools,
            ..
        } = self.conversation;
        self.template
            .render_with(&all[..messages], tools.as_ref(), prompt)
    }

    /// The first messages without a prompt.
    pub(super) fn bare(&self, messages: usize) -> Result<String> {
        self.rendered(messages, false)
    }

    /// What tells where answer `index` stands.
    pub(super) fn around(&self, index: usize) -> Result<Around> {
        Ok(Around {
            before: self.rendered(index, true)?,
            through: self.bare(index + 1)?,
        })
    }

    /// Where the template's own tail begins, which is no part of any turn.
    pub(super) fn end_of(&self, text: &str) -> usize {
        text.strip_suffix(self.always.as_str())
            .map_or(text.len(), str::len)
    }

    /// The answer's place in a rendering.
    pub(super) fn place(
        &self,
        index: usize,
        around: &Around,
        whole: &str,
    ) -> Result<Option<Placed>> {
        let Some(end) = self.end(index, &around.through, whole) else {
            return Ok(None);
        };
        let Some((start, unsaid)) = self.start(index, &around.before, whole)? else {
            return Ok(None);
        };
        Ok(Some(Placed {
            range: start..end.max(start),
            unsaid,
        }))
    }

    /// Behind the prompt. Where the whole goes on otherwise than the prompt, as where a prompt opens a thought, the answer
    /// begins where both part, if what stands before the prompt is there.
    fn start(
        &self,
        index: usize,
        before: &str,
        whole: &str,
    ) -> Result<Option<(usize, Option<String>)>> {
        if whole.starts_with(before) {
            return Ok(Some((before.len(), None)));
        }
        let bare = self.bare(index)?;
        if !whole.starts_with(&bare) || !before.starts_with(&bare) {
            return Ok(None);
        }
        let at = parting(before, whole).max(bare.len());
        Ok(Some((at, Some(before[at..].to_owned()))))
    }

    fn end(&self, index: usize, through: &str, whole: &str) -> Option<usize> {
        let through = &through[..self.end_of(through)];
        if whole.starts_with(through) {
            return Some(through.trim_end().len());
        }
        // Some templates close the very last turn with the token that ends a text; an answer before it ends without, or
        // with another special token in its place.
        let open = through.strip_suffix(self.template.eos_token()?)?;
        let rest = whole.strip_prefix(open)?;
        let ended = open.trim_end();
        let mut specials = self.tokenizer.specials_in(ended);
        if specials.any(|special| special.end == ended.len()) {
            return Some(ended.len());
        }
        let length = self.tokenizer.special_at_start(rest)?;
        let opens_next = self.opens_next(index, &rest[length..]);
        (!opens_next).then_some(open.len() + length)
    }

    /// Whether what follows a special token makes it the beginning of the next message.
    fn opens_next(&self, index: usize, rest: &str) -> bool {
        let next = self.conversation.messages.get(index + 1);
        let rest = rest.trim_start();
        next.is_none_or(|next| {
            let (role, text) = (next.role.as_str(), next.content.trim());
            rest.starts_with(role) || (!text.is_empty() && rest.starts_with(text))
        })
    }
}

/// Where two texts part; a tag that only one of them has, or that they do not share to its end, is not begun.
fn parting(before: &str, whole: &str) -> usize {
    let same = before.bytes().zip(whole.bytes());
    let mut at = same.take_while(|(a, b)| a == b).count();
    while !before.is_char_boundary(at) {
        at -= 1;
    }
    let shared = &before[..at];
    for (opens, closes) in [('<', '>'), ('[', ']')] {
        if let Some(tag) = shared.rfind(opens)
            && !shared[tag..].contains(closes)
        {
            at = at.min(tag);
        }
    }
    at
}

/// What a template writes behind every conversation, though nobody asked: it ends the messages before an answer, and
/// ends the answer again, behind a token that ends a turn.
fn always(tokenizer: &TextTokenizer, bare: &str, through: &str) -> String {
    let Some(rest) = through.strip_prefix(bare) else {
        return String::new();
    };
    let mut shared = 0;
    let pairs = rest.chars().rev().zip(bare.chars().rev());
    for (letter, _) in pairs.take_while(|(a, b)| a == b) {
        shared += letter.len_utf8();
    }
    let specials: Vec<Range<usize>> = tokenizer.specials_in(rest).collect();
    let behind = specials.iter().find(|special| {
        let tail = &rest[special.end..];
        tail.len() <= shared && !tail.trim().is_empty()
    });
    // White space between the end of a turn and what follows it belongs to the turn.
    behind.map_or_else(String::new, |special| {
        rest[special.end..].trim_start().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_part_before_a_tag_that_they_do_not_share() {
        let before = "<|user|>a<|assistant|><think>\n";
        for (whole, kept) in [
            ("<|user|>a<|assistant|>b", "<|user|>a<|assistant|>"),
            ("<|user|>a<|assistant|><table>", "<|user|>a<|assistant|>"),
            (
                "<|user|>a<|assistant|><think></think>b",
                "<|user|>a<|assistant|><think>",
            ),
        ] {
            assert_eq!(&before[..parting(before, whole)], kept);
        }
        assert_eq!(parting("a[TH", "a[TO"), 1);
        assert_eq!(parting("é", "è"), 0);
    }
}
