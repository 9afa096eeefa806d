//! English names that stand in free text: `I rented the flat from Mary Khan`.
//!
//! In: folded text. Out: spans. A given name and a family name of the tables, with capitals, side by side; a given
//! name that is no word, alone. What a house, a place, a law or a disease is named after is no person here.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::OnceLock;

use regex::Regex;

use super::context::{is_han, left};
use super::english_things::{HOUSES, PLACES};

/// Given names that are hardly anything else.
const ALONE: &str = include_str!("tables/english_alone.txt");
/// Given names that are words and places too, and rare ones: only before a family name.
const GIVEN: &str = include_str!("tables/english_given.txt");
const FAMILY: &str = include_str!("tables/english_family.txt");
/// Words that a capital does not make a name.
const WORDS: &str = include_str!("tables/english_words.txt");

/// Words with a capital that are no family name after a given name, and that make the name before them one of
/// something else.
const THINGS: &str = "\
    act agreement airlines airport amendment app apartments association auditorium avenue award bank bar bay beach \
    boulevard bridge bros brothers building building cafe campus capital care case castle cathedral center centre \
    chapel chase church city clinic club co code collection college commission committee company conference \
    corp corporation corps council county court creek day days department district doctrine drive electric \
    elementary estate estates exchange express falls farm farms fashion field fields financial firm foods forest \
    foundation fund funds gallery garden gardens general group groups hall health heights highway hill hills \
    hospital hotel hotels house inc industries inn institute insurance international island islands jr labs lake \
    lane law library lines llc llp logistics ltd mall manor market markets marathon medical memorial method metro \
    mills ministry model monitor motors mountain museum national office orchestra park parkway partners place plan \
    plaza point police policy port post press prize products properties protocol publishing realty records report \
    republic reserve resort restaurant ridge river road rule rules school science scale score series service \
    services shipping shore society software solutions square stadium standard state states station store stores \
    street studio studios summit supply syndrome system systems team tech technologies technology terrace test \
    texas theater theatre theorem times tower trail trust tv union university valley village vineyards war way week \
    wine wines works world zoo disease lymphoma palsy warnings sign maneuver tube catheter power form forms store \
    edition north south east west street water card cards pro max plus online support english spanish king's";
/// What follows a name in lower case when a thing is named after somebody.
const NAMED_AFTER: &[&str] = &[
    "disease",
    "syndrome",
    "palsy",
    "lymphoma",
    "sign",
    "maneuver",
    "warnings",
    "test",
    "scale",
    "score",
    "tube",
    "catheter",
    "law",
    "theorem",
    "street",
    "hearing",
    "rule",
    "doctrine",
    "monitor",
    "card",
    "fracture",
    "contracture",
];
/// What words end with, and names that no table has hardly do.
const ENDINGS: &[&str] = &[
    "tion", "ment", "ments", "ics", "ity", "ness", "ware", "soft", "corp", "tech", "labs", "able",
    "ible", "ical", "ology", "ance", "ence", "ship", "graph", "phone", "tablets", "cillin",
    "statin", "prazole", "mycin", "ine's", "us's",
];
/// Before somebody.
const PERSON_BEFORE: &str = "\
    told tell asked ask called call from by with to for that said says is was does did whether between about \
    patient plaintiff defendant witness client customer tenant landlord lawyer attorney counsel nurse doctor \
    neighbor colleague friend brother sister wife husband son daughter mother father boss manager agent analyst \
    courier driver trustee executor guest borrower lender caller employee officer detective judge professor against \
    versus contact owner holder regards sincerely thanks signed interviewed arrested named saw met sued ceo cfo \
    cto director spouse beneficiary applicant claimant respondent petitioner passenger student teacher resident";
/// What somebody does.
const PERSON_AFTER: &str = "\
    says said asked told called signed wrote wants wanted needs needed lives lived works worked owns owned paid \
    filed sued testified complained reported denied denies refused refuses agreed agrees claims claimed requested \
    presented underwent takes took missed moved opened closed bought sold sent received is was has had will would \
    did does can could and who whose keeps got gave left came went returned cancelled canceled confirmed expects \
    resigned admitted explained stated believes thinks died transferred disputed speaks met visited stayed";
/// Before the last part of a name.
const PARTICLES: &[&str] = &[
    "van", "von", "de", "del", "della", "di", "da", "dos", "la", "le", "bin", "ibn", "al", "el",
    "den", "der", "ter",
];
/// Before a word with a capital at the beginning of a sentence.
const OPENERS: &str = "\
    tell ask call email contact was is did does has had when where why how if and but since because after before \
    that please let can could would will should may with for from to by our my his her their the dear hi hello \
    thanks sorry yes no today yesterday then so as at in on meanwhile while both only even maybe perhaps \
    yours sincerely regards cc attn mr mrs ms dr";

