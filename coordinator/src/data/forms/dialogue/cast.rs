//! The names that lines of a file begin with, whoever of them speaks.
//!
//! In: lines. Out: names, and the lines that begin with them. In a chat export, whose lines have time
//! stamps, only those with a stamp count; elsewhere a name needs a colon, or brackets where it is known.
//! Lines of a fenced block of code are kept apart: names in them belong to the code.

use std::collections::BTreeMap;

use shared::config::FormatConfig;

use super::lines::Line;
use super::names;
use super::speaker_line::{Mark, SpeakerLine, speaker_line};
use super::speakers::{self, Known, Side};

/// A name, however it is numbered and spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// In the spelling that names are compared in.
    pub key: String,
    /// As it is written first.
    pub shown: String,
    /// What the table says of it.
    pub known: Option<Known>,
    /// What the configuration says of it, by the part's name.
    pub configured: Option<String>,
    /// Lines that begin with it.
    pub count: usize,
}

impl Name {
    pub(super) fn side(&self) -> Option<Side> {
        self.known.map(|known| known.side)
    }
}

/// A line that begins with a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    /// The line's index.
    pub at: usize,
    /// The name's index.
    pub name: usize,
    pub line: SpeakerLine<'a>,
}

/// All names of a file.
#[derive(Debug, Default)]
pub(super) struct Cast<'a> {
    pub names: Vec<Name>,
    /// Lines that begin with a name, in order.
    pub events: Vec<Event<'a>>,
    /// Lines inside fenced code that do.
    pub fenced: Vec<Event<'a>>,
    /// Lines whose name has a stamp, or brackets, that does not count in this file.
    pub aside: Vec<Event<'a>>,
    /// The file is a chat export: every turn has a time stamp.
    pub stamped: bool,
}

impl<'a> Cast<'a> {
    /// The names of a file.
    pub(super) fn of(lines: &[Line<'a>], formats: &FormatConfig) -> Self {
        let mut cast = Self::default();
        let mut indexes: BTreeMap<String, usize> = BTreeMap::new();
        let mut spelled: BTreeMap<&str, usize> = BTreeMap::new();
        let fences = fences(lines);
        let mut all = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let Some(spoken) = speaker_line(line.text()) else {
                continue;
            };
            let name = match spelled.get(spoken.name) {
                Some(name) => *name,
                None => {
                    let name = cast.name(&mut indexes, spoken.name, formats);
                    spelled.insert(spoken.name, name);
                    name
                }
            };
            all.push(Event {
                at,
                name,
                line: spoken,
            });
        }
        let (fenced, open): (Vec<_>, Vec<_>) = all.into_iter().partition(|event| {
            fences
                .iter()
                .any(|(from, to)| (from + 1..*to).contains(&event.at))
        });
        cast.fenced = fenced;
        cast.stamped = cast.is_export(&open);
        let stamped = cast.stamped;
        let counts = |event: &Event<'_>| {
            let name = &cast.names[event.name];
            let named = name.configured.is_some()
                || matches!(name.side(), Some(Side::Asks | Side::Answers | Side::System));
            match event.line.mark {
                _ if stamped => event.line.stamped,
                Mark::Colon => true,
                Mark::Bracket => named,
                Mark::Header => false,
            }
        };
        let (events, aside): (Vec<_>, Vec<_>) = open.into_iter().partition(counts);
        for event in &events {
            cast.names[event.name].count += 1;
        }
        (cast.events, cast.aside) = (events, aside);
        cast
    }

    /// The index of a name, however it is numbered and spelled.
    fn name(
        &mut self,
        indexes: &mut BTreeMap<String, usize>,
        name: &str,
        formats: &FormatConfig,
    ) -> usize {
        let (key, known, configured) = identity(name, formats);
        let all = &mut self.names;
        *indexes.entry(key.clone()).or_insert_with(|| {
            let shown = if names::key(name) == key { name } else { &key };
            let shown = shown.to_owned();
            all.push(Name {
                key,
                shown,
                known,
                configured,
                count: 0,
            });
            all.len() - 1
        })
    }

    /// Whether the turns of the file begin with time stamps: names with one come again, and hardly a known
    /// name stands before a colon without one.
    fn is_export(&self, events: &[Event<'_>]) -> bool {
        let stamped: Vec<&Event<'_>> = events.iter().filter(|e| e.line.stamped).collect();
        let mut names: Vec<usize> = stamped.iter().map(|e| e.name).collect();
        names.sort_unstable();
        names.dedup();
        let side = |event: &&Event<'_>| {
            matches!(
                self.names[event.name].side(),
                Some(Side::Asks | Side::Answers)
            )
        };
        let plain = events
            .iter()
            .filter(|e| !e.line.stamped && e.line.mark == Mark::Colon);
        let plain = plain.filter(side).count();
        stamped.len() >= 2 && names.len() * 2 <= stamped.len() + 2 && plain * 5 <= stamped.len()
    }
}

