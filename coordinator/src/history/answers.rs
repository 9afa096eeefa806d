//! The model's answers to the fixed prompts at each evaluation: `eval_prompts.jsonl` for machines, `eval_prompts.md`
//! with the answers side by side for people.
//!
//! Keeps: an answer is written before its evaluation is recorded, so that none is lost; the answers of a repeated
//! evaluation replace the earlier ones. Answers to prompts that the configuration no longer has stay.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::error::{Code, Error, Result};
use shared::evaluation::Prompts;
use shared::ids::Step;
use shared::run_paths::{ANSWER_LINES, ANSWER_PAGE};
use shared::storage::write_atomic;
use shared::text::TextTokenizer;

/// The model's answer to one prompt at one evaluated step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    step: Step,
    prompt: String,
    answer: String,
    /// Whether the answer has the largest number of new tokens, so that it may end too early.
    cut: bool,
}

/// All answers of a run, and the two files that hold them.
#[derive(Debug)]
pub struct Answers {
    folder: PathBuf,
    texts: Vec<String>,
    prompts: Prompts,
    tokenizer: TextTokenizer,
    /// Answers by step, in the order of the prompts.
    known: BTreeMap<Step, Vec<Answer>>,
}

impl Answers {
    /// Reads the answers so far from `folder`, to these prompts and to earlier ones.
    ///
    /// # Errors
    /// [`Code::Io`] with the path, also when a line is no answer.
    pub fn open(
        folder: &Path,
        texts: &[String],
        prompts: Prompts,
        tokenizer: TextTokenizer,
    ) -> Result<Self> {
        let file = folder.join(ANSWER_LINES);
        let unread = |why: String| {
            Error::new(Code::Io, "the answers so far cannot be read")
                .in_file(&file)
                .why(why)
                .fix("move the file away: the answers of later evaluations begin a new one")
        };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unread(error.to_string())),
        };
        let mut known: BTreeMap<Step, Vec<Answer>> = BTreeMap::new();
        for line in text.lines() {
            let answer: Answer = serde_json::from_str(line).map_err(|e| unread(e.to_string()))?;
            known.entry(answer.step).or_default().push(answer);
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            texts: texts.to_vec(),
            prompts,
            tokenizer,
            known,
        })
    }

    /// Path of the page for people.
    #[must_use]
    pub fn page(&self) -> PathBuf {
        self.folder.join(ANSWER_PAGE)
    }

    /// Adds the answers that an evaluation's integers hold, and writes both files.
    ///
    /// # Errors
    /// Token ids that cannot be decoded, [`Code::Io`]; answers that could not be written are written the next time.
    pub fn add(&mut self, step: Step, integers: &[i64]) -> Result<()> {
        let longest = usize::try_from(self.prompts.max_new_tokens).unwrap_or(usize::MAX);
        let mut of_step = self.known.remove(&step).unwrap_or_default();
        of_step.retain(|earlier| !self.texts.contains(&earlier.prompt));
        for (prompt, ids) in self.texts.iter().zip(self.prompts.answers(integers)) {
            of_step.push(Answer {
                step,
                prompt: prompt.clone(),
                answer: self.tokenizer.decode(&ids, true)?,
                cut: ids.len() >= longest,
            });
        }
        self.known.insert(step, of_step);
        write_atomic(&self.folder.join(ANSWER_LINES), self.lines()?.as_bytes())?;
        write_atomic(&self.page(), self.side_by_side().as_bytes())
    }

    fn lines(&self) -> Result<String> {
        let mut lines = String::new();
        for answer in self.known.values().flatten() {
            let line = serde_json::to_string(answer).map_err(|e| {
                Error::new(Code::Internal, "an answer is no JSON").why(e.to_string())
            })?;
            lines.push_str(&line);
            lines.push('\n');
        }
        Ok(lines)
    }

    /// A section for each prompt, a row for each evaluation.
    fn side_by_side(&self) -> String {
        let mut page = String::from("# Answers at each evaluation\n");
        let mut prompts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        for answer in self.known.values().flatten() {
            if !prompts.contains(&answer.prompt.as_str()) {
                prompts.push(&answer.prompt);
            }
        }
        for prompt in prompts {
            let _ = write!(
                page,
                "\n## {}\n\n| step | answer |\n| --- | --- |\n",
                cell(prompt)
            );
            for answer in self.known.values().flatten() {
                if answer.prompt == prompt {
                    let more = if answer.cut { " …" } else { "" };
                    let _ = writeln!(page, "| {} | {}{more} |", answer.step, cell(&answer.answer));
                }
            }
        }
        page
    }
}

/// Escapes a text so that it stays in one cell of a Markdown table.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' => out.push_str("<br>"),
            '\r' => {}
            '|' | '\\' | '<' | '*' | '_' | '`' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}
