//! What is read of a dialogue file in a way that its user should know.

use shared::config::Dialogue;

use super::cast::Cast;
use super::exchange::{Cut, Turn};
use super::lines::Lines;
use super::roles::{Part, Roles};
use super::speakers::Side;
use crate::data::files::SourceFile;
use crate::data::listed::listed;

/// What the lines and the names of a file tell.
pub(super) fn of_file(
    file: &SourceFile,
    read: &Lines<'_>,
    cast: &Cast<'_>,
    roles: &Roles,
    turns: &[Turn],
    mode: Dialogue,
) -> Vec<String> {
    let mut notices = Vec::new();
    let name = &file.name;
    for (c, lines) in &read.invisible {
        notices.push(format!(
            "{name}: U+{:04X}, which nobody sees, was taken off the ends of lines {}",
            *c as u32,
            listed(lines)
        ));
    }
    let answering: Vec<&str> = roles
        .with(Part::Answers)
        .map(|n| cast.names[n].shown.as_str())
        .collect();
    let asking: Vec<&str> = roles
        .with(Part::Asks)
        .map(|n| cast.names[n].shown.as_str())
        .collect();
    if answering.len() + asking.len() > 2 {
        notices.push(format!(
            "{name}: more than two roles: {} ask, {} answer; what one side says in a row is joined, with the names of those behind the first",
            asking.join(", "),
            answering.join(", ")
        ));
    }
    notices.extend(as_text(name, read, cast, roles));
    notices.extend(several_questions(name, turns, mode));
    if cast.stamped {
        let first = turns.first().map_or(0, |turn| turn.at);
        let before: Vec<u64> = read.lines[..first]
            .iter()
            .filter(|l| !l.is_blank())
            .map(|l| l.number)
            .collect();
        if !before.is_empty() {
            notices.push(format!(
                "{name}: a chat export; lines before its first turn are left out: {}",
                listed(&before)
            ));
        }
    }
    notices
}

/// Names that speak elsewhere, or often, and are text here because the configuration names others.
fn as_text(file: &str, read: &Lines<'_>, cast: &Cast<'_>, roles: &Roles) -> Vec<String> {
    let least = roles
        .with(Part::Answers)
        .chain(roles.with(Part::Asks))
        .map(|n| cast.names[n].count)
        .min();
    let mut notices = Vec::new();
    for (index, name) in cast.names.iter().enumerate() {
        let known = matches!(
            name.side(),
            Some(Side::Asks | Side::Answers | Side::Unclear)
        );
        let often = name.count > 2 && Some(name.count) >= least;
        if roles.part(index).is_some() || name.count == 0 || !(known || roles.configured && often) {
            continue;
        }
        let events = cast.events.iter().filter(|event| event.name == index);
        let lines: Vec<u64> = events.map(|event| read.lines[event.at].number).collect();
        notices.push(format!(
            "{file}: {} lines that begin with `{}` are text of the turn they stand in: {}",
            name.count,
            name.shown,
            listed(&lines)
        ));
    }
    notices
}

/// Blocks of several questions, each of which becomes a sample without the ones before it.
fn several_questions(file: &str, turns: &[Turn], mode: Dialogue) -> Option<String> {
    if mode == Dialogue::Blocks {
        return None;
    }
    let mut blocks: Vec<(u64, usize)> = Vec::new();
    for turn in turns.iter().filter(|turn| turn.part == Part::Asks) {
        match blocks.last_mut() {
            Some((_, questions)) if !turn.after_blank => *questions += 1,
            _ => blocks.push((turn.line, 1)),
        }
    }
    let several: Vec<u64> = blocks
        .iter()
        .filter(|(_, n)| *n > 1)
        .map(|(line, _)| *line)
        .collect();
    (blocks.len() > 1 && !several.is_empty()).then(|| {
        format!(
            "{file}: {} of {} blocks between blank lines hold several questions, and each question is a sample of its own, without what was said before it; where a block is one conversation: --set dialogue=blocks. Blocks that begin in lines {}",
            several.len(),
            blocks.len(),
            listed(&several)
        )
    })
}

/// What the conversations leave out.
pub(super) fn of_cut(file: &SourceFile, cast: &Cast<'_>, cut: &Cut) -> Vec<String> {
    let mut notices = Vec::new();
    let name = &file.name;
    let lines = |turns: &[Turn]| -> Vec<u64> { turns.iter().map(|turn| turn.line).collect() };
    if let Some(first) = cut.openings.first() {
        notices.push(format!(
            "{name}: {} speaks before the first question of a conversation; that is left out: lines {}",
            cast.names[first.name].shown,
            listed(&lines(&cut.openings))
        ));
    }
    if !cut.unanswered.is_empty() {
        notices.push(format!(
            "{name}: the last words of the chat have no answer, and are left out: lines {}",
            listed(&lines(&cut.unanswered))
        ));
    }
    notices
}
