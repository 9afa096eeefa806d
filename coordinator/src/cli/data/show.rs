//! `coordinator data show`: samples as the trainer sees them.
//!
//! In: a configuration, a file and a line. Out: the text of the tokens; what is learned is green on a
//! terminal and stands between ⟦ and ⟧ elsewhere, so that nothing depends on colour alone.

use std::path::Path;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use shared::error::Result;
use shared::text::TextTokenizer;

use super::{Opened, ShowArgs, open};
use crate::data::{self, Preview, Wanted, visible};

/// Samples, and what their ids mean.
#[derive(Debug)]
pub struct Shown {
    samples: Vec<Preview>,
    tokenizer: TextTokenizer,
}

/// Finds the samples.
///
/// # Errors
/// Whatever keeps the data from being read, and when there is no such sample.
pub fn run(args: &ShowArgs, cwd: &Path) -> Result<Shown> {
    let Opened {
        config,
        tokenizer,
        template,
        ..
    } = open(&args.source, cwd)?;
    let wanted = Wanted {
        file: args.file.clone(),
        line: args.line,
        count: usize::try_from(args.count).unwrap_or(usize::MAX),
    };
    let samples = data::previews(&config, &tokenizer, template.as_ref(), &wanted)?;
    Ok(Shown { samples, tokenizer })
}

impl Shown {
    /// For people.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn to_text(&self, ids: bool, colour: bool) -> Result<String> {
        let parts: Vec<String> = self
            .samples
            .iter()
            .map(|sample| {
                let body = if ids {
                    self.tokens(sample, colour)
                } else {
                    self.text(sample, colour)?
                };
                Ok(format!("{}\n{body}\n", head(sample)))
            })
            .collect::<Result<_>>()?;
        Ok(parts.join("\n"))
    }

    /// One object per sample.
    #[must_use]
    pub fn to_json(&self) -> Vec<Value> {
        let token = |(id, target): (&u32, &u8)| json!({"id": id, "token": self.tokenizer.token(*id), "learned": *target != 0});
        let sample = |s: &Preview| {
            json!({
                "event": "sample", "file": s.origin.file, "line": s.origin.line,
                "tokens_before_cut": s.tokens, "target_tokens": s.target_tokens(),
                "lost_targets": s.lost_targets,
                "tokens": s.ids.iter().zip(&s.targets).map(token).collect::<Vec<_>>(),
            })
        };
        self.samples.iter().map(sample).collect()
    }

    fn text(&self, sample: &Preview, colour: bool) -> Result<String> {
        let mut text = String::new();
        let pairs: Vec<(u32, bool)> = pairs(sample).collect();
        for run in pairs.chunk_by(|a, b| a.1 == b.1) {
            let ids: Vec<u32> = run.iter().map(|(id, _)| *id).collect();
            let part = self.tokenizer.decode(&ids, false)?;
            let learned = run.first().is_some_and(|(_, learned)| *learned);
            text.push_str(&marked(&visible(&part), learned, colour));
        }
        Ok(text)
    }

    fn tokens(&self, sample: &Preview, colour: bool) -> String {
        let line = |(position, (id, learned)): (usize, (u32, bool))| {
            let token = marked(&format!("{:?}", self.token(id)), learned, colour);
            format!("{position:>6} {id:>8}  {token}")
        };
        let lines: Vec<String> = pairs(sample).enumerate().map(line).collect();
        lines.join("\n")
    }

    /// The text of one token; as the vocabulary spells it when it is no whole character.
    fn token(&self, id: u32) -> String {
        let text = self.tokenizer.decode(&[id], false).unwrap_or_default();
        if text.is_empty() || text.contains(char::REPLACEMENT_CHARACTER) {
            self.tokenizer.token(id).unwrap_or_default()
        } else {
            text
        }
    }
}

fn pairs(sample: &Preview) -> impl Iterator<Item = (u32, bool)> {
    let ids = sample.ids.iter().copied();
    ids.zip(sample.targets.iter().map(|t| *t != 0))
}

fn head(sample: &Preview) -> String {
    let (file, line) = (&sample.origin.file, sample.origin.line);
    let cut = match (sample.tokens, sample.ids.len(), sample.lost_targets) {
        (before, now, _) if before == now => String::new(),
        (before, 0, lost) => format!(", left out: {before} tokens, {lost} targets lost"),
        (before, _, lost) => format!(", cut from {before}, {lost} targets lost"),
    };
    format!(
        "{file}:{line}  {} tokens, {} learned{cut}",
        sample.ids.len(),
        sample.target_tokens()
    )
}

fn marked(text: &str, learned: bool, colour: bool) -> String {
    let style = match learned {
        true => Style::new().fg_color(Some(AnsiColor::Green.into())),
        false => Style::new().dimmed(),
    };
    match (learned, colour) {
        (_, true) => format!("{style}{text}{style:#}"),
        (true, false) => format!("⟦{text}⟧"),
        (false, false) => text.to_owned(),
    }
}
