//! A replay that comes out differently than before: a fork where unlike devices took part, an error elsewhere.
//!
//! Equal bytes are promised for one device class. Which worker computes a micro-batch is a matter of timing, so a
//! replay cannot reproduce steps in which more than one class had a part; the fork is recorded and said, and the steps
//! after it are void.
//! Keeps: with one class nothing differs unsaid; nothing of the void course is ever restored, exported or best.

use shared::error::{Code, Error};
use shared::ids::Step;

use super::Engine;
use super::event::{Command, Rewind};
use super::notice::Notice;

impl Engine {
    /// Whether the run may go on although a step came out differently than before. If so, forgets everything after the
    /// committed step; if not, the run has failed.
    pub(super) fn forks(&mut self, differs: Step, what: &str, why: Vec<String>) -> bool {
        let mut classes = self.states.device_classes_from(differs);
        classes.extend(self.members.classes_at_work());
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
        let (step, forked) = (self.states.committed, classes);
        self.states.void_later();
        self.outbox.notice(Notice::Forked {
            what: what.to_owned(),
            step,
            classes: forked.iter().cloned().collect(),
        });
        let state_digest = self.states.digests.get(&step).cloned();
        self.outbox.push(Command::Rewind(Rewind {
            step,
            state_digest,
            forked,
        }));
        self.evaluations.void_later();
        self.void_states_after(step);
        self.skipped.void_after(step);
        let void: Vec<Step> = self.checkpoints.stored.keys().copied().collect();
        for at in void.into_iter().filter(|at| *at > step) {
            let reason = format!("the run has taken another course after step {step}");
            self.checkpoints.set_aside(at, reason, &mut self.outbox);
        }
        true
    }
}
