//! Plain-text dialogues: lines with role prefixes to conversations.
//!
//! In: a `.txt` file. Out: conversations. The first speaker asks. `turns`: each line of the asking
//! role starts a sample. `blocks`: the turns between blank lines are one conversation.
//! Keeps: lines are trimmed, blank lines are never part of a text, a line without a prefix
//! continues the turn before, joined by a newline. A question without an answer is refused.

use shared::config::{Dialogue, FormatConfig};
use shared::dataset::RowOrigin;
use shared::error::{Code, Error, Result};
use shared::text::Message;

use super::parsed::Parsed;
use super::roles::{self, Line, NoRoles, Roles};
use crate::data::excerpt::{excerpt, place};
use crate::data::file_report::{FileReport, Form, RoleCount};
use crate::data::files::SourceFile;
use crate::data::listed::{LISTED, listed};
use crate::data::sample::Conversation;

/// What one speaker says before another does.
#[derive(Debug)]
struct Turn {
    role: usize,
    line: u64,
    text: String,
    after_blank: bool,
}

/// Reads the conversations of a file.
pub(crate) fn parse(
    file: &SourceFile,
    text: &str,
    mode: Dialogue,
    formats: &FormatConfig,
) -> Result<Parsed> {
    let lines = lines(text);
    let mut report = FileReport::new(&file.name, Form::Dialogue);
    if lines.is_empty() {
        return Ok(Parsed::new(Vec::new(), report));
    }
    let roles = roles::detect(&lines, formats).map_err(|e| no_roles(file, &lines, &e))?;
    let turns = turns(&lines, &roles);
    for (index, speaker) in roles.speakers.iter().enumerate() {
        let count = turns.iter().filter(|t| t.role == index).count();
        let (name, asks) = (speaker.name.clone(), index == 0);
        report.roles.push(RoleCount {
            name,
            turns: count as u64,
            asks,
        });
    }
    report.prefixes_read_as_text = roles
        .text
        .iter()
        .map(|c| (c.name.clone(), c.count as u64))
        .collect();
    let notices = notices(file, &lines, &roles);
    let groups = match mode {
        Dialogue::Turns => by_question(turns),
        Dialogue::Blocks => by_block(turns),
    };
    check(file, &groups, mode)?;
    let conversations: Vec<Conversation> = groups
        .into_iter()
        .map(|turns| conversation(file, turns))
        .collect();
    report.samples = conversations.len() as u64;
    Ok(Parsed {
        conversations,
        report,
        notices,
    })
}

pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut after_blank = false;
    for (number, line) in (1..).zip(text.lines()) {
        let text = line.trim();
        if text.is_empty() {
            after_blank = true;
        } else {
            lines.push(Line {
                number,
                text,
                after_blank,
            });
            after_blank = false;
        }
    }
    lines
}

/// Joins the lines of each turn.
fn turns(lines: &[Line<'_>], roles: &Roles) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for line in lines {
        let (number, after_blank) = (line.number, line.after_blank);
        match (roles.split(line.text), turns.last_mut()) {
            (Some((role, text)), _) => {
                turns.push(Turn {
                    role,
                    line: number,
                    text: text.to_owned(),
                    after_blank,
                });
            }
            (None, Some(turn)) => turn.add(line.text),
            (None, None) => {}
        }
    }
    turns
}

