//! What was found, and which of two that overlap counts.
//!
//! Keeps: the longest wins, of equally long ones the most specific, then the first; what is kept is
//! in order and does not overlap.

use std::ops::Range;

use shared::config::PrivacyKind;

/// What kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A rule of the user's, by its place in the configuration.
    Rule(usize),
    /// One of the kinds that are built in.
    Known(PrivacyKind),
}

/// Personal data in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which kind of personal data stands there.
    pub kind: Kind,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

impl Kind {
    /// Lower is more specific: what the user wrote, then what has a checksum.
    fn rank(self) -> usize {
        match self {
            Self::Rule(_) => 0,
            Self::Known(kind) => {
                let place = PrivacyKind::ALL.iter().position(|other| *other == kind);
                1 + place.unwrap_or(PrivacyKind::ALL.len())
            }
        }
    }
}

/// Those that count, in order.
pub(super) fn settle(mut found: Vec<Finding>) -> Vec<Finding> {
    found.retain(|finding| !finding.span.is_empty());
    found.sort_by_key(|Finding { kind, span }| {
        (
            std::cmp::Reverse(span.len()),
            kind.rank(),
            span.start,
            *kind,
        )
    });
    let mut kept: Vec<Finding> = Vec::new();
    for finding in found {
        let place = kept.partition_point(|other| other.span.end <= finding.span.start);
        let free = kept
            .get(place)
            .is_none_or(|next| finding.span.end <= next.span.start);
        if free {
            kept.insert(place, finding);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(kind: PrivacyKind, span: Range<usize>) -> Finding {
        Finding {
            kind: Kind::Known(kind),
            span,
        }
    }

    #[test]
    fn the_longest_wins_then_the_most_specific() {
        let rule = Finding {
            kind: Kind::Rule(0),
            span: 20..25,
        };
        let found = vec![
            known(PrivacyKind::Phones, 0..11),
            known(PrivacyKind::Emails, 0..18),
            known(PrivacyKind::Phones, 20..25),
            rule.clone(),
            known(PrivacyKind::Names, 18..20),
            known(PrivacyKind::Names, 30..30),
        ];
        assert_eq!(
            settle(found),
            [
                known(PrivacyKind::Emails, 0..18),
                known(PrivacyKind::Names, 18..20),
                rule
            ]
        );
    }
}