struct Tables {
    alone: HashSet<&'static str>,
    given: HashSet<&'static str>,
    family: HashSet<&'static str>,
    things: HashSet<&'static str>,
    words: HashSet<&'static str>,
    openers: HashSet<&'static str>,
    before: HashSet<&'static str>,
    after: HashSet<&'static str>,
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| Tables {
        alone: ALONE.split_whitespace().collect(),
        given: GIVEN.split_whitespace().collect(),
        family: FAMILY.split_whitespace().collect(),
        things: THINGS.split_whitespace().collect(),
        words: WORDS.split_whitespace().collect(),
        openers: OPENERS.split_whitespace().collect(),
        before: PERSON_BEFORE.split_whitespace().collect(),
        after: PERSON_AFTER.split_whitespace().collect(),
    })
}

/// A word with a capital, or a particle between two.
#[derive(Debug)]
struct Part {
    span: Range<usize>,
    lower: String,
    /// Nothing but a space between it and the part before.
    joined: bool,
    particle: bool,
}

impl Part {
    fn is_initial(&self) -> bool {
        self.lower.trim_end_matches('.').chars().count() == 1
    }

    fn is_thing(&self) -> bool {
        tables().things.contains(self.lower.as_str())
    }

    /// In the table of family names, as a whole or by a part of a double name.
    fn is_family(&self) -> bool {
        let family = &tables().family;
        family.contains(self.lower.as_str())
            || self.lower.contains('-') && self.lower.split('-').any(|half| family.contains(half))
    }

    fn stands_alone(&self) -> bool {
        tables().alone.contains(self.lower.as_str())
    }

    fn is_given(&self) -> bool {
        self.stands_alone() || tables().given.contains(self.lower.as_str())
    }

    /// In the table of words, or formed like one.
    fn is_word(&self) -> bool {
        let formed = ENDINGS.iter().any(|ending| self.lower.ends_with(ending));
        tables().words.contains(self.lower.as_str())
            || formed && !self.is_family() && !self.is_given()
    }

    /// The last part of a name.
    fn can_end(&self) -> bool {
        !(self.particle || self.is_initial() || self.is_thing() || is_opener(self))
    }

    /// How much speaks for a given name.
    fn as_given(&self) -> f64 {
        match (self.stands_alone(), self.is_given(), self.is_word()) {
            (true, ..) => 3.0,
            (_, true, false) => 2.0,
            (_, true, true) => 1.0,
            (_, false, false) if self.lower.len() > 2 => 1.0,
            _ => -3.0,
        }
    }

    /// How much speaks for a family name.
    fn as_family(&self) -> f64 {
        match (self.is_family(), self.is_word()) {
            (true, false) => 2.0,
            (true, true) => 0.5,
            (false, false) if self.lower.len() > 2 => 1.0,
            _ => -3.0,
        }
    }
}

/// Finds English names by tables.
pub(super) struct EnglishFree(Regex);

impl EnglishFree {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let particles = PARTICLES.join("|");
        Regex::new(&format!(
            r"\p{{Lu}}\.|\p{{Lu}}['’]\p{{Lu}}\p{{Ll}}+|(?:al-)?\p{{Lu}}\p{{L}}*\p{{Ll}}(?:-\p{{Lu}}?\p{{Ll}}+)*|\b(?:{particles})\b|\b\p{{Lu}}\b"
        ))
        .map(Self)
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let parts = self.parts(text);
        let mut found = Vec::new();
        let mut at = 0;
        while at < parts.len() {
            let end = full(text, &parts, at).or_else(|| alone(text, &parts, at).then_some(at + 1));
            if let Some(end) = end {
                found.push(parts[at].span.start..parts[end - 1].span.end);
            }
            at = end.unwrap_or(at + 1);
        }
        found
    }

    fn parts(&self, text: &str) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for found in self.0.find_iter(text) {
            let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_han(c));
            if inside(left(text, found.start())) {
                continue;
            }
            let last = parts.last();
            let joined = last.is_some_and(|part| &text[part.span.end..found.start()] == " ");
            parts.push(Part {
                span: found.range(),
                lower: found.as_str().replace('’', "'").to_lowercase(),
                joined,
                particle: PARTICLES.contains(&found.as_str()),
            });
        }
        parts
    }
}

