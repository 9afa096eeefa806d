//! Who asks and who answers in a plain-text dialogue.
//!
//! In: the names of a file and the configuration. Out: the part of each name, or the doubt that stops a
//! run. Sides come from the configuration and from the table of known names, never from who speaks
//! first: a name that nobody knows is a guess, and a guess is asked.
//! Keeps: a name has one part in the whole file, so that `roles` can say all that is decided here.

use shared::config::FormatConfig;

use super::cast::{Cast, is_left_out};
use super::doubt::{Doubt, Reading};
use super::lines::Line;
use super::speakers::{self, Side};

/// What a name does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Asks,
    Answers,
    System,
}

impl Part {
    /// The part as `roles` calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Asks => "user",
            Self::Answers => "assistant",
            Self::System => "system",
        }
    }

    fn of(side: Side) -> Option<Self> {
        match side {
            Side::Asks => Some(Self::Asks),
            Side::Answers => Some(Self::Answers),
            Side::System => Some(Self::System),
            Side::Unclear | Side::Party => None,
        }
    }

    fn named(word: &str) -> Option<Self> {
        [Self::Asks, Self::Answers, Self::System]
            .into_iter()
            .find(|part| part.word() == word)
    }
}

/// The part of each name of a file; names without one are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub parts: Vec<Option<Part>>,
    /// The configuration names both sides: nobody else speaks.
    pub configured: bool,
}

impl Roles {
    pub(super) fn part(&self, name: usize) -> Option<Part> {
        self.parts.get(name).copied().flatten()
    }

    /// Names that have this part, by their index.
    pub(super) fn with(&self, part: Part) -> impl Iterator<Item = usize> {
        let all = self.parts.iter().enumerate();
        all.filter(move |(_, of)| **of == Some(part))
            .map(|(name, _)| name)
    }

    fn both_sides(&self) -> bool {
        [Part::Asks, Part::Answers]
            .iter()
            .all(|part| self.parts.contains(&Some(*part)))
    }
}

/// Why no roles are to be told from a file at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoRoles {
    pub why: String,
    /// The line that shows it, by its index.
    pub line: Option<usize>,
}

/// What keeps a file from being read.
#[derive(Clone, Debug)]
pub(super) enum Undecided {
    NoRoles(NoRoles),
    Doubt(Doubt),
}

/// Whether the configuration names those who ask and those who answer.
pub(super) fn names_both_sides(formats: &FormatConfig) -> bool {
    ["user", "assistant"]
        .iter()
        .all(|part| formats.roles.iter().any(|named| named.part == *part))
}

