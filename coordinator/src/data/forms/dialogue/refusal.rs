//! What is not read of a dialogue file, and what its user can do.

use shared::config::Dialogue;
use shared::error::{Code, Error, Result};

use super::cast::Cast;
use super::doubt::{Doubt, Reading};
use super::exchange::{Cut, Exchange, Turn, cut, turns};
use super::lines::{Line, Lines};
use super::roles::{NoRoles, Part, Roles};
use crate::data::excerpt::{excerpt, place};
use crate::data::files::SourceFile;
use crate::data::forms::ambiguity;
use crate::data::forms::columns::entries;
use crate::data::listed::listed;

/// So many of a file's first lines are shown.
const FIRST_LINES: usize = 3;

/// A file that may be refused.
pub(super) struct File<'a> {
    pub file: &'a SourceFile,
    pub read: &'a Lines<'a>,
    pub mode: Dialogue,
}

impl File<'_> {
    fn lines(&self) -> &[Line<'_>] {
        &self.read.lines
    }

    /// Refuses text before the first turn; in a chat export it belongs to the program that wrote it.
    pub(super) fn begins(
        &self,
        cast: &Cast<'_>,
        roles: &Roles,
    ) -> std::result::Result<(), NoRoles> {
        let first = self.lines().iter().position(|line| !line.is_blank());
        let Some(first) = first.filter(|_| !cast.stamped) else {
            return Ok(());
        };
        let event = cast.events.iter().find(|event| event.at == first);
        let why = match event {
            Some(event) if roles.part(event.name).is_some() => return Ok(()),
            Some(event) => {
                let name = &cast.names[event.name].shown;
                format!("the file begins with `{name}`, which is no role here")
            }
            None => "the file begins with text that belongs to no role".into(),
        };
        Err(NoRoles {
            why,
            line: Some(first),
        })
    }

    /// A file without both sides of a dialogue.
    pub(super) fn no_roles(&self, found: &NoRoles) -> Error {
        let error = Error::new(
            Code::NoRoles,
            "a dialogue file has no roles to tell who asks and who answers",
        );
        let mut error = match found.line.and_then(|at| self.lines().get(at)) {
            Some(line) => error.at(place(&self.file.path, line.number, None, line.text())),
            None => error.in_file(&self.file.path),
        };
        error = error.why(found.why.clone()).why("its first lines:");
        for line in self.read.visible().take(FIRST_LINES) {
            error = error.why(format!("  {} | {}", line.number, excerpt(line.text())));
        }
        error
            .fix(
                "begin each question and each answer with a name and a colon: `用户：...`, `律师：...`",
            )
            .fix("or give the data as JSONL or CSV, which need no roles")
    }

    /// A file that can be read in two ways: both, with what would be learned, and the setting for each.
    pub(super) fn two_readings(&self, cast: &Cast<'_>, doubt: &Doubt) -> Error {
        let line = self.lines().get(doubt.line);
        // What mends a single line comes before what settles a name for all files.
        let mut settings: Vec<String> = doubt.fixes.clone();
        for reading in doubt.readings.iter().filter(|reading| is_whole(reading)) {
            settings.push(format!(
                "if {}: {}",
                reading.says,
                setting(cast, &reading.roles)
            ));
        }
        let why = format!("{} % sure: {}", doubt.sure, doubt.why);
        let mut error = ambiguity::roles(&self.file.path, why, settings);
        if let Some(line) = line {
            error = error.at(place(&self.file.path, line.number, None, line.text()));
        }
        for reading in doubt.readings.iter().filter(|reading| is_whole(reading)) {
            let shown = self.shown(cast, &reading.roles, doubt.line);
            error = error.why(format!("if {}: {shown}", reading.says));
        }
        error
    }

    /// The exchange round a line as it would be learned, the answer first.
    fn shown(&self, cast: &Cast<'_>, roles: &Roles, line: usize) -> String {
        let all = cut(turns(self.lines(), cast, roles), self.mode, cast.stamped);
        let begins = |exchange: &&Exchange| exchange.first().is_some_and(|turn| turn.at <= line);
        let Some(exchange) = all
            .exchanges
            .iter()
            .rev()
            .find(begins)
            .or(all.exchanges.first())
        else {
            return "nothing is learned".into();
        };
        let part = |part: Part| exchange.iter().rev().find(|turn| turn.part == part);
        let text = |turn: Option<&Turn>| turn.map_or(String::new(), |turn| excerpt(&turn.text));
        match part(Part::Answers) {
            None => format!("the question 「{}」 has no answer", text(part(Part::Asks))),
            answer => format!(
                "learns 「{}」 behind 「{}」",
                text(answer),
                text(part(Part::Asks))
            ),
        }
    }

    /// Refuses what would train on nothing or on a guess.
    pub(super) fn check(&self, cast: &Cast<'_>, cut: &Cut) -> Result<()> {
        let groups = &cut.exchanges;
        let begins_wrong = groups
            .iter()
            .filter_map(|g| g.first())
            .filter(|t| t.part == Part::Answers)
            .collect();
        self.refuse(
            Code::NoRoles,
            "a conversation begins with an answer",
            begins_wrong,
        )
        .map_err(|e| {
            e.why("under `dialogue: blocks` a blank line ends a conversation")
                .fix("take the blank line out, or --set dialogue=turns")
        })?;
        self.refuse(
            Code::NoRoles,
            "instructions stand before no question",
            cut.stray.iter().collect(),
        )
        .map_err(|e| {
            e.fix("write them before the first question of a conversation, or take them out")
        })?;
        self.answered(cast, groups)?;
        let empty = groups
            .iter()
            .flatten()
            .filter(|t| t.text.is_empty())
            .collect();
        self.refuse(Code::NothingToLearn, "a role speaks without a text", empty)
            .map_err(|e| {
                e.fix("write the text after the colon or on the lines below, or take it out")
            })
    }

    /// Refuses questions without an answer, and names what stands in them before a colon.
    fn answered(&self, cast: &Cast<'_>, groups: &[Exchange]) -> Result<()> {
        let answers = |turn: &Turn| turn.part == Part::Answers;
        let open = groups
            .iter()
            .enumerate()
            .filter(|(_, g)| !g.iter().any(answers));
        let open: Vec<(usize, &Turn)> = open
            .filter_map(|(i, g)| Some((i, g.iter().find(|t| t.part == Part::Asks)?)))
            .collect();
        let others = open.first().map_or(Vec::new(), |(index, turn)| {
            let end = groups
                .get(index + 1)
                .and_then(|g| g.first())
                .map_or(usize::MAX, |t| t.at);
            let inside = cast.events.iter().filter(|e| e.at > turn.at && e.at < end);
            inside.map(|e| cast.names[e.name].shown.as_str()).collect()
        });
        let turns = open.into_iter().map(|(_, turn)| turn).collect();
        self.refuse(Code::NothingToLearn, "a question has no answer", turns)
            .map_err(|e| {
                let e = match others.first() {
                    Some(name) => e
                        .why(format!("read as text of the question: {}", listed(&others)))
                        .fix(format!(
                            "if {name} answers, say it in `roles`: assistant={name}"
                        )),
                    None => e,
                };
                let e = e.fix(
                    "write the answer below it with the answering role's prefix, or take it out",
                );
                if self.mode == Dialogue::Blocks {
                    e
                } else {
                    e.fix("or --set dialogue=blocks, where one speaker's lines are joined")
                }
            })
    }

    fn refuse(&self, code: Code, what: &str, bad: Vec<&Turn>) -> Result<()> {
        let Some(first) = bad.first() else {
            return Ok(());
        };
        let numbers: Vec<u64> = bad.iter().map(|t| t.line).collect();
        Err(Error::new(code, what)
            .at_line(&self.file.path, first.line)
            .why(format!("it reads: {}", excerpt(&first.text)))
            .why(format!(
                "{} in this file, lines {}",
                bad.len(),
                listed(&numbers)
            )))
    }
}

fn is_whole(reading: &Reading) -> bool {
    [Part::Asks, Part::Answers]
        .iter()
        .all(|part| reading.roles.with(*part).next().is_some())
}

/// `--set` for the roles of a reading.
fn setting(cast: &Cast<'_>, roles: &Roles) -> String {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for part in [Part::Asks, Part::Answers, Part::System] {
        pairs.extend(
            roles
                .with(part)
                .map(|name| (part.word(), cast.names[name].shown.as_str())),
        );
    }
    entries("roles", &pairs)
}