/// Where a given name with its family name ends.
fn full(text: &str, parts: &[Part], at: usize) -> Option<usize> {
    let first = &parts[at];
    let opened = is_opener(first) && !first.stands_alone();
    if first.particle || first.is_initial() || first.is_thing() || opened {
        return None;
    }
    let joined = |place: usize| parts.get(place).filter(|part| part.joined);
    let mut last = at + 1;
    // Initials, particles and further given names, as long as something comes after them.
    while let (Some(part), Some(next)) = (joined(last), joined(last + 1)) {
        let middle = first.is_given() && part.is_given() && next.can_end();
        if !(part.is_initial() || part.particle || middle) || next.is_thing() {
            break;
        }
        last += 1;
    }
    let family = joined(last).filter(|part| part.can_end())?;
    let mut end = last + 1;
    while joined(end).is_some_and(|part| part.is_family() && part.can_end()) {
        end += 1;
    }
    let span = first.span.start..parts[end - 1].span.end;
    let house = format!("{} {}", first.lower, parts[at + 1].lower);
    let other = HOUSES.contains(&house.as_str()) || PLACES.contains(&house.as_str());
    let goes_on = joined(end).is_some_and(|part| part.is_thing() || !part.can_end());
    if other || goes_on || names_something(text, span.end) {
        return None;
    }
    let more = joined(end).is_some() || first.joined && !is_opener(&parts[at - 1]);
    let weight =
        first.as_given() + family.as_family() + beside(text, &span) - if more { 1.0 } else { 0.0 };
    (weight >= 3.0).then_some(end)
}

/// What stands on both sides of a person in a sentence.
fn beside(text: &str, span: &Range<usize>) -> f64 {
    let before = text[..span.start].trim_end_matches([' ', ',', ':']);
    let word = before
        .rsplit(|c: char| !c.is_alphabetic())
        .next()
        .unwrap_or_default();
    let mut sum = 0.0;
    if tables().before.contains(word.to_ascii_lowercase().as_str()) {
        sum += 1.5;
    }
    let after = &text[span.end..];
    let owns = after
        .strip_prefix("'s ")
        .or_else(|| after.strip_prefix("’s "));
    let after = after.trim_start_matches(',');
    let word = after
        .trim_start()
        .split(|c: char| !c.is_alphabetic())
        .next()
        .unwrap_or_default();
    let does = after.starts_with(' ') && tables().after.contains(word);
    sum + if owns.is_some() || does { 1.5 } else { 0.0 }
}

fn is_opener(part: &Part) -> bool {
    tables().openers.contains(part.lower.as_str())
}

/// A given name by itself.
fn alone(text: &str, parts: &[Part], at: usize) -> bool {
    let part = &parts[at];
    let before = at.checked_sub(1).map(|before| &parts[before]);
    let opened = !part.joined || before.is_some_and(|before| is_opener(before) || before.particle);
    let next = parts
        .get(at + 1)
        .is_some_and(|next| next.joined && !next.particle);
    let house = parts
        .get(at + 1)
        .is_some_and(|next| next.joined && next.is_thing());
    let saint = text[..part.span.start].ends_with("St. ");
    let glued = saint
        || text[part.span.end..].starts_with(['-', '@', '/', '_'])
        || left(text, part.span.start).is_some_and(|c| matches!(c, '-' | '@' | '/' | '_' | '.'));
    part.stands_alone()
        && opened
        && !next
        && !house
        && !glued
        && !names_something(text, part.span.end)
}

/// Words with capitals that can be a person: not only words of everyday, and no house or thing at the end.
pub(super) fn may_be_person(name: &str) -> bool {
    let words = name.split(' ').map(str::to_lowercase);
    let known = |word: &String| tables().words.contains(word.as_str());
    let thing = |word: &str| tables().things.contains(word);
    let last = name.rsplit(' ').next().unwrap_or_default().to_lowercase();
    let mut words = words.peekable();
    words.peek().is_some() && !thing(&last) && !words.all(|word| known(&word))
}

/// What is named after somebody follows: `Bell's palsy`.
fn names_something(text: &str, end: usize) -> bool {
    let rest = text[end..].trim_start_matches(['\'', '’']);
    let rest = rest
        .strip_prefix('s')
        .filter(|_| text[end..].starts_with(['\'', '’']))
        .unwrap_or(rest);
    let Some(rest) = rest.strip_prefix(' ') else {
        return rest.starts_with(['&']);
    };
    let word = rest
        .split(|c: char| !c.is_alphabetic())
        .next()
        .unwrap_or_default();
    NAMED_AFTER.contains(&word)
        || rest.starts_with("& ")
        || rest.starts_with("Inc")
        || rest.starts_with("LL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        let rules = EnglishFree::new().unwrap();
        rules
            .find(text)
            .into_iter()
            .map(|span| &text[span])
            .collect()
    }

    #[test]
    fn full_names_and_given_names_are_found() {
        assert_eq!(
            names("I rented it from Mary T. Khan's aunt."),
            ["Mary T. Khan"]
        );
        assert_eq!(
            names("Ludwig van Dyke and Susan called."),
            ["Ludwig van Dyke", "Susan"]
        );
        assert_eq!(names("请联系Peter O’Brien，谢谢"), ["Peter O’Brien"]);
    }

    #[test]
    fn houses_places_laws_and_diseases_are_left() {
        for text in [
            "Henry Ford Hospital opened.",
            "Grant County Court is closed.",
            "Charles Schwab raised fees.",
            "Christian Science Monitor",
            "The Mary Kay store, the Susan Test",
            "May Day, Will Power",
        ] {
            assert!(names(text).is_empty(), "{text}: {:?}", names(text));
        }
    }
}
