//! Every sample of an epoch once: counted from the credits alone, without a look at the plan.

use crate::error::{Code, Error, Result};
use crate::ids::Step;

/// Which rows the epoch in work has used, and in which step.
#[derive(Clone, Debug)]
pub(super) struct EpochUse {
    used: Vec<Option<Step>>,
    finished: u64,
}

impl EpochUse {
    pub(super) fn new(samples: usize) -> Self {
        Self {
            used: vec![None; samples],
            finished: 0,
        }
    }

    /// Epochs that were found whole.
    pub(super) fn finished(&self) -> u64 {
        self.finished
    }

    /// Samples that the epoch in work has used.
    pub(super) fn begun(&self) -> usize {
        self.used.iter().flatten().count()
    }

    /// A step uses these rows.
    pub(super) fn take(&mut self, step: Step, rows: impl IntoIterator<Item = u32>) -> Result<()> {
        for row in rows {
            let samples = self.used.len();
            let Some(place) = self.used.get_mut(row as usize) else {
                return Err(Error::new(
                    Code::LedgerContradiction,
                    format!("step {step} uses row {row}, which is not there"),
                )
                .why(format!("the dataset has {samples} rows, from 0")));
            };
            if let Some(before) = place.replace(step) {
                return Err(Error::new(
                    Code::LedgerContradiction,
                    format!("step {step} uses row {row} a second time in its epoch"),
                )
                .why(format!("step {before} used it already")));
            }
        }
        Ok(())
    }

    /// The epoch ends with this step: every row was used.
    pub(super) fn end(&mut self, step: Step) -> Result<()> {
        let lost = self.used.iter().position(Option::is_none);
        if let Some(row) = lost {
            let count = self.used.len() - self.begun();
            return Err(Error::new(
                Code::LedgerContradiction,
                format!("an epoch ends with step {step} without having used row {row}"),
            )
            .why(format!("{count} of its {} rows are lost", self.used.len())));
        }
        self.used.fill(None);
        self.finished += 1;
        Ok(())
    }
}
