//! Which device classes had a part in which steps.
//!
//! In: who computed each step. Out: whose work a repeated step is compared with. Keeps: nothing is forgotten with a
//! checkpoint, because a damaged one is set aside and the run begins again before it; one step a class, however
//! long the run is.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Step;

/// The highest step that each device class had a part in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    until: BTreeMap<String, Step>,
}

impl Parts {
    /// These classes have computed something of a step.
    pub fn took(&mut self, classes: &BTreeSet<String>, step: Step) {
        for class in classes {
            let until = self.until.entry(class.clone()).or_default();
            *until = step.max(*until);
        }
    }

    /// Classes with a part in this step or a later one that stands or may come again.
    #[must_use]
    pub fn from(&self, step: Step) -> BTreeSet<String> {
        let took = self.until.iter().filter(|(_, until)| **until >= step);
        took.map(|(class, _)| class.clone()).collect()
    }

    /// What came after this step is void, and binds nobody any more.
    pub fn void_after(&mut self, step: Step) {
        for until in self.until.values_mut() {
            *until = step.min(*until);
        }
    }
}
