//! Names of people in English: behind a title, a label, a role, "my name is".
//!
//! In: folded text. Out: spans of the name alone, without title. A name has capitals; what usually
//! has them too, such as courts and months, is none.

use std::ops::Range;

use regex::Regex;

use super::context::each;
use super::english_free::may_be_person;

/// Finds English names behind titles, labels and roles.
pub(super) struct English {
    title: Regex,
    own: Regex,
    label: Regex,
    role: Regex,
}

impl English {
    pub(super) fn new() -> Result<Self, regex::Error> {
        const WORD: &str = r"[A-Z](?:[a-z]+(?:['’-][A-Z]?[a-z]+)?|['’][A-Z][a-z]+|\.)";
        let person = format!("{WORD}(?: {WORD}){{0,3}}");
        let full = format!("{WORD}(?: {WORD}){{1,3}}");
        Ok(Self {
            title: Regex::new(&format!(
                r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Attorney|Nurse|Officer|Judge)\.? ({person})"
            ))?,
            own: Regex::new(&format!(
                r"(?:\b[Mm]y (?:full |legal )?name is|\b[Mm]y name['’]s|\b[Tt]he name is|\b[Ii] am called|\b(?:[Tt]his|[Ii]t) is|\b(?:wife|husband|son|daughter|brother|sister|mother|father|neighbor|landlord|boss|colleague|friend),?|\b(?:named|called)) ({person})"
            ))?,
            label: Regex::new(&format!(
                r"(?i:\b(?:name|patient|plaintiff|defendant|client|customer|tenant|landlord|borrower|lender|witness|claimant|respondent|applicant|signed|signed by|attn|attention|beneficiary|cardholder|account holder|contact|physician|full name|patient name|sincerely|best regards|regards|yours truly))(?: ?[:：]|,\n| ?-) ?\n?({person})"
            ))?,
            role: Regex::new(&format!(
                r"\b(?i:plaintiff|defendant|patient|claimant|respondent|appellant|appellee|petitioner|witness|tenant|landlord|borrower|lender|lessee|lessor|employee|client|customer|decedent),? ({full})"
            ))?,
        })
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for (regex, least) in [
            (&self.title, 1),
            (&self.own, 1),
            (&self.label, 1),
            (&self.role, 2),
        ] {
            found.extend(each(regex, text, |captures| {
                let surely = regex.as_str() != self.own.as_str()
                    || captures.get_match().as_str().contains("ame");
                let least = if surely { least } else { 2 };
                let span = english(text, captures.get(1)?.range(), least)?;
                let alone = !text[span.clone()].contains(' ');
                (alone || may_be_person(&text[span.clone()])).then_some(span)
            }));
        }
        found
    }
}

/// Words with a capital that are no part of a name.
const OTHER: &str = "\
    The This That Article Section Rule Motion Court Company Inc Ltd Corp Llc Corporation \
    United States State President Speaker Chairman Justice Judge Bank Insurance Hospital \
    University I My He She It We You They In On At For And Or But Not No Please Born Date \
    Phone Email Address January February March April May June July August September October \
    November December Monday Tuesday Wednesday Thursday Friday Saturday Sunday English \
    Chinese American Id Passport Mrn Group City County Department Act Code A An Is As To If \
    When What How Can Could Would Should Mr Mrs Ms Dr Service Care Rights Portal Safety Fees \
    Support";

/// Capitalised words without those that are no part of a name; too few of them are none.
fn english(text: &str, span: Range<usize>, least: usize) -> Option<Range<usize>> {
    let mut end = span.start;
    let mut words = 0;
    for word in text[span.clone()].split(' ') {
        let bare = word.trim_end_matches('.');
        if OTHER
            .split(' ')
            .any(|other| other.eq_ignore_ascii_case(bare))
            && bare.len() != 1
            || bare == "I"
        {
            break;
        }
        end += word.len() + usize::from(words > 0);
        words += 1;
    }
    let name = &text[span.start..end];
    let trimmed = if name.ends_with('.') && name.split(' ').next_back().is_some_and(|w| w.len() > 2)
    {
        name.trim_end_matches('.')
    } else {
        name
    };
    (words >= least && trimmed.chars().count() >= 2).then(|| span.start..span.start + trimmed.len())
}
