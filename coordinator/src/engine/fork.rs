//! A replay that comes out differently than before: a fork where unlike devices took part, an error elsewhere.
//!
//! Equal bytes are promised for one device class. Who computed what is timing, so where more than one class had
//! a part in what is repeated a replay cannot reproduce it; that is recorded and said, and what came after is void.
//! Keeps: with one class nothing differs unsaid; nothing of the void course is ever restored, exported or best.

use std::collections::BTreeSet;

use shared::error::{Code, Error};
use shared::ids::Step;

use super::Engine;
use super::event::{Command, Rewind};
use super::notice::Notice;

impl Engine {
    /// Whether the run may go on with what differs from before, in a step: then everything after the committed one is
    /// forgotten. Otherwise it has failed.
    pub(super) fn forks(&mut self, differs: Step, what: &str, why: Vec<String>) -> bool {
        let mut classes = self.parts.from(differs);
        classes.extend(self.classes_at_work());
        if classes.len() < 2 {
            let mut error = Error::new(
                Code::ReplayDiffers,
                format!("{what} came out differently than before"),
            );
            error.why = why;
            let error = error
                .why(format!(
                    "all of it was computed on one device class: {}",
                    Vec::from_iter(classes).join(" | ")
                ))
                .fix("was the driver or a library changed without its version changing?")
                .fix("--set output_dir=ANOTHER trains it again beside this one");
            self.fail(error);
            return false;
        }
        let (step, forked) = (self.committed, classes);
        self.parts.void_after(step);
        self.notice(Notice::Forked {
            what: what.to_owned(),
            step,
            classes: forked.iter().cloned().collect(),
        });
        let state_digest = self.digests.get(&step).cloned();
        self.out.push(Command::Rewind(Rewind {
            step,
            state_digest,
            forked,
        }));
        let stands = self.evaluated;
        self.course.retain(|at| Some(at) <= stands);
        self.digests.retain(|at, _| *at <= step);
        self.void_states_after(step);
        self.skipped.retain(|at, _| *at <= step);
        let void: Vec<Step> = self.checkpoints.stored.keys().copied().collect();
        for at in void.into_iter().filter(|at| *at > step) {
            self.set_aside(
                at,
                format!("the run has taken another course after step {step}"),
            );
        }
        true
    }

    /// What the members of the generation compute on.
    pub(super) fn classes_at_work(&self) -> BTreeSet<String> {
        let working = self.members.values().filter(|m| m.is_working());
        let classes: BTreeSet<_> = working.map(|m| &m.device_class).collect();
        classes.into_iter().cloned().collect()
    }
}
