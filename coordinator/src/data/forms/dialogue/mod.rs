//! Plain-text dialogues: lines that begin with who speaks, to conversations.
//!
//! From below: `lines` a text's lines · `names` how names are compared, `speaker_table` and `speakers` those that are known ·
//! `stamp` times of chat exports · `speaker_line` one line's name and text · `cast` all names of a file ·
//! `roles` who asks and who answers, `suspicion` what makes that doubtful, `doubt` the readings ·
//! `exchange` turns and conversations · `refusal` what is not read, `notices` what is read and told.
//! In: a `.txt` file. Out: conversations. Keeps: what a side says is learned as it is written; a question
//! without an answer and whatever can be read in two ways is refused, never guessed.

use shared::config::{Dialogue, FormatConfig};
use shared::dataset::RowOrigin;
use shared::error::Result;
use shared::text::Message;

use self::cast::{Cast, Name};
use self::exchange::Exchange;
use self::lines::Lines;
use self::roles::{Part, Roles, Undecided};
use super::parsed::Parsed;
use crate::data::file_report::{Certainty, FileReport, Form, RoleCount};
use crate::data::files::SourceFile;
use crate::data::sample::Conversation;

mod cast;
mod doubt;
mod exchange;
mod lines;
mod names;
mod notices;
mod refusal;
mod roles;
mod speaker_line;
mod speaker_table;
mod speakers;
mod stamp;
mod suspicion;

/// Reads the conversations of a file.
pub(crate) fn parse(
    file: &SourceFile,
    text: &str,
    mode: Dialogue,
    formats: &FormatConfig,
) -> Result<Parsed> {
    let read = Lines::of(text);
    let lines = &read.lines[..];
    let mut report = FileReport::new(&file.name, Form::Dialogue);
    if read.visible().next().is_none() {
        return Ok(Parsed::new(Vec::new(), report));
    }
    let cast = Cast::of(lines, formats);
    let found = refusal::File {
        file,
        read: &read,
        mode,
    };
    let decided = roles::decide(lines, &cast, formats).and_then(|roles| {
        found.begins(&cast, &roles).map_err(Undecided::NoRoles)?;
        match suspicion::doubt(lines, &cast, &roles) {
            Some(doubt) => Err(Undecided::Doubt(doubt)),
            None => Ok(roles),
        }
    });
    let roles = match decided {
        Ok(roles) => roles,
        Err(Undecided::NoRoles(why)) => return Err(found.no_roles(&why)),
        Err(Undecided::Doubt(doubt)) => return Err(found.two_readings(&cast, &doubt)),
    };
    let turns = exchange::turns(lines, &cast, &roles);
    count(&mut report, &cast, &roles, &turns);
    let mut notices = notices::of_file(file, &read, &cast, &roles, &turns, mode);
    if roles::names_both_sides(formats) && !roles.configured {
        notices.push(format!(
            "{}: nobody whom `roles` names speaks here; known names decide",
            file.name
        ));
    }
    let cut = exchange::cut(turns, mode, cast.stamped);
    found.check(&cast, &cut)?;
    notices.extend(notices::of_cut(file, &cast, &cut));
    let conversations: Vec<Conversation> = cut
        .exchanges
        .into_iter()
        .map(|turns| conversation(file, turns))
        .collect();
    report.samples = conversations.len() as u64;
    report.certainty = Some(certainty(&cast, &roles));
    Ok(Parsed {
        conversations,
        report,
        notices,
    })
}

/// How sure it is who speaks: whatever is less sure is refused.
fn certainty(cast: &Cast<'_>, roles: &Roles) -> Certainty {
    let names = |part: Part| -> Vec<&str> {
        roles
            .with(part)
            .map(|name| cast.names[name].shown.as_str())
            .collect()
    };
    let (asks, answers) = (
        names(Part::Asks).join(", "),
        names(Part::Answers).join(", "),
    );
    let unknown = |name: usize| {
        let Name {
            known, configured, ..
        } = &cast.names[name];
        known.is_none() && configured.is_none()
    };
    let mut speaking = roles.with(Part::Asks).chain(roles.with(Part::Answers));
    let (percent, reason) = match speaking.find(|name| unknown(*name)) {
        _ if roles.configured => (100, "its roles are named in the configuration".into()),
        Some(other) => {
            let other = &cast.names[other].shown;
            (
                90,
                format!(
                    "in a chat of two, {other} is not a known name and the other is: {asks} asks, {answers} answers"
                ),
            )
        }
        None => (95, format!("{asks} and {answers} are known names")),
    };
    Certainty { percent, reason }
}

/// Notes who speaks how often, and which names are text.
fn count(report: &mut FileReport, cast: &Cast<'_>, roles: &Roles, turns: &[exchange::Turn]) {
    let mut speaking: Vec<(usize, Part)> = [Part::Asks, Part::Answers]
        .into_iter()
        .flat_map(|part| roles.with(part).map(move |name| (name, part)))
        .collect();
    speaking.sort_by_key(|(_, part)| *part);
    for (index, part) in speaking {
        let turns = turns.iter().filter(|turn| turn.name == index).count() as u64;
        report.roles.push(RoleCount {
            name: cast.names[index].shown.clone(),
            turns,
            asks: part == Part::Asks,
        });
    }
    let text = cast.names.iter().enumerate();
    report.prefixes_read_as_text = text
        .filter(|(index, name)| name.count > 0 && roles.part(*index).is_none())
        .map(|(_, name)| (name.shown.clone(), name.count as u64))
        .collect();
}

fn conversation(file: &SourceFile, turns: Exchange) -> Conversation {
    let line = turns.first().map_or(1, |t| t.line);
    let message = |turn: exchange::Turn| Message::new(turn.part.word(), turn.text);
    let file = file.name.clone();
    Conversation::new(
        turns.into_iter().map(message).collect(),
        RowOrigin { file, line },
    )
}

#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;
