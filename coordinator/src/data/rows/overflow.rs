//! Rows longer than `max_seq_length`.
//!
//! In: a tokenized row and the policy. Out: the row, cut, left out or refused, and what was lost.

use shared::config::Overflow;
use shared::dataset::Sample;

use crate::data::sample::Tokenized;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fitted {
    /// The row fits as it is.
    Whole(Tokenized),
    /// The start of the row fits.
    Cut { row: Tokenized, lost_targets: u32 },
    /// No part of the row is used: it is left out, or the run is refused.
    None { lost_targets: u32 },
}

/// Targets that count: the first token is never predicted.
pub(crate) fn target_tokens(row: &Tokenized) -> u32 {
    Sample {
        ids: &row.ids,
        targets: &row.targets,
    }
    .target_tokens()
}

/// Applies the policy to a row.
pub(crate) fn fit(mut row: Tokenized, limit: usize, policy: Overflow) -> Fitted {
    if row.ids.len() <= limit {
        return Fitted::Whole(row);
    }
    let before = target_tokens(&row);
    match policy {
        Overflow::Truncate => {
            row.ids.truncate(limit);
            row.targets.truncate(limit);
            let lost_targets = before - target_tokens(&row);
            Fitted::Cut { row, lost_targets }
        }
        Overflow::Drop | Overflow::Error => Fitted::None {
            lost_targets: before,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::sample::Notes;

    fn row(targets: &[u8]) -> Tokenized {
        let ids = (0..targets.len() as u32).collect();
        Tokenized {
            ids,
            targets: targets.to_vec(),
            open_end: false,
            notes: Notes::default(),
        }
    }

    #[test]
    fn truncation_keeps_the_start_and_counts_lost_targets() {
        let cut = fit(row(&[0, 0, 1, 1, 1]), 3, Overflow::Truncate);
        assert_eq!(
            cut,
            Fitted::Cut {
                row: row(&[0, 0, 1]),
                lost_targets: 2
            }
        );
    }

    #[test]
    fn a_row_of_just_the_length_is_whole() {
        assert_eq!(
            fit(row(&[0, 1]), 2, Overflow::Error),
            Fitted::Whole(row(&[0, 1]))
        );
    }

    #[test]
    fn the_first_token_is_never_a_target() {
        assert_eq!(target_tokens(&row(&[1, 1, 0])), 1);
        assert_eq!(
            fit(row(&[1, 1]), 1, Overflow::Drop),
            Fitted::None { lost_targets: 1 }
        );
    }
}