impl Turn {
    fn add(&mut self, text: &str) {
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    fn asks(&self) -> bool {
        self.role == 0
    }
}

fn by_question(turns: Vec<Turn>) -> Vec<Vec<Turn>> {
    group(turns, Turn::asks)
}

fn by_block(turns: Vec<Turn>) -> Vec<Vec<Turn>> {
    group(turns, |turn| turn.after_blank)
}

/// Cuts where `starts` says, and joins what the same side says in a row.
fn group(turns: Vec<Turn>, starts: impl Fn(&Turn) -> bool) -> Vec<Vec<Turn>> {
    let mut groups: Vec<Vec<Turn>> = Vec::new();
    for turn in turns {
        match groups.last_mut() {
            Some(group) if !starts(&turn) => match group.last_mut() {
                Some(last) if last.asks() == turn.asks() => last.add(&turn.text),
                _ => group.push(turn),
            },
            _ => groups.push(vec![turn]),
        }
    }
    groups
}

fn conversation(file: &SourceFile, turns: Vec<Turn>) -> Conversation {
    let line = turns.first().map_or(1, |t| t.line);
    let message =
        |turn: Turn| Message::new(if turn.asks() { "user" } else { "assistant" }, turn.text);
    let file = file.name.clone();
    Conversation::new(
        turns.into_iter().map(message).collect(),
        RowOrigin { file, line },
    )
}

/// Refuses what would train on nothing or on a guess.
fn check(file: &SourceFile, groups: &[Vec<Turn>], mode: Dialogue) -> Result<()> {
    let blocks = mode == Dialogue::Blocks;
    let refuse = |code: Code, what: &str, bad: Vec<&Turn>| -> Result<()> {
        let Some(first) = bad.first() else {
            return Ok(());
        };
        let numbers: Vec<u64> = bad.iter().map(|t| t.line).collect();
        Err(Error::new(code, what)
            .at_line(&file.path, first.line)
            .why(format!("it reads: {}", excerpt(&first.text)))
            .why(format!(
                "{} in this file, lines {}",
                bad.len(),
                listed(&numbers)
            )))
    };
    let begins_wrong = groups
        .iter()
        .filter_map(|g| g.first())
        .filter(|t| !t.asks())
        .collect();
    refuse(
        Code::NoRoles,
        "a conversation begins with an answer",
        begins_wrong,
    )
    .map_err(|e| {
        e.why("under `dialogue: blocks` a blank line ends a conversation")
            .fix("take the blank line out, or --set dialogue=turns")
    })?;
    let unanswered = groups
        .iter()
        .filter(|g| g.iter().all(Turn::asks))
        .filter_map(|g| g.first());
    refuse(
        Code::NothingToLearn,
        "a question has no answer",
        unanswered.collect(),
    )
    .map_err(|e| {
        let e = e.fix("write the answer below it with the answering role's prefix, or take it out");
        if blocks {
            e
        } else {
            e.fix("or --set dialogue=blocks, where one speaker's lines are joined")
        }
    })?;
    let empty = groups
        .iter()
        .flatten()
        .filter(|t| t.text.is_empty())
        .collect();
    refuse(Code::NothingToLearn, "a role speaks without a text", empty)
        .map_err(|e| e.fix("write the text after the colon or on the lines below, or take it out"))
}

fn notices(file: &SourceFile, lines: &[Line<'_>], roles: &Roles) -> Vec<String> {
    let mut notices = Vec::new();
    if roles.speakers.len() > 2 {
        let names: Vec<&str> = roles.speakers.iter().map(|s| s.name.as_str()).collect();
        notices.push(format!(
            "{}: more than two roles ({}): {} asks, all others answer, what they say in a row is joined",
            file.name,
            names.join(", "),
            names[0],
        ));
    }
    let without: Vec<u64> = lines
        .iter()
        .filter(|l| roles.split(l.text).is_none() && roles.lacks_colon(l.text))
        .map(|l| l.number)
        .collect();
    if !without.is_empty() {
        notices.push(format!(
            "{}: lines that begin with a role's name but lack the colon continue the turn before: {}",
            file.name,
            listed(&without),
        ));
    }
    notices
}

fn no_roles(file: &SourceFile, lines: &[Line<'_>], found: &NoRoles) -> Error {
    let error = Error::new(
        Code::NoRoles,
        "a dialogue file has no roles to tell who asks and who answers",
    );
    let mut error = match found.line.and_then(|at| lines.get(at)) {
        Some(line) => error.at(place(&file.path, line.number, None, line.text)),
        None => error.in_file(&file.path),
    };
    error = error.why(found.why.clone()).why("its first lines:");
    for line in lines.iter().take(3.min(LISTED)) {
        error = error.why(format!("  {} | {}", line.number, excerpt(line.text)));
    }
    error
        .fix(
            "begin each question and each answer with a name and a colon: `用户：...`, `律师：...`",
        )
        .fix("or give the data as JSONL or CSV, which need no roles")
}

#[cfg(test)]
#[path = "dialogue_tests.rs"]
mod tests;
