//! Names of things, each its own type, so that a step is never mistaken for a generation.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// An optimizer step, counted from 1; 0 is the state before the first.
    Step,
    u64
);
counter!(
    /// Version of the member set.
    Generation,
    u64
);
counter!(
    /// Version of the leadership.
    Term,
    u64
);
counter!(
    /// Which try at reducing one step, from 0.
    Attempt,
    u32
);
counter!(
    /// Where a worker stands in one generation, from 0.
    Slot,
    u32
);
counter!(
    /// Index of a micro-batch in its step, from 0.
    MicroBatchId,
    u32
);

/// A worker: one process on one device, new at every start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One training, from the first start to its last resume.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a run stands: carried by every message; lower ones are stale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The run that the message is about.
    pub run: RunId,
    /// Version of the leadership that the sender knows.
    pub term: Term,
    /// Version of the member set that the sender knows.
    pub generation: Generation,
    /// Optimizer step that the message is about, from 1; 0 is the state before it.
    pub step: Step,
    /// Which try at reducing that step, from 0.
    pub attempt: Attempt,
}