/// The name that a name stands for, what is known of it, and its part in the configuration.
fn identity(name: &str, formats: &FormatConfig) -> (String, Option<Known>, Option<String>) {
    let key = names::key(name);
    if let Some(part) = sibling(&key, formats) {
        return (
            names::without_number(&key).to_owned(),
            None,
            Some(part.to_owned()),
        );
    }
    for stem in names::stems(&key) {
        if let Some(part) = configured(&stem, formats) {
            let known = speakers::known(&stem).map(|(_, known)| known);
            return (stem, known, Some(part.to_owned()));
        }
    }
    match speakers::known(&key) {
        Some((_, known)) if is_left_out(&key, formats) => (key, Some(known), None),
        Some((stem, known)) => (stem, Some(known), None),
        None => (key, None, None),
    }
}

fn configured<'a>(name: &str, formats: &'a FormatConfig) -> Option<&'a str> {
    let exact = formats
        .roles
        .iter()
        .find(|named| names::key(&named.name) == name);
    exact
        .map(|named| named.part.as_str())
        .or_else(|| formats.role(name))
}

/// The part of a name that differs from configured ones by its number alone: with `user=Q1`, `Q2` asks.
/// Where the configuration tells numbers apart (`user=用户1, assistant=用户2`) there is none.
fn sibling<'a>(key: &str, formats: &'a FormatConfig) -> Option<&'a str> {
    let stem = names::without_number(key);
    let parts = siblings(key, stem, formats);
    let (first, rest) = parts.split_first()?;
    rest.iter().all(|part| part == first).then_some(*first)
}

fn siblings<'a>(key: &str, stem: &str, formats: &'a FormatConfig) -> Vec<&'a str> {
    if stem == key || stem.is_empty() {
        return Vec::new();
    }
    let named = formats.roles.iter().filter(|named| {
        let other = names::key(&named.name);
        let other_stem = names::without_number(&other);
        other_stem == stem && other_stem != other
    });
    named.map(|named| named.part.as_str()).collect()
}

/// Whether the configuration tells names like this apart by their numbers, and leaves this one out.
pub(super) fn is_left_out(key: &str, formats: &FormatConfig) -> bool {
    siblings(key, names::without_number(key), formats).len() > 1
}

/// First and last lines of fenced blocks of code, those that are closed.
fn fences(lines: &[Line<'_>]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    for (at, line) in lines.iter().enumerate() {
        let text = line.text();
        match open {
            Some((from, mark)) if text.trim_end() == mark => {
                found.push((from, at));
                open = None;
            }
            Some(_) => {}
            None => {
                let text = speaker_line(text).map_or(text, |spoken| spoken.text);
                let mark = ["```", "~~~"]
                    .into_iter()
                    .find(|mark| text.starts_with(mark));
                open = mark
                    .filter(|mark| !text[mark.len()..].contains(*mark))
                    .map(|mark| (at, mark));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::lines::Lines;
    use super::*;

    #[test]
    fn code_between_fences_names_nobody() {
        let lines = Lines::of("律师：看：\n```yaml\nuser: root\n```\n用户：a\n```\n律师：b").lines;
        let cast = Cast::of(&lines, &FormatConfig::default());
        let at: Vec<usize> = cast.events.iter().map(|e| e.at).collect();
        assert_eq!(at, [0, 4, 6]);
        assert_eq!(cast.fenced.len(), 1);
    }

    #[test]
    fn names_of_one_speaker_are_one() {
        let lines = Lines::of("Q1：a\nA1：b\nＱ 2：c\nA2：d").lines;
        let cast = Cast::of(&lines, &FormatConfig::default());
        let names: Vec<(&str, usize)> = cast
            .names
            .iter()
            .map(|n| (n.shown.as_str(), n.count))
            .collect();
        assert_eq!(names, [("q", 2), ("a", 2)]);
    }
}
