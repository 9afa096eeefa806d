//! Special tokens that stand in a conversation's own texts, and stay text.
//!
//! In: a conversation; a rendering of it. Out: where in the rendering a special token's spelling comes from a text
//! and not from the template; ids in which those are written out in ordinary tokens. Keeps: a rendering without such a
//! spelling has the ids it always had, for nothing is done to it.
//! Each spelling in a text gets a mark, the conversation is rendered once more, and the marks say where it went. The
//! marks are Unicode noncharacters, which no text may hold.

use std::collections::BTreeMap;
use std::ops::Range;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::{Encoded, Message};

/// Stands before a special token's spelling in a text.
const QUOTE: char = '\u{fdd2}';
/// Begins the spelling of a special token that the template wrote.
const TRUE: char = '\u{fdd3}';
/// A pattern of some thousand tokens needs more than the usual size.
const PATTERN_BYTES: usize = 1 << 26;
/// Tags of a thought are a part of an answer, also where a tokenizer counts them among its special tokens.
const TAGS: &[&str] = &["<think>", "</think>", "[THINK]", "[/THINK]"];

/// The spellings of special tokens, the longest first.
#[derive(Debug)]
pub(super) struct Spellings(Option<Regex>);

impl Spellings {
    pub(super) fn of<'a>(tokens: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut tokens: Vec<&str> = tokens
            .filter(|token| !token.trim().is_empty() && !TAGS.contains(token))
            .collect();
        tokens.sort_by_key(|token| (std::cmp::Reverse(token.len()), *token));
        tokens.dedup();
        if tokens.is_empty() {
            return Ok(Self(None));
        }
        let tokens: Vec<String> = tokens.into_iter().map(regex::escape).collect();
        let mut pattern = RegexBuilder::new(&tokens.join("|"));
        let pattern = pattern.size_limit(PATTERN_BYTES).build();
        pattern.map(|p| Self(Some(p))).map_err(|e| e.to_string())
    }

    /// Where a text spells special tokens, in their order.
    pub(super) fn within<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let found = self.0.as_ref().map(|pattern| pattern.find_iter(text));
        found.into_iter().flatten().map(|found| found.range())
    }

    /// Bytes of the special token that a text begins with.
    pub(super) fn at_start(&self, text: &str) -> Option<usize> {
        self.within(text)
            .next()
            .filter(|found| found.start == 0)
            .map(|found| found.end)
    }

    /// Every special token that the texts of a conversation spell.
    pub(super) fn in_conversation(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let mut see = |text: &str| found.extend(self.within(text).map(|at| text[at].to_owned()));
        for message in messages {
            see(&message.content);
            for value in message.fields.iter().flat_map(|fields| fields.values()) {
                each_text(value, &mut see);
            }
        }
        if let Some(tools) = tools {
            each_text(tools, &mut see);
        }
        found.sort();
        found.dedup();
        found
    }

    fn quoted(&self, text: &str) -> String {
        match &self.0 {
            Some(pattern) => pattern.replace_all(text, format!("{QUOTE}$0")).into_owned(),
            None => text.to_owned(),
        }
    }

    /// A message with a mark before each spelling.
    pub(super) fn quoted_message(&self, message: &Message) -> Message {
        let fields = message.fields.as_ref();
        let fields = fields.map(|fields| self.quoted_fields(fields));
        Message {
            role: message.role.clone(),
            content: self.quoted(&message.content),
            fields,
        }
    }

    fn quoted_fields(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        let pair = |(key, value): (&String, &Value)| (key.clone(), self.quoted_value(value));
        fields.iter().map(pair).collect()
    }

    /// JSON with a mark before each spelling in its texts.
    pub(super) fn quoted_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.quoted(text)),
            Value::Array(items) => items.iter().map(|item| self.quoted_value(item)).collect(),
            Value::Object(object) => Value::Object(self.quoted_fields(object)),
            other => other.clone(),
        }
    }
}

fn each_text(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, see)),
        Value::Object(object) => object.values().for_each(|item| each_text(item, see)),
        _ => {}
    }
}

/// The text without marks, and where each of them stood.
pub(super) fn unquoted(marked: &str) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(marked.len());
    let mut places = Vec::new();
    for letter in marked.chars() {
        match letter {
            QUOTE => places.push(text.len()),
            other => text.push(other),
        }
    }
    (text, places)
}

/// A tokenizer that knows special tokens only where they are marked.
#[derive(Debug)]
pub(super) struct Quoting {
    inner: Tokenizer,
    /// Ids of marked spellings to those of the tokens.
    ids: BTreeMap<u32, u32>,
}

impl Quoting {
    /// `special` are the ids that texts may not become.
    pub(super) fn of(
        tokenizer: &Tokenizer,
        special: impl Iterator<Item = u32>,
    ) -> Result<Self, String> {
        let mut inner = tokenizer.clone();
        let failed = |e: tokenizers::Error| e.to_string();
        let known = tokenizer.get_added_tokens_decoder();
        let mut marked = Vec::new();
        let mut originals = Vec::new();
        for id in special {
            let Some(text) = tokenizer.id_to_token(id) else {
                continue;
            };
            if TAGS.contains(&text.as_str()) {
                continue;
            }
            let token = known.get(&id).cloned();
            let token = token.unwrap_or_else(|| AddedToken::from(text.clone(), true));
            originals.push(token.clone().special(true));
            let mut twin = token.special(false);
            twin.content = format!("{TRUE}{text}");
            marked.push((id, twin));
        }
        inner.add_special_tokens(originals).map_err(failed)?;
        let twins: Vec<AddedToken> = marked.iter().map(|(_, twin)| twin.clone()).collect();
        inner.add_tokens(twins).map_err(failed)?;
        inner.set_encode_special_tokens(true);
        let mut ids = BTreeMap::new();
        for (id, twin) in marked {
            let given = inner.token_to_id(&twin.content);
            ids.insert(given.ok_or("a special token has no twin")?, id);
        }
        Ok(Self { inner, ids })
    }

    /// Ids and offsets of a text whose spellings at `quoted` are text, and all others special tokens.
    pub(super) fn encode(
        &self,
        spellings: &Spellings,
        text: &str,
        quoted: &[usize],
    ) -> Result<Encoded, String> {
        let mut marked = String::with_capacity(text.len() + 64);
        let mut marks = Vec::new();
        let mut done = 0;
        for Range { start, .. } in spellings.within(text) {
            if quoted.binary_search(&start).is_err() {
                marked.push_str(&text[done..start]);
                marks.push(marked.len());
                marked.push(TRUE);
                done = start;
            }
        }
        marked.push_str(&text[done..]);
        let encoding = self.inner.encode(marked.as_str(), false);
        let encoding = encoding.map_err(|e| e.to_string())?;
        let before = |at: usize| at - marks.partition_point(|mark| *mark < at) * TRUE.len_utf8();
        let ids = encoding.get_ids().iter();
        let offsets = encoding.get_offsets().iter();
        Ok(Encoded {
            ids: ids.map(|id| *self.ids.get(id).unwrap_or(id)).collect(),
            offsets: offsets.map(|(a, b)| (before(*a), before(*b))).collect(),
        })
    }
}
