//! What holds after every event, for tests and the simulation to ask.

use std::collections::BTreeSet;

use super::Engine;
use super::state::{Phase, Reducing};

impl Engine {
    /// Every assignment and every credit belongs to a member that works, except the credits of one that left after all
    /// others had applied the total it is part of; every micro-batch is in one place only; one process has one session.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words for people.
    pub fn check_invariants(&self) -> Result<(), String> {
        let working = self.members.working();
        let working: BTreeSet<_> = working.iter().collect();
        let (work, applied) = match &self.phase {
            Phase::Computing(work) => (work, false),
            Phase::Reducing(reducing @ Reducing { work, slots, .. }) => {
                let mut still = slots.iter().filter(|w| working.contains(w));
                (work, still.all(|w| reducing.has_reduced(w)))
            }
            _ => return self.check_sessions(),
        };
        for (id, holders) in &work.assigned {
            if let Some(gone) = holders.iter().find(|w| !working.contains(w)) {
                return Err(format!(
                    "micro-batch {id} is assigned to {gone}, which does not work"
                ));
            }
            if work.credited.contains_key(id) || work.pool.contains(id) {
                return Err(format!("micro-batch {id} is in two places"));
            }
        }
        for (id, credited) in &work.credited {
            if !working.contains(&credited.worker) && !applied {
                let gone = &credited.worker;
                return Err(format!(
                    "micro-batch {id} is credited to {gone}, which does not work"
                ));
            }
        }
        self.check_sessions()
    }

    fn check_sessions(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for (worker, member) in self.members.iter() {
            let incarnation = &member.hello.incarnation;
            if !incarnation.is_empty() && !seen.insert(incarnation) {
                return Err(format!("{worker} is a second session of {incarnation}"));
            }
        }
        Ok(())
    }
}
