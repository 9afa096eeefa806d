//! Several values of one figure.

use std::fmt;
use std::time::Duration;

/// Values, sorted.
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn millis(values: &[Duration]) -> Self {
        Self::of(values.iter().map(|d| d.as_secs_f64() * 1000.0))
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "median {:.1} of {} (least {:.1}, most {:.1})",
            self.median(),
            self.0.len(),
            self.0[0],
            self.0[self.0.len() - 1]
        )
    }
}
