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
    calls: Places,
    tools: Places,
    /// Samples of several rows, and their rows.
    unrolled: Places,
    unrolled_rows: u64,
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
        if rows.len() > 1 {
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
        let Self {
            left_out,
            calls,
            tools,
            unrolled,
            unrolled_rows,
            unsaid,
            prompt,
            empty_thought,
            spelled,
        } = self;
        let opened = excerpt(prompt.as_deref().unwrap_or_default());
        let became = match config.formats.special_tokens {
            SpecialTokensInText::Plain => {
                "they are read as plain text, and become no control tokens"
            }
            SpecialTokensInText::Keep => {
                "`special_tokens_in_text: keep` makes control tokens of them, learned where they stand in an answer"
            }
        };
        let all = [
            (
                spelled,
                format!("spell special tokens in their texts; {became}"),
            ),
            (
                calls,
                format!(
                    "call tools in a way that the chat template ({name}) leaves out: the calls are not learned"
                ),
            ),
            (
                tools,
                format!("name tools that the chat template ({name}) leaves out"),
            ),
            (
                left_out,
                format!("have text that the chat template ({name}) leaves out or changes"),
            ),
            (
                unrolled,
                format!(
                    "became {unrolled_rows} rows: the chat template ({name}) writes an answer otherwise once another question follows, so each is learned in the view in which it was given"
                ),
            ),
            (
                unsaid,
                format!(
                    "have answers that do not begin as the prompt of the chat template ({name}) does, which goes on with {opened:?}: they are learned from where both part; ask the adapter with a prompt that ends there"
                ),
            ),
            (
                empty_thought,
                format!(
                    "have no thought, and the chat template ({name}) writes an empty one, which is learned: the model is taught to answer without thinking"
                ),
            ),
        ];
        let said = all.into_iter().filter(|(places, _)| places.count > 0);
        said.map(|(places, what)| format!("{} samples {what}: {places}", places.count))
            .collect()
    }
}
