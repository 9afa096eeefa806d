//! What makes a file doubtful although its roles are known: lines that a reader may take for a turn of
//! somebody else, in the midst of what would be learned.
//!
//! In: roles by name. Out: the first doubt. Keeps: `roles` in the configuration ends every doubt about a
//! name; what it cannot end names its line.

use super::cast::{Cast, Event};
use super::doubt::{Doubt, Reading};
use super::lines::{Line, is_space};
use super::names::key;
use super::roles::{Part, Roles, is_label, is_sentence, may_be_text};
use super::speaker_line::{Mark, is_colon};
use super::speakers::{Field, Side, is_heading, is_person, known};

/// The first place of a file that can be read in two ways.
pub(super) fn doubt(lines: &[Line<'_>], cast: &Cast<'_>, roles: &Roles) -> Option<Doubt> {
    let look = Look { lines, cast, roles };
    let mut found: Vec<Doubt> = Vec::new();
    found.extend(look.code());
    if !roles.configured {
        found.extend(look.others());
        found.extend(look.answerers());
        found.extend(look.askers());
        found.extend(look.without_colon());
        found.extend(look.midst());
        found.extend(look.stamps());
    }
    found.into_iter().min_by_key(|doubt| doubt.line)
}

struct Look<'a> {
    lines: &'a [Line<'a>],
    cast: &'a Cast<'a>,
    roles: &'a Roles,
}

