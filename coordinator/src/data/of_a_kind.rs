//! Reports of very many files that stay short: of each kind the first are shown, the others summed up.
//!
//! Keeps: no kind of file and no kind of notice is left out; a program finds all of them in the JSON.

use std::collections::BTreeMap;
use std::fmt;

use super::file_report::Form;
use super::listed::LISTED;

/// Notices of one kind that are shown.
const NOTICES: usize = 5;

/// Counts files by their form: the first of each are shown, the others are summed up.
#[derive(Default)]
pub(crate) struct More {
    /// Files that are shown, those that are not, and the samples of these.
    forms: BTreeMap<String, (usize, u64, u64)>,
}

impl More {
    /// Whether this file is among the first of its form.
    pub(crate) fn shows(&mut self, form: Form, samples: u64) -> bool {
        let (shown, more, rest) = self.forms.entry(form.to_string()).or_default();
        if *shown < LISTED {
            *shown += 1;
            return true;
        }
        *more += 1;
        *rest += samples;
        false
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (form, (_, more, samples)) in self.forms.iter().filter(|(_, (_, more, _))| *more > 0) {
            writeln!(f, "and {more} more files: {form}, {samples} samples")?;
        }
        Ok(())
    }
}

/// Of notices that say the same of many files the first, and how many more there are.
pub(crate) fn few(notices: &[String]) -> Vec<String> {
    // What is said of one file begins with its name; numbers and places differ from file to file.
    let kind = |notice: &String| -> String {
        let (name, said) = notice.split_once(": ").unwrap_or(("", notice));
        let said = if name.contains('.') {
            said
        } else {
            notice.as_str()
        };
        said.split_whitespace()
            .filter(|word| !word.contains(|c: char| c.is_ascii_digit()))
            .collect()
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for notice in notices {
        *counts.entry(kind(notice)).or_default() += 1;
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut shown = Vec::new();
    for notice in notices {
        let kind = kind(notice);
        let all = counts[&kind];
        let nth = seen.entry(kind).or_default();
        *nth += 1;
        if *nth <= NOTICES {
            shown.push(notice.clone());
        }
        if *nth == NOTICES && all > NOTICES {
            shown.push(format!("and {} more notes like this one", all - NOTICES));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_files_and_notices_are_summed_up_and_no_kind_is_lost() {
        let mut more = More::default();
        let shown = (0..20_000)
            .filter(|_| more.shows(Form::Dialogue, 2))
            .count();
        assert_eq!((shown, more.shows(Form::Table, 1)), (LISTED, true));
        assert_eq!(
            more.to_string(),
            "and 19980 more files: dialogue, 39960 samples\n"
        );
        let mut notices: Vec<String> = (0..3000)
            .map(|n| format!("{n}.txt: more than two roles in line {n}"))
            .collect();
        notices.push("the chat template writes today's date".into());
        let few = few(&notices);
        assert_eq!(few.len(), NOTICES + 2);
        assert_eq!(few[NOTICES], "and 2995 more notes like this one");
    }
}
