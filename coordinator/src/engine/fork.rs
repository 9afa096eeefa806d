//! A replay that comes out differently than before: a fork where unlike devices took part, an error elsewhere.
//!
//! Equal bytes are promised for one device class. Who computed what is timing, so where more than one class took
//! part since the checkpoint a replay cannot reproduce what was; it is recorded and said, and what came after is void.
//! Keeps: with one class nothing differs unsaid; nothing of the void course is ever restored, exported or best.

use std::collections::BTreeSet;

use shared::error::{Code, Error};
use shared::ids::Step;

use super::Engine;
use super::event::{Command, Rewind};
use super::notice::Notice;

impl Engine {
    /// Whether the run may go on with what differs from before: then everything after the committed step is
    /// forgotten. Otherwise it has failed.
    pub(super) fn forks(&mut self, what: &str, why: Vec<String>) -> bool {
        self.device_classes.extend(self.classes_at_work());
        if self.device_classes.len() < 2 {
            let mut error = Error::new(
                Code::ReplayDiffers,
                format!("{what} came out differently than before"),
            );
            error.why = why;
            let error = error
                .why(format!(
                    "all of it was computed on one device class: {}",
                    self.device_classes
                        .iter()
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(" | ")
                ))
                .fix("was the driver or a library changed without its version changing?")
                .fix("--set output_dir=ANOTHER trains it again beside this one");
            self.fail(error);
            return false;
        }
        let (step, forked) = (self.committed, self.device_classes.clone());
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
        working.map(|m| m.device_class.clone()).collect()
    }
}
