//! Rows to one micro-batch: padded on the right, labels where something is learned.
//!
//! Padding is told from tokens by position, never by id. A row of the prepared dataset says which
//! tokens are learned; the label of a learned token is its own id, everything else is [`IGNORED`].

use shared::dataset::Sample;
use shared::error::{Code, Error, Result};

/// The label of a token nothing is learned from.
pub const IGNORED: i64 = -100;

/// The collated data of one micro-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// Samples (B).
    pub rows: usize,
    /// Padded length (T).
    pub length: usize,
    /// Token ids, `[B, T]`, padded with 0.
    pub tokens: Vec<i64>,
    /// Labels, `[B, T]`, [`IGNORED`] where nothing is learned; not shifted.
    pub labels: Vec<i64>,
    /// Optimizer step, from 1.
    pub step: u64,
    /// Position in the step of the first row.
    pub first_position: u32,
    /// Predicted tokens of the whole step.
    pub step_target_tokens: u64,
}

/// Collates the rows of one micro-batch.
///
/// # Errors
/// [`Code::Internal`] when a row is longer than the padded length.
pub fn collate(
    samples: &[Sample<'_>],
    length: usize,
    step: u64,
    first_position: u32,
    step_target_tokens: u64,
) -> Result<MicroBatch> {
    let rows = samples.len();
    let mut tokens = vec![0i64; rows * length];
    let mut labels = vec![IGNORED; rows * length];
    for (row, sample) in samples.iter().enumerate() {
        if sample.ids.len() > length {
            let what = format!(
                "a row of {} tokens in a batch of {length}",
                sample.ids.len()
            );
            return Err(Error::new(Code::Internal, what));
        }
        let cells = tokens[row * length..]
            .iter_mut()
            .zip(&mut labels[row * length..]);
        for ((&id, &learned), (token, label)) in sample.ids.iter().zip(sample.targets).zip(cells) {
            *token = i64::from(id);
            if learned != 0 {
                *label = i64::from(id);
            }
        }
    }
    Ok(MicroBatch {
        rows,
        length,
        tokens,
        labels,
        step,
        first_position,
        step_target_tokens,
    })
}

impl MicroBatch {
    /// Rows of `[B * T]` that predict a learned token, and that token, in order.
    #[must_use]
    pub fn predictions(&self) -> (Vec<i64>, Vec<i64>) {
        let mut places = Vec::new();
        let mut wanted = Vec::new();
        for (index, labels) in self.labels.windows(2).enumerate() {
            let last_of_row = (index + 1) % self.length == 0;
            if !last_of_row && labels[1] != IGNORED {
                places.push(i64::try_from(index).unwrap_or(i64::MAX));
                wanted.push(labels[1]);
            }
        }
        (places, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_on_the_right_and_zero_is_an_ordinary_token() {
        let samples = [
            Sample {
                ids: &[5, 0, 7],
                targets: &[0, 1, 1],
            },
            Sample {
                ids: &[8, 9],
                targets: &[1, 1],
            },
        ];
        let batch = collate(&samples, 4, 1, 0, 3).unwrap();
        assert_eq!(batch.tokens, [5, 0, 7, 0, 8, 9, 0, 0]);
        assert_eq!(batch.labels, [-100, 0, 7, -100, 8, 9, -100, -100]);
    }

    #[test]
    fn the_first_token_of_a_row_is_never_predicted() {
        let samples = [
            Sample {
                ids: &[5, 6],
                targets: &[1, 1],
            },
            Sample {
                ids: &[8, 9],
                targets: &[1, 1],
            },
        ];
        let batch = collate(&samples, 2, 1, 0, 2).unwrap();
        assert_eq!(batch.predictions(), (vec![0, 2], vec![6, 9]));
        let counted: u32 = samples.iter().map(Sample::target_tokens).sum();
        assert_eq!(batch.predictions().0.len(), counted as usize);
    }

    #[test]
    fn a_row_longer_than_the_batch_is_never_cut() {
        let sample = Sample {
            ids: &[1, 2, 3],
            targets: &[1, 1, 1],
        };
        assert!(collate(&[sample], 2, 1, 0, 2).is_err());
    }
}
