//! What is to be said about how a chat template rendered the samples.
//!
//! In: the rows of each sample. Out: notices, each with how many samples it is about and the first of them.

use serde::{Deserialize, Serialize};
use shared::config::SpecialTokensInText;

use crate::data::config::DataConfig;
use crate::data::excerpt::excerpt;
use crate::data::listed::Places;
use crate::data::sample::{Conversation, Tokenized};

/// Samples by what the template did with them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RenderingStats {
    left_out: Places,
    thoughts: Places,
    escaped: Places,
    calls: Places,
    tools: Places,
    /// Samples of several rows, and their rows.
    unrolled: Places,
    unrolled_rows: u64,
    /// Plain texts of several rows, and their rows.
    cut: Places,
    cut_rows: u64,
    unsaid: Places,
    /// What the prompt had there, of the first of them.
    prompt: Option<String>,
    empty_thought: Places,
    spelled: Places,
}

impl RenderingStats {
    /// Takes the rows of the next sample.
    pub(crate) fn add(&mut self, sample: &Conversation, rows: &[Tokenized]) {
        let place = || sample.place();
        if rows.len() > 1 && sample.plain_text().is_some() {
            self.cut.add(place);
            self.cut_rows += rows.len() as u64;
        } else if rows.len() > 1 {
            self.unrolled.add(place);
            self.unrolled_rows += rows.len() as u64;
        }
        let notes = || rows.iter().map(|row| &row.notes);
        // A text that one of the rows has is not left out of what is learned.
        let roles = notes()
            .map(|notes| &notes.left_out)
            .min_by_key(|left| left.len());
        if let Some(roles) = roles.filter(|roles| !roles.is_empty()) {
            self.left_out
                .add(|| format!("{} ({})", place(), roles.join(", ")));
        }
        if notes().any(|notes| notes.thought) {
            self.thoughts.add(place);
        }
        if notes().any(|notes| notes.escaped) {
            self.escaped.add(place);
        }
        if notes().any(|notes| notes.calls) {
            self.calls.add(place);
        }
        if notes().any(|notes| notes.tools) {
            self.tools.add(place);
        }
        if let Some(prompt) = notes().find_map(|notes| notes.unsaid.as_ref()) {
            self.unsaid.add(place);
            self.prompt.get_or_insert_with(|| prompt.clone());
        }
        if notes().any(|notes| notes.empty_thought) {
            self.empty_thought.add(place);
        }
        let mut spelled: Vec<&str> = Vec::new();
        for token in notes().flat_map(|notes| &notes.spelled) {
            if !spelled.contains(&token.as_str()) {
                spelled.push(token);
            }
        }
        if !spelled.is_empty() {
            self.spelled
                .add(|| format!("{} ({})", place(), spelled.join(" ")));
        }
    }

    /// What is to be said, the weightiest first; `name` is the template's file.
    pub(crate) fn notices(&self, name: &str, config: &DataConfig) -> Vec<String> {
        let spelled = match config.formats.special_tokens {
            SpecialTokensInText::Plain => SPELLED,
            SpecialTokensInText::Keep => KEPT,
        };
        let all = [
            (&self.spelled, spelled),
            (&self.thoughts, THOUGHTS),
            (&self.calls, CALLS),
            (&self.tools, TOOLS),
            (&self.escaped, ESCAPED),
            (&self.left_out, LEFT_OUT),
            (&self.cut, CUT),
            (&self.unrolled, UNROLLED),
            (&self.unsaid, UNSAID),
            (&self.empty_thought, EMPTY_THOUGHT),
        ];
        let prompt = excerpt(self.prompt.as_deref().unwrap_or_default());
        let said = all.into_iter().filter(|(places, _)| places.count > 0);
        said.map(|(places, what)| {
            let what = what
                .replace("TEMPLATE", &format!("the chat template ({name})"))
                .replace("PROMPT", &format!("{prompt:?}"))
                .replace("TEXTROWS", &self.cut_rows.to_string())
                .replace("ROWS", &self.unrolled_rows.to_string());
            format!("{} samples {what}: {places}", places.count)
        })
        .collect()
    }
}

const SPELLED: &str =
    "spell special tokens in their texts; they are read as plain text and become no control tokens";
const KEPT: &str = "spell special tokens in their texts; `special_tokens_in_text: keep` makes control tokens of them, \
    learned where they stand in an answer";
const THOUGHTS: &str = "hold a thought (`reasoning_content`, `reasoning` or `thinking`) that TEMPLATE does not write: it \
    is NOT learned";
const CALLS: &str = "call tools in a way that TEMPLATE leaves out: the calls are NOT learned";
const TOOLS: &str = "name tools that TEMPLATE leaves out: the model does NOT see them";
const ESCAPED: &str = "have `arguments` of a call as a text, which TEMPLATE writes quoted and escaped, as transformers \
    does; arguments that are JSON objects are written as such";
const LEFT_OUT: &str = "have text that TEMPLATE leaves out or changes";
const CUT: &str = "are longer than max_seq_length and were cut into TEXTROWS rows; every token of them is learned";
const UNROLLED: &str = "became ROWS rows: TEMPLATE writes an answer otherwise once another question follows, so each is \
    learned in the view in which it was given";
const UNSAID: &str = "have answers that do not begin as the prompt of TEMPLATE does, which goes on with PROMPT: they are \
    learned from where both part; ask the adapter with a prompt that ends there";
const EMPTY_THOUGHT: &str = "have no thought, and TEMPLATE writes an empty one, which is learned: the model is taught to \
    answer without thinking";