/// The parts that the configuration and the table give, before any doubt.
pub(super) fn decide(
    lines: &[Line<'_>],
    cast: &Cast<'_>,
    formats: &FormatConfig,
) -> Result<Roles, Undecided> {
    let none = |why: String| Err(Undecided::NoRoles(NoRoles { why, line: None }));
    if cast.events.is_empty() {
        return none("no line begins with a short name and a colon".into());
    }
    let named_here = cast
        .names
        .iter()
        .any(|name| name.count > 0 && name.configured.is_some());
    if names_both_sides(formats) && named_here {
        return exclusive(cast, formats);
    }
    let part = |name: &super::cast::Name| {
        if name.count == 0 {
            return None;
        }
        match &name.configured {
            Some(word) => Part::named(word),
            None => name.side().and_then(Part::of),
        }
    };
    let mut roles = Roles {
        parts: cast.names.iter().map(part).collect(),
        configured: false,
    };
    if roles.both_sides() {
        secondary(lines, cast, &mut roles)?;
        return Ok(roles);
    }
    if let Some(other) = other_of_two(cast, &roles) {
        return Ok(other);
    }
    let speaking: Vec<usize> = roles
        .with(Part::Asks)
        .chain(roles.with(Part::Answers))
        .collect();
    let guess = guess(cast, &roles);
    match (guess, &speaking[..]) {
        (Some((asks, answers)), _) => Err(Undecided::Doubt(unknown(cast, &roles, asks, answers))),
        (None, [one, ..]) => none(format!(
            "only one role was found: `{}`",
            cast.names[*one].shown
        )),
        (None, []) => {
            let first = &cast.names[cast.events[0].name];
            none(format!("only one role was found: `{}`", first.shown))
        }
    }
}

/// The roles as they are configured: all other names are text.
fn exclusive(cast: &Cast<'_>, formats: &FormatConfig) -> Result<Roles, Undecided> {
    let part = |name: &super::cast::Name| name.configured.as_deref().and_then(Part::named);
    let spoken = |name: &super::cast::Name| part(name).filter(|_| name.count > 0);
    let roles = Roles {
        parts: cast.names.iter().map(spoken).collect(),
        configured: true,
    };
    let say: Vec<String> = formats
        .roles
        .iter()
        .map(|n| format!("{}={}", n.part, n.name))
        .collect();
    let say = say.join(", ");
    if !roles.both_sides() {
        let why = format!("`roles` says {say}; not both sides speak here");
        return Err(Undecided::NoRoles(NoRoles { why, line: None }));
    }
    let left_out = cast.events.iter().find(|event| {
        let name = &cast.names[event.name];
        name.configured.is_none() && is_left_out(&name.key, formats)
    });
    if let Some(event) = left_out {
        let shown = &cast.names[event.name].shown;
        let why = format!("`roles` says {say}, and does not say who `{shown}` is");
        return Err(Undecided::Doubt(Doubt::one_name(
            cast, &roles, event.name, event.at, 40, why,
        )));
    }
    Ok(roles)
}

/// Several names ask: one that stands in answers, with no answer behind it, is text there.
fn secondary(lines: &[Line<'_>], cast: &Cast<'_>, roles: &mut Roles) -> Result<(), Undecided> {
    let asking: Vec<usize> = roles.with(Part::Asks).collect();
    if asking.len() < 2 {
        return Ok(());
    }
    let spoken = |e: &super::cast::Event<'_>| {
        let part = roles.part(e.name).filter(|part| *part != Part::System);
        part.map(|part| (e.at, e.name, part))
    };
    let spoken: Vec<Spoken> = cast.events.iter().filter_map(spoken).collect();
    let configured = |name: &usize| cast.names[*name].configured.is_some();
    let rank = |name: &usize| (configured(name), answered(&spoken, *name));
    let most = asking.iter().copied().rev().max_by_key(rank);
    for name in asking {
        if Some(name) == most || configured(&name) {
            continue;
        }
        let found = occurrences(lines, cast, &spoken, name, most);
        let shown = &cast.names[name].shown;
        let doubt = match (found.turns, found.text, found.open) {
            (.., Some(at)) => {
                let why = format!("`{shown}` may ask here, or be a line of the answer before it");
                Some((at, why))
            }
            (0, ..) => {
                roles.parts[name] = None;
                None
            }
            (_, Some(at), _) => {
                let why =
                    format!("`{shown}` asks in some places, and stands in an answer in others");
                Some((at, why))
            }
            (_, None, None) => None,
        };
        if let Some((at, why)) = doubt {
            let doubt = Doubt::one_name(cast, roles, name, at, 50, why);
            return Err(Undecided::Doubt(doubt));
        }
    }
    Ok(())
}

/// A line that begins a turn if its name speaks: its index, the name's, and the name's part.
type Spoken = (usize, usize, Part);

/// How a name stands in a file beside the one that asks most.
#[derive(Default)]
struct Occurrences {
    /// How often it asks.
    turns: usize,
    /// Where it first is a line of an answer.
    text: Option<usize>,
    /// Where it first may be either.
    open: Option<usize>,
}

/// How often the answering side speaks behind a name.
fn answered(spoken: &[Spoken], name: usize) -> usize {
    let of = spoken
        .iter()
        .enumerate()
        .filter(|(_, (_, other, _))| *other == name);
    of.filter(|(i, _)| {
        let next = spoken[i + 1..].iter().find(|(_, other, _)| *other != name);
        next.is_some_and(|(.., part)| *part == Part::Answers)
    })
    .count()
}

fn occurrences(
    lines: &[Line<'_>],
    cast: &Cast<'_>,
    spoken: &[Spoken],
    name: usize,
    most: Option<usize>,
) -> Occurrences {
    let sure = |(_, other, part): &&Spoken| Some(*other) == most || *part == Part::Answers;
    let answers = |found: Option<&Spoken>| found.is_some_and(|(.., part)| *part == Part::Answers);
    let mut found = Occurrences::default();
    for (i, (at, other, _)) in spoken.iter().enumerate() {
        if *other != name {
            continue;
        }
        let before = spoken[..i].iter().rev().find(sure);
        let behind = spoken[i + 1..].iter().find(|(_, other, _)| *other != name);
        match (before, behind) {
            // It stands in a question, if that is one.
            (Some((before, asker, _)), _) if Some(*asker) == most => {
                let earlier = spoken[..i].iter().rev().find(|(at, ..)| at < before);
                if answers(earlier) && may_be_text(lines, cast, *asker, *before) {
                    found.open = found.open.or(Some(*at));
                }
            }
            (_, Some((.., Part::Answers))) => {
                found.turns += 1;
                if answers(before) && may_be_text(lines, cast, name, *at) {
                    found.open = found.open.or(Some(*at));
                }
            }
            (_, Some((_, other, _))) if Some(*other) != most => {
                found.open = found.open.or(Some(*at));
            }
            _ => found.text = found.text.or(Some(*at)),
        }
    }
    found
}

/// Whether a line that begins with an asking name may be one of a form or a letter.
pub(super) fn may_be_text(lines: &[Line<'_>], cast: &Cast<'_>, name: usize, at: usize) -> bool {
    !speakers::is_never_in_documents(&cast.names[name].key) && !is_question(lines, cast, at)
}

/// Whether a turn stands behind a blank line, or one of its lines ends with a question mark.
fn is_question(lines: &[Line<'_>], cast: &Cast<'_>, at: usize) -> bool {
    let next = cast.events.partition_point(|e| e.at <= at);
    let end = cast.events.get(next).map_or(lines.len(), |e| e.at);
    let turn = &lines[at..end];
    turn[0].after_blank || turn.iter().any(|line| line.raw.ends_with(['？', '?']))
}

/// Whether what stands behind a name is what a form has there, and no sentence.
pub(super) fn is_label(text: &str) -> bool {
    text.chars().count() <= 12 && !is_sentence(text)
}

/// Whether a text ends as a sentence does.
pub(super) fn is_sentence(text: &str) -> bool {
    text.trim_end_matches(['"', '”', '」', ')', '）'])
        .ends_with(['。', '？', '！', '.', '?', '!', '…', '～', '~'])
}

/// In a chat export of two people, one of whom is known, the other has the other side.
fn other_of_two(cast: &Cast<'_>, roles: &Roles) -> Option<Roles> {
    let speaking: Vec<usize> = (0..cast.names.len())
        .filter(|n| cast.names[*n].count > 0)
        .collect();
    let [one, other] = speaking[..] else {
        return None;
    };
    if !cast.stamped {
        return None;
    }
    let opposite = |part: Option<Part>| match part {
        Some(Part::Asks) => Some(Part::Answers),
        Some(Part::Answers) => Some(Part::Asks),
        _ => None,
    };
    let unknown = |name: usize| cast.names[name].known.is_none();
    let mut all = roles.clone();
    match (roles.part(one), roles.part(other)) {
        (Some(part), None) if unknown(other) => all.parts[other] = opposite(Some(part)),
        (None, Some(part)) if unknown(one) => all.parts[one] = opposite(Some(part)),
        _ => return None,
    }
    all.both_sides().then_some(all)
}

/// The likeliest pair of asking and answering names where the table does not give both.
fn guess(cast: &Cast<'_>, roles: &Roles) -> Option<(usize, usize)> {
    let first = |part: Part| {
        let most = roles.with(part).max_by_key(|name| cast.names[*name].count);
        most.filter(|_| cast.events.len() > 1)
    };
    let follows = |asker: usize| {
        let mut counts = vec![0_usize; cast.names.len()];
        let mut asked = false;
        for event in &cast.events {
            if event.name == asker {
                asked = true;
            } else if std::mem::take(&mut asked) {
                counts[event.name] += 1;
            }
        }
        let most = (0..counts.len()).rev().max_by_key(|name| counts[*name])?;
        (counts[most] > 0).then_some(most)
    };
    if let Some(asker) = first(Part::Asks) {
        return Some((asker, follows(asker)?));
    }
    if let Some(answerer) = first(Part::Answers) {
        let before = cast
            .events
            .windows(2)
            .filter(|pair| pair[1].name == answerer && pair[0].name != answerer);
        let mut counts = vec![0_usize; cast.names.len()];
        before.for_each(|pair| counts[pair[0].name] += 1);
        let most = (0..counts.len()).rev().max_by_key(|name| counts[*name])?;
        let asker = if counts[most] > 0 {
            most
        } else {
            follows(answerer)?
        };
        return Some((asker, answerer));
    }
    let asker = cast.events.first()?.name;
    Some((asker, follows(asker)?))
}

/// The doubt about names that nobody knows.
fn unknown(cast: &Cast<'_>, roles: &Roles, asks: usize, answers: usize) -> Doubt {
    let shown = |name: usize| cast.names[name].shown.as_str();
    let both = |known: usize, other: usize| match cast.names[other].known {
        None => format!("{} is a known name, {} is not", shown(known), shown(other)),
        Some(_) => format!(
            "{} speaks for one side, {} for either",
            shown(known),
            shown(other)
        ),
    };
    let (sure, why) = match (roles.part(asks), roles.part(answers)) {
        (None, None) => (
            50,
            format!(
                "nobody knows for which side {} and {} speak",
                shown(asks),
                shown(answers)
            ),
        ),
        (Some(_), _) => (80, both(asks, answers)),
        (_, Some(_)) => (80, both(answers, asks)),
    };
    let reading = |user: usize, assistant: usize| {
        let mut parts = vec![None; cast.names.len()];
        (parts[user], parts[assistant]) = (Some(Part::Asks), Some(Part::Answers));
        let says = format!("{} asks and {} answers", shown(user), shown(assistant));
        Reading {
            says,
            roles: Roles {
                parts,
                configured: true,
            },
        }
    };
    let line = cast
        .events
        .iter()
        .find(|e| e.name == asks || e.name == answers);
    Doubt {
        line: line.map_or(0, |e| e.at),
        sure,
        why,
        readings: vec![reading(asks, answers), reading(answers, asks)],
        fixes: Vec::new(),
    }
}
