//! What a chat template leaves out of a conversation.
//!
//! In: a conversation and a rendering of it. Out: what is to be said. Keeps: an answer whose thought, calls or whole text
//! the template drops is never learned without them; what is only missing around the answers is said.

use std::ops::Range;

use serde_json::Value;
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, Message, TextTokenizer};

use crate::data::sample::{Conversation, Notes};

/// Fields of a message that hold a thought.
const THOUGHTS: &[&str] = &["reasoning_content", "reasoning", "thinking"];
/// Tags of a thought in a text.
const TAGS: &[(&str, &str)] = &[("<think>", "</think>"), ("[THINK]", "[/THINK]")];

/// A rendering of the first messages of a conversation.
pub(super) struct Shown<'a> {
    pub template: &'a ChatTemplate,
    pub tokenizer: &'a TextTokenizer,
    pub conversation: &'a Conversation,
    pub messages: usize,
    pub text: &'a str,
}

impl Shown<'_> {
    /// What the rendering lacks of all messages and tools.
    pub(super) fn missing(&self, notes: &mut Notes) {
        let Conversation {
            messages, tools, ..
        } = self.conversation;
        for message in &messages[..self.messages] {
            if !has(self.text, spoken(&message.content)) {
                notes.left_out.push(message.role.clone());
            }
            let calls = calls_of(message);
            notes.calls |= names(calls).any(|name| !self.text.contains(name));
            let mut calls = calls.into_iter().flatten();
            notes.escaped |= calls.any(|call| escaped(call, self.text));
        }
        let tools = tools.as_ref().and_then(Value::as_array);
        notes.tools = names(tools).any(|name| !self.text.contains(name));
    }

    /// Refuses an answer that would be learned without what makes it one. `range` is where it stands, as far as that is
    /// known.
    pub(super) fn require(
        &self,
        index: usize,
        range: Option<&Range<usize>>,
        notes: &mut Notes,
    ) -> Result<()> {
        let message = &self.conversation.messages[index];
        let said = range.map_or(self.text, |range| &self.text[range.clone()]);
        for (field, thought) in thoughts(message) {
            if !has(said, thought) {
                match field {
                    Some(_) => notes.thought = true,
                    None => return Err(self.thought_lost(index)),
                }
            }
        }
        let Some(range) = range else { return Ok(()) };
        let bare = self.without_specials(range);
        let calls = names(calls_of(message)).next();
        let wanted = !message.content.trim().is_empty() || calls.is_some();
        if wanted && bare.trim().is_empty() {
            let what = match calls {
                Some(_) => "the calls of an answer",
                None => "the text of an answer",
            };
            return Err(self.answer_lost(index, what));
        }
        let tags = TAGS.iter().find(|(opens, closes)| {
            let inside = said.trim_start().strip_prefix(opens);
            inside.is_some_and(|inside| inside.trim_start().starts_with(closes))
        });
        let own = |tag: &str| message.content.contains(tag);
        notes.empty_thought |= tags.is_some_and(|(opens, _)| !own(opens));
        Ok(())
    }

    fn without_specials(&self, range: &Range<usize>) -> String {
        let said = &self.text[range.clone()];
        let mut bare = String::new();
        let mut done = 0;
        for special in self.tokenizer.specials_in(said) {
            bare.push_str(&said[done..special.start]);
            done = special.end;
        }
        bare + &said[done..]
    }

    fn thought_lost(&self, index: usize) -> Error {
        Error::new(
            Code::LeftOut,
            "the chat template leaves out the thought of an answer",
        )
        .in_file(self.template.file())
        .why(format!(
            "it takes the thought out of the text of message {}, so the answer would be learned without it",
            index + 1
        ))
        .why("a model that learns only such answers is taught not to think")
        .fix("use a template of the model that writes thoughts, such as its training form, as the folder's chat_template.jinja")
        .fix("or take the thoughts out of the data, to teach answers without them")
    }

    fn answer_lost(&self, index: usize, what: &str) -> Error {
        Error::new(
            Code::LeftOut,
            format!("the chat template leaves out {what}"),
        )
        .in_file(self.template.file())
        .why(format!(
            "message {} would be learned as an empty answer",
            index + 1
        ))
        .fix("use a model whose chat template writes it, or put such a template into the folder as chat_template.jinja")
        .fix("or take the sample out")
    }
}

/// Whether a text is there, as it is or as JSON quotes it.
fn has(text: &str, part: &str) -> bool {
    let part = part.trim();
    if text.contains(part) {
        return true;
    }
    let quoted = serde_json::Value::from(part).to_string();
    let inside = quoted.get(1..quoted.len().saturating_sub(1));
    inside.is_some_and(|inside| text.contains(inside))
}

/// The text behind its thought, which templates take out of what was said before.
fn spoken(content: &str) -> &str {
    let behind = |(_, closes): &(&str, &str)| content.rsplit_once(closes).map(|(_, rest)| rest);
    TAGS.iter().find_map(behind).unwrap_or(content)
}

/// The thoughts of an answer, with the field that each is in, if not the text.
fn thoughts(message: &Message) -> impl Iterator<Item = (Option<&'static str>, &str)> {
    let fields = message.fields.as_ref();
    let of_field = move |name: &&'static str| {
        let thought = fields?.get(*name)?.as_str()?;
        Some((Some(*name), thought))
    };
    let of_text = TAGS.iter().filter_map(|(opens, closes)| {
        let (thought, _) = message.content.split_once(closes)?;
        let thought = thought.split_once(opens).map_or(thought, |(_, rest)| rest);
        Some((None, thought))
    });
    let all = THOUGHTS.iter().filter_map(of_field).chain(of_text);
    all.filter(|(_, thought)| !thought.trim().is_empty())
}

fn calls_of(message: &Message) -> Option<&Vec<Value>> {
    message.fields.as_ref()?.get("tool_calls")?.as_array()
}

/// Names of functions that are called, or can be.
fn names(list: Option<&Vec<Value>>) -> impl Iterator<Item = &str> {
    list.into_iter().flatten().filter_map(|item| {
        let function = item.get("function").unwrap_or(item);
        function.get("name")?.as_str()
    })
}

/// Whether arguments that are a text of JSON are written as a text within a text.
fn escaped(call: &Value, text: &str) -> bool {
    let arguments = call.get("function").unwrap_or(call).get("arguments");
    let Some(arguments) = arguments.and_then(Value::as_str) else {
        return false;
    };
    // Quotes are escaped alike by all writers of JSON; a text without one is the same in both ways.
    arguments.contains('"')
        && !text.contains(arguments)
        && text.contains(&arguments.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_thought_is_found_in_fields_and_in_the_text() {
        let mut message = Message::new("assistant", "<think>\nA.\n</think>\nB");
        assert_eq!(thoughts(&message).collect::<Vec<_>>(), [(None, "\nA.\n")]);
        assert_eq!(spoken(&message.content), "\nB");
        message.content = "B".into();
        let fields = json!({"role": null, "content": null, "thinking": "C", "reasoning": " "});
        message.fields = fields.as_object().cloned();
        assert_eq!(
            thoughts(&message).collect::<Vec<_>>(),
            [(Some("thinking"), "C")]
        );
    }

    #[test]
    fn a_text_that_is_quoted_as_json_is_there() {
        assert!(has(r#"{"output": "{\"a\": 1}\nx"}"#, "{\"a\": 1}\nx"));
        assert!(!has("a", "b"));
    }
}
