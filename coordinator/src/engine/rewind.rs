//! The run goes on from another committed step: back to a state on storage, or forward to one that a worker brings.
//!
//! In: who holds what, what is on storage. Out: the step to go on from, told to the driver before anything else. Keeps:
//! steps that are repeated must reproduce their digests; a state that is ahead of the run and held by a worker wins.

use std::collections::BTreeSet;

use shared::error::{Code, Error};
use shared::ids::Step;

use super::event::{Command, Rewind};
use super::members::MemberState;
use super::notice::Notice;
use super::state::Phase;
use super::{Engine, Restorable};

impl Engine {
    /// The state that a run goes back to when nobody holds the committed one; fails the run when there is none.
    pub(super) fn point_to_go_back_to(&mut self) -> Option<Restorable> {
        let point = self.restart_point();
        if point.is_none() {
            let what = "nobody holds the state, and no checkpoint that can be used is left";
            let error = Error::new(Code::NoCheckpoint, what)
                .fix("--set resume_from_checkpoint=FOLDER, the one this run began with");
            self.fail(error);
        }
        point
    }

    /// Sets the run to a state on storage, back or forward. Steps that are repeated must reproduce their digests.
    pub(super) fn rewind(&mut self, to: Restorable) {
        let known = to
            .state_digest
            .or_else(|| self.states.digests.get(&to.step).cloned());
        if (self.states.committed, &self.states.state_digest) == (to.step, &known) {
            return;
        }
        self.goes_on_from(to.step, known);
        for worker in self.members.those(|_, m| m.is_working()) {
            self.members.set_state(&worker, MemberState::Loaded);
        }
    }

    /// Makes `step` the committed one. A run that was about to finish goes on.
    fn goes_on_from(&mut self, step: Step, state_digest: Option<String>) {
        self.states.go_on_from(step, state_digest);
        self.evaluations.rewind(step);
        self.phase = Phase::Gathering;
        self.step.hung_on.clear();
        let forked = BTreeSet::new();
        self.outbox.push(Command::Rewind(Rewind {
            step,
            state_digest: self.states.state_digest.clone(),
            forked,
        }));
        for worker in self
            .members
            .those(|_, m| matches!(m.state(), MemberState::Ready { .. }))
        {
            self.members.set_state(&worker, MemberState::Loaded);
        }
    }

    /// Moves a run that had gone back to a later committed state that a worker has brought back: no step need be
    /// repeated.
    pub(super) fn go_forward(&mut self, step: Step) {
        let digest = self.states.digests.get(&step).cloned();
        self.outbox.notice(Notice::GoesForward { step });
        for behind in self.members.those(|_, m| m.is_working()) {
            self.members.set_state(&behind, MemberState::Loaded);
        }
        self.goes_on_from(step, digest);
    }

    /// Where the best state is the result and is lost before it was on storage, goes back so that it is computed again,
    /// with the same bytes. Returns whether the boundary must wait or has changed.
    pub(super) fn replays_the_best(&mut self) -> bool {
        let Some(best) = self.lost_best() else {
            return false;
        };
        if self.members.somebody_is_on_its_way() {
            return true;
        }
        let Some(point) = self.point_to_go_back_to() else {
            return true;
        };
        if point.step > best {
            let what =
                format!("the best state, that of step {best}, lies before where this run began");
            let error = Error::new(Code::NoCheckpoint, what)
                .why(format!(
                    "it began after step {}, and nobody holds it",
                    point.step
                ))
                .fix(format!(
                    "--set resume_from_checkpoint=FOLDER, the checkpoint of step {best}"
                ));
            self.fail(error);
            return true;
        }
        self.outbox.notice(Notice::BestLost {
            step: best,
            from: point.step,
        });
        self.rewind(point);
        true
    }
}
