//! The first samples of each file, in a line each, for a person to see what was read.
//!
//! In: the samples in order. Out: three lines per file, the answers first: they are what is learned. Keeps: personal data stands in them as
//! placeholders wherever `privacy` looks for it.

use std::collections::BTreeMap;

use shared::config::PrivacyMode;
use shared::error::Result;
use shared::text::TextTokenizer;

use super::config::DataConfig;
use super::detection::{Detected, detected};
use super::excerpt::excerpt;
use super::file_report::FileReport;
use super::privacy::{Masker, Privacy};
use super::sample::{Conversation, Tokenized};

/// So many samples of a file are shown.
const SHOWN: usize = 3;
/// So many tokens of a sample that came as tokens.
const TOKENS: usize = 24;

/// The first samples of each file, a line each.
pub(crate) struct FirstSamples<'a> {
    tokenizer: &'a TextTokenizer,
    privacy: Option<Privacy>,
    lines: BTreeMap<String, Vec<String>>,
}

impl<'a> FirstSamples<'a> {
    pub(crate) fn new(config: &DataConfig, tokenizer: &'a TextTokenizer) -> Result<Self> {
        let looked = config.privacy.mode != PrivacyMode::Off;
        Ok(Self {
            tokenizer,
            privacy: looked.then(|| Privacy::new(&config.privacy)).transpose()?,
            lines: BTreeMap::new(),
        })
    }

    /// Takes the next sample in.
    pub(crate) fn see(&mut self, conversation: &Conversation, row: &Tokenized) {
        let file = &conversation.origin.file;
        if self
            .lines
            .get(file)
            .is_some_and(|lines| lines.len() >= SHOWN)
        {
            return;
        }
        let (mut said, mut before) = (Vec::new(), Vec::new());
        for (at, message) in conversation.messages.iter().enumerate() {
            let line = format!("{}: {}", message.role, self.shown(&message.content));
            let learned = message.role == "assistant" && !conversation.unlearned.contains(&at);
            if learned { &mut said } else { &mut before }.push(line);
        }
        if !before.is_empty() {
            said.push(format!("behind {}", before.join(" | ")));
        }
        if conversation.tokens.is_some() {
            let first = &row.ids[..row.ids.len().min(TOKENS)];
            let text = self.tokenizer.decode(first, false).unwrap_or_default();
            said.push(format!("{} tokens: {}", row.ids.len(), self.shown(&text)));
        }
        let line = format!("{}: {}", conversation.origin.line, said.join(" | "));
        self.lines.entry(file.clone()).or_default().push(line);
    }

    /// Every file with its lines.
    pub(crate) fn of(mut self, reports: &[FileReport], config: &DataConfig) -> Vec<Detected> {
        let with = |report: &FileReport| Detected {
            previews: self.lines.remove(&report.file).unwrap_or_default(),
            ..detected(report, config)
        };
        reports.iter().map(with).collect()
    }

    fn shown(&self, text: &str) -> String {
        match &self.privacy {
            Some(privacy) => excerpt(&Masker::new(privacy).mask(text)),
            None => excerpt(text),
        }
    }
}
