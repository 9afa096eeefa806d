//! Rows to one micro-batch: padded on the right or packed, labels where something is learned.
//!
//! In: samples, and how many cells of the tensor each gets by the plan. Out: tokens and labels,
//! one sample behind the other; padded samples are all as long as the longest, packed ones as long
//! as they are. Padding is told from tokens by position, never by id. A row of the prepared dataset
//! says which tokens are learned; the label of a learned token is its own id, everything else is
//! [`IGNORED`].

use shared::dataset::{PreparedDataset, Sample};
use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::plan::MicroBatchPlan;

/// The label of a token nothing is learned from.
pub const IGNORED: i64 = -100;

/// The part of one sample in a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The sample's place in the step.
    pub position: u32,
    /// Tokens of the sample in the micro-batch, padding included.
    pub length: usize,
}

/// The collated data of one micro-batch.
#[derive(Clone, Debug, PartialEq)]
pub struct MicroBatch {
    /// The samples, in the order of their tokens.
    pub segments: Vec<Segment>,
    /// Token ids of all samples, `[P]`, padded with 0.
    pub tokens: Vec<i64>,
    /// Labels, `[P]`, [`IGNORED`] where nothing is learned; not shifted.
    pub labels: Vec<i64>,
    /// Optimizer step that the micro-batch is of, from 1.
    pub step: u64,
    /// Units of the whole step that have a loss.
    pub step_loss_units: u64,
    /// Factor on the loss before the backward pass; the gradient comes out without it.
    pub loss_scale: f32,
}

/// Collates the rows of one micro-batch as they are planned.
///
/// # Errors
/// [`Code::Internal`] when these are not the planned samples: another number of them, or one that is
/// longer than its place.
pub fn collate(
    samples: &[Sample<'_>],
    planned: &MicroBatchPlan,
    step: u64,
    step_loss_units: u64,
) -> Result<MicroBatch> {
    let places = planned.positions.iter().zip(&planned.cells);
    if samples.len() != places.len() {
        let what = format!("{} rows for {} places", samples.len(), places.len());
        return Err(Error::new(Code::Internal, what));
    }
    let all = usize::try_from(planned.computed_tokens()).unwrap_or(0);
    let mut batch = MicroBatch {
        segments: Vec::with_capacity(samples.len()),
        tokens: Vec::with_capacity(all),
        labels: Vec::with_capacity(all),
        step,
        step_loss_units,
        loss_scale: 1.0,
    };
    for (sample, (&position, &cells)) in samples.iter().zip(places) {
        let length = usize::try_from(cells).unwrap_or(0);
        if sample.ids.len() > length {
            let found = sample.ids.len();
            let what = format!("a row of {found} tokens in a place of {length}");
            return Err(Error::new(Code::Internal, what));
        }
        batch.segments.push(Segment { position, length });
        for (&id, &learned) in sample.ids.iter().zip(sample.targets) {
            let id = i64::from(id);
            batch.tokens.push(id);
            batch.labels.push(if learned == 0 { IGNORED } else { id });
        }
        let end = batch.tokens.len() + length - sample.ids.len();
        batch.tokens.resize(end, 0);
        batch.labels.resize(end, IGNORED);
    }
    Ok(batch)
}

impl MicroBatch {
    /// Rows of `[P]` that predict a learned token, and that token, in order.
    #[must_use]
    pub fn predictions(&self) -> (Vec<i64>, Vec<i64>) {
        let mut places = Vec::new();
        let mut wanted = Vec::new();
        let mut first = 0;
        for segment in &self.segments {
            // The last token of a sample predicts nothing, whatever comes behind it.
            for next in first + 1..first + segment.length {
                let label = self.labels.get(next).copied().unwrap_or(IGNORED);
                if label != IGNORED {
                    places.push(i64::try_from(next - 1).unwrap_or(i64::MAX));
                    wanted.push(label);
                }
            }
            first += segment.length;
        }
        (places, wanted)
    }

    /// Tokens of each sample, padding included.
    #[must_use]
    pub fn lengths(&self) -> Vec<i64> {
        let lengths = self.segments.iter().map(|segment| segment.length);
        lengths
            .map(|length| i64::try_from(length).unwrap_or(i64::MAX))
            .collect()
    }
}

/// Collates the planned rows of a micro-batch, to be computed with a loss scale.
pub(super) fn collated(
    dataset: &PreparedDataset,
    planned: &MicroBatchPlan,
    step: Step,
    step_loss_units: u64,
    loss_scale: f32,
) -> Result<MicroBatch> {
    let samples = planned.samples.iter().map(|row| {
        let found = usize::try_from(*row).ok();
        found
            .and_then(|row| dataset.sample(row))
            .ok_or_else(|| Error::new(Code::Internal, format!("step {step} has no row {row}")))
    });
    let samples: Vec<_> = samples.collect::<Result<_>>()?;
    let batch = collate(&samples, planned, step.0, step_loss_units)?;
    Ok(MicroBatch {
        loss_scale,
        ..batch
    })
}

#[cfg(test)]
mod tests {
    use shared::objective::{NextToken, Objective};

    use super::*;

    const SAMPLES: [Sample<'static>; 2] = [
        Sample {
            ids: &[5, 0, 7],
            targets: &[0, 1, 1],
        },
        Sample {
            ids: &[8, 9],
            targets: &[1, 1],
        },
    ];

    fn planned(cells: [u32; 2]) -> MicroBatchPlan {
        MicroBatchPlan {
            samples: vec![0, 1],
            positions: vec![3, 6],
            cells: cells.into(),
            tokens: 5,
        }
    }

    #[test]
    fn rows_are_padded_on_the_right_and_zero_is_an_ordinary_token() {
        let batch = collate(&SAMPLES, &planned([4, 4]), 1, 3).unwrap();
        assert_eq!(batch.tokens, [5, 0, 7, 0, 8, 9, 0, 0]);
        assert_eq!(batch.labels, [-100, 0, 7, -100, 8, 9, -100, -100]);
        assert_eq!(batch.lengths(), [4, 4]);
    }

    #[test]
    fn packed_rows_have_no_padding_and_keep_their_places() {
        let batch = collate(&SAMPLES, &planned([3, 2]), 1, 3).unwrap();
        assert_eq!(batch.tokens, [5, 0, 7, 8, 9]);
        assert_eq!(batch.labels, [-100, 0, 7, 8, 9]);
        let places: Vec<_> = batch.segments.iter().map(|s| s.position).collect();
        assert_eq!(places, [3, 6]);
    }

    #[test]
    fn the_first_token_of_a_row_is_never_predicted_whatever_stands_before_it() {
        let counted: u32 = SAMPLES.iter().map(|sample| NextToken.units(sample)).sum();
        for (cells, places) in [
            ([3, 3], [0, 1, 3]),
            ([3, 2], [0, 1, 3]),
            ([4, 4], [0, 1, 4]),
        ] {
            let batch = collate(&SAMPLES, &planned(cells), 1, 2).unwrap();
            assert_eq!(batch.predictions(), (places.into(), vec![0, 7, 9]));
            assert_eq!(batch.predictions().0.len(), counted as usize);
        }
    }

    #[test]
    fn a_row_longer_than_its_place_is_never_cut() {
        assert!(collate(&SAMPLES, &planned([2, 4]), 1, 2).is_err());
        assert!(collate(&SAMPLES[..1], &planned([4, 4]), 1, 2).is_err());
    }
}
