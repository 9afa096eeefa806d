//! Lists in messages that stay short however much there is: `3, 5, 9 and 4 more`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// At most this many items are listed in a message; the report's JSON has [`KEPT`].
pub(crate) const LISTED: usize = 20;

/// At most this many places of one kind are kept; those behind them are only counted.
pub(crate) const KEPT: usize = 10_000;

/// The first items, and how many more there are.
pub(crate) fn listed<T: fmt::Display>(items: &[T]) -> String {
    listed_of(items, items.len() as u64)
}

/// As [`listed`], where `items` are the first of `all`.
pub(crate) fn listed_of<T: fmt::Display>(items: &[T], all: u64) -> String {
    let shown: Vec<String> = items.iter().take(LISTED).map(ToString::to_string).collect();
    let more = all.saturating_sub(shown.len() as u64);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(", "))
}

/// How many places there are, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Places {
    pub count: u64,
    first: Vec<String>,
}

impl Places {
    /// Counts a place; it is only spelled out where it is among the first.
    pub(crate) fn add(&mut self, place: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < LISTED {
            self.first.push(place());
        }
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.join(", "))?;
        match self.count.saturating_sub(self.first.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
