//! The members of a generation, kept here so that only what changes has to be told.
//!
//! In: whole lists and changes. Out: the list, and why a change cannot be applied. Keeps: who stays moves up in
//! order into the slots of those who left, who came stands behind them, so that every member has the same list.

use std::collections::BTreeSet;

use shared::error::{Code, Error, Result};
use shared::ids::{Generation, Slot, WorkerId};
use shared::wire::message::{Member, MemberChange};

/// The members of the newest generation.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    /// The generation that the list is of; nothing before the first list of a session.
    generation: Option<Generation>,
    /// Members of the generation in the order of their slots.
    members: Vec<Member>,
}

impl Roster {
    /// Takes the list of a generation, whole or as what changed.
    ///
    /// # Errors
    /// [`Code::Internal`] when it changes another list than this one, or leaves other slots than it names.
    pub(super) fn apply(&mut self, generation: Generation, change: MemberChange) -> Result<()> {
        let MemberChange {
            since,
            left,
            members,
        } = change;
        if let Some(since) = since
            && self.generation != Some(since)
        {
            let held = match self.generation {
                Some(held) => format!("here is the list of generation {held}"),
                None => "here is no list yet".to_owned(),
            };
            let what = format!("the members of generation {generation} cannot be told");
            return Err(Error::new(Code::Internal, what).why(format!(
                "they were told as a change of generation {since}; {held}"
            )));
        }
        let mut list = match since {
            Some(_) => std::mem::take(&mut self.members),
            None => Vec::new(),
        };
        if !left.is_empty() {
            let left: BTreeSet<WorkerId> = left.into_iter().collect();
            list.retain(|member| !left.contains(&member.worker));
        }
        for (member, slot) in list.iter_mut().zip(0..) {
            member.slot = Slot(slot);
        }
        list.extend(members);
        if let Some((member, slot)) = list.iter().zip(0..).find(|(m, slot)| m.slot.0 != *slot) {
            let what = format!("the members of generation {generation} do not fit together");
            return Err(Error::new(Code::Internal, what).why(format!(
                "worker {} comes at place {slot} and was given slot {}",
                member.worker, member.slot
            )));
        }
        self.generation = Some(generation);
        self.members = list;
        Ok(())
    }

    /// Members of the generation in the order of their slots.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Number of members, at least this worker.
    pub(super) fn world_size(&self) -> usize {
        self.members.len().max(1)
    }

    /// Slot of a worker; nothing when it is no member.
    pub(super) fn slot_of(&self, worker: Option<&WorkerId>) -> Option<Slot> {
        let place = self.members.iter().find(|m| Some(&m.worker) == worker);
        place.map(|m| m.slot)
    }
}