impl Look<'_> {
    fn part(&self, event: &Event<'_>) -> Option<Part> {
        self.roles
            .part(event.name)
            .filter(|part| *part != Part::System)
    }

    /// The part of the turn that a line stands in, and of the turn behind it.
    fn around(&self, at: usize) -> (Option<Part>, Option<Part>) {
        let events = &self.cast.events;
        let index = events.partition_point(|e| e.at < at);
        let before = events[..index].iter().rev().find_map(|e| self.part(e));
        let behind = events[index..]
            .iter()
            .filter(|e| e.at > at)
            .find_map(|e| self.part(e));
        (before, behind)
    }

    fn one_name(&self, event: &Event<'_>, sure: u8, why: String) -> Doubt {
        Doubt::one_name(self.cast, self.roles, event.name, event.at, sure, why)
    }

    /// Names without a part that may be people, where their words would be learned; in a chat export
    /// also lines that look like a turn, and have no time stamp.
    fn others(&self) -> Option<Doubt> {
        let colon = |e: &&Event<'_>| self.cast.stamped && e.line.mark == Mark::Colon;
        let aside = self.cast.aside.iter().filter(colon);
        let events = self
            .cast
            .events
            .iter()
            .filter(|e| self.roles.part(e.name).is_none());
        for event in events.chain(aside) {
            let name = &self.cast.names[event.name];
            let (before, behind) = self.around(event.at);
            let answered = before == Some(Part::Answers);
            let shown = &name.shown;
            if event.line.stamped && self.cast.stamped {
                return Some(self.one_name(
                    event,
                    50,
                    format!("`{shown}` speaks, and nobody knows for which side"),
                ));
            }
            if name.side() == Some(Side::Unclear) {
                return Some(self.one_name(
                    event,
                    50,
                    format!("`{shown}` speaks for neither side"),
                ));
            }
            let text = is_heading(&name.key);
            let said = event.line.text;
            let why = if text {
                continue;
            } else if !answered {
                let Some(asker) = self
                    .doubtful_asker(event.at)
                    .filter(|_| name.side().is_none())
                else {
                    continue;
                };
                let asker = &self.cast.names[asker.name].shown;
                format!(
                    "`{shown}` stands behind a line of `{asker}` that may be one of the answer before it"
                )
            } else if behind == Some(Part::Answers) && !self.cast.stamped {
                format!(
                    "behind `{shown}` the answering side speaks again: `{shown}` may have asked"
                )
            } else if self.cast.stamped && self.may_speak(event) {
                format!("`{shown}` stands in an answer without a time stamp")
            } else if matches!(name.side(), Some(Side::Party | Side::Asks | Side::Answers)) {
                continue;
            } else if said.ends_with(['？', '?']) {
                format!("`{shown}` stands in an answer and asks something")
            } else if is_person(&name.shown, &name.key) && is_sentence(said) {
                format!("`{shown}` stands in an answer and may be somebody else")
            } else {
                continue;
            };
            return Some(self.one_name(event, 60, why));
        }
        None
    }

    /// Whether a known name without a time stamp is likelier a turn than a line of a form.
    fn may_speak(&self, event: &Event<'_>) -> bool {
        match self.cast.names[event.name].side() {
            Some(Side::Asks) => !may_be_text(self.lines, self.cast, event.name, event.at),
            side => side == Some(Side::Answers),
        }
    }

    /// The asker in whose turn a line stands, where that turn may be a part of the answer before it.
    fn doubtful_asker(&self, at: usize) -> Option<&Event<'_>> {
        let mut before = self
            .cast
            .events
            .iter()
            .rev()
            .filter(|e| e.at < at && self.part(e).is_some());
        let asker = before.next()?;
        let answered = before
            .next()
            .is_some_and(|e| self.part(e) == Some(Part::Answers));
        (answered && may_be_text(self.lines, self.cast, asker.name, asker.at)).then_some(asker)
    }

    /// Answering names in one exchange that do not belong together: a quotation, or a record's heading.
    fn answerers(&self) -> Option<Doubt> {
        let events: Vec<&Event<'_>> = self
            .cast
            .events
            .iter()
            .filter(|e| self.part(e).is_some())
            .collect();
        for (index, pair) in events.windows(2).enumerate() {
            let [first, second] = pair else { continue };
            if self.part(first) != Some(Part::Answers) || self.part(second) != Some(Part::Answers) {
                continue;
            }
            let begins = index == 0 || self.part(events[index - 1]) == Some(Part::Asks);
            let shown = &self.cast.names[first.name].shown;
            if first.name == second.name {
                let last = self.lines[first.at + 1..second.at]
                    .iter()
                    .rev()
                    .find(|l| !l.is_blank());
                if !self.cast.stamped
                    && begins
                    && last.is_some_and(|l| l.raw.ends_with(['？', '?']))
                {
                    let why = format!(
                        "`{shown}` speaks twice, and a question stands before the second time"
                    );
                    let mut doubt = self.one_name(first, 60, why);
                    doubt.readings.truncate(1);
                    let fix = format!(
                        "if the question quotes {shown}, write the quotation in quotation marks, so that no line of it begins with the name"
                    );
                    doubt.fixes.push(fix);
                    return Some(doubt);
                }
                continue;
            }
            let field =
                |event: &Event<'_>| self.cast.names[event.name].known.map(|known| known.field);
            let labels =
                (field(first) == Some(Field::Label)) && field(second) != Some(Field::Label);
            let foreign = match (field(first), field(second)) {
                (Some(one), Some(other)) => {
                    let open = |field: Field| matches!(field, Field::Label | Field::General);
                    !open(one) && !open(other) && one != other
                }
                _ => false,
            };
            let asks = field(first) != field(second) && first.line.text.ends_with(['？', '?']);
            if begins && (labels || foreign || asks || is_label(first.line.text)) {
                let other = &self.cast.names[second.name].shown;
                let why = format!(
                    "`{shown}` may answer here, or be a line of the question that {other} answers"
                );
                return Some(self.one_name(first, 60, why));
            }
        }
        None
    }

    /// Two names that ask, one behind the other: the first may be a line of the answer before it.
    fn askers(&self) -> Option<Doubt> {
        let spoken = self.cast.events.iter().filter(|e| self.part(e).is_some());
        let events: Vec<&Event<'_>> = spoken.collect();
        let asks = |event: &Event<'_>| self.part(event) == Some(Part::Asks);
        let found = events.windows(3).find(|three| {
            !asks(three[0])
                && asks(three[1])
                && asks(three[2])
                && three[1].name != three[2].name
                && may_be_text(self.lines, self.cast, three[1].name, three[1].at)
        })?;
        let shown = &self.cast.names[found[1].name].shown;
        let why = format!("`{shown}` may ask here, or be a line of the answer before it");
        Some(self.one_name(found[1], 50, why))
    }

    /// Lines of an answer that begin with an asking name, and something else than a colon behind it.
    fn without_colon(&self) -> Option<Doubt> {
        let mut state = None;
        let mut events = self.cast.events.iter().peekable();
        let mut index = 0;
        for (at, line) in self.lines.iter().enumerate() {
            while events.peek().is_some_and(|e| e.at <= at) {
                let event = events.next()?;
                state = self.part(event).or(state);
                index = event.at;
            }
            if index == at || state != Some(Part::Answers) {
                continue;
            }
            let here = self.roles.with(Part::Asks);
            let here = here.map(|name| self.cast.names[name].key.as_str());
            if let Some(shown) = lacks_colon(line.text(), here) {
                let why = format!("this line of an answer begins with `{shown}`, without a colon");
                return Some(self.no_colon(at, why, shown));
            }
        }
        None
    }

    /// An asking name and its colon in the midst of an answer's line.
    fn midst(&self) -> Option<Doubt> {
        let asks: Vec<&str> = self
            .roles
            .with(Part::Asks)
            .map(|name| self.cast.names[name].shown.as_str())
            .collect();
        let mut state = None;
        let mut events = self.cast.events.iter().peekable();
        for (at, line) in self.lines.iter().enumerate() {
            while let Some(event) = events.next_if(|e| e.at <= at) {
                state = self.part(event).or(state);
            }
            if state != Some(Part::Answers) {
                continue;
            }
            let text = line.text();
            let found = asks.iter().find(|name| begins_inside(text, name));
            if let Some(name) = found {
                let why = format!("`{name}` and a colon stand in the midst of an answer");
                let mut doubt = self.no_colon(at, why, name);
                doubt.fixes = vec![format!("if {name} asks here, begin a line with the name")];
                return Some(doubt);
            }
        }
        None
    }

    /// Lines with a known name and a time stamp, in a file whose turns have none.
    fn stamps(&self) -> Option<Doubt> {
        let event = self.cast.aside.iter().find(|event| {
            let stamped = event.line.mark == Mark::Header && event.line.stamped;
            let asks = self.roles.part(event.name) == Some(Part::Asks);
            stamped && (asks || self.cast.names[event.name].side() == Some(Side::Asks))
        })?;
        let shown = &self.cast.names[event.name].shown;
        let why = format!("a time stamp stands beside `{shown}` here, and nowhere else");
        Some(self.no_colon(event.at, why, shown))
    }

    /// A line that is text, unless a colon is written behind the name that it begins with.
    fn no_colon(&self, line: usize, why: String, shown: &str) -> Doubt {
        let roles = Roles {
            configured: true,
            ..self.roles.clone()
        };
        let says = "it is text".to_owned();
        Doubt {
            line,
            sure: 60,
            why,
            readings: vec![Reading { says, roles }],
            fixes: vec![format!(
                "if {shown} asks here, write a colon behind the name"
            )],
        }
    }

    /// A block of code that holds a turn: its fence is closed too late.
    fn code(&self) -> Option<Doubt> {
        let event = self
            .cast
            .fenced
            .iter()
            .find(|e| self.part(e).is_some() && e.line.mark == Mark::Colon)?;
        let shown = &self.cast.names[event.name].shown;
        Some(Doubt {
            line: event.at,
            sure: 50,
            why: format!(
                "`{shown}` stands between two fences of code: a fence before it may not be closed"
            ),
            readings: Vec::new(),
            fixes: vec![
                "close the fence above it with the same marks on a line of their own".into(),
                "or, where the code itself holds the name, give the data as JSONL".into(),
            ],
        })
    }
}

/// Whether a name and a colon stand in a text behind a blank, the end of a sentence or a mark.
fn begins_inside(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + name.len()..].trim_start_matches(is_space);
        let divides = |c: char| is_space(c) || "。？！.?!>；;\u{7}".contains(c);
        before.is_some_and(divides) && behind.starts_with(is_colon)
    })
}

/// The asking name that a line begins with, divided from a text by something that is no colon: by a mark
/// or a tab behind any known name, by a blank behind one of this file's.
fn lacks_colon<'a>(line: &'a str, mut here: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mark = |c: char| "\t|｜>＞»→=;；~～-—–_/".contains(c);
    let Some(end) = line.find(|c: char| mark(c) || is_space(c) || is_colon(c)) else {
        let name = key(line);
        return here.any(|own| own == name).then_some(line);
    };
    let behind = &line[end..];
    let next = behind.chars().find(|c| *c == '\t' || !is_space(*c));
    let name = key(&line[..end]);
    if next.is_some_and(mark) {
        let asks = known(&name).is_some_and(|(_, known)| known.side == Side::Asks);
        return (asks || here.any(|own| own == name)).then_some(&line[..end]);
    }
    let spaced = behind.starts_with(is_space) && !next.is_some_and(is_colon);
    let wide = !name.is_ascii() && spaced && here.any(|own| own == name);
    wide.then_some(&line[..end])
}
