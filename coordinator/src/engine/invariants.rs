//! What holds after every event, for tests and the simulation to ask.
//!
//! In: one event. Out: the engine's commands for it, and the first invariant that does not hold. Two kinds: what the
//! engine's state must be at any time, and what one event may lead to. Keeps: nothing of it runs in a coordinator; a
//! check is derived from the state anew and never from what the engine believes it has checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::ids::{Generation, Slot, Step, WorkerId};
use shared::wire::message::{Envelope, ToWorker};

use super::event::{Command, Event};
use super::state::{Phase, Reducing};
use super::straggler::COPIES;
use super::work::StepWork;
use super::{Engine, Member};

/// A broken invariant, in words for people.
type Broken = Result<(), String>;

/// What the checks remember of the engine from before an event.
struct Before {
    committed: Step,
    generation: Generation,
    working: BTreeSet<WorkerId>,
    /// Holders of each state that the run could not do without.
    holders: BTreeMap<Step, BTreeSet<WorkerId>>,
}

impl Engine {
    /// [`Engine::on`], and whether everything holds that must: a micro-batch is in one place and credited once, steps
    /// are committed one after the other, nobody is released who holds the only copy of a state that is owed.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words for people.
    pub fn on_checked(&mut self, event: Event, now: Duration) -> (Vec<Command>, Broken) {
        let before = Before::of(self);
        let commands = self.on(event, now);
        let holds = self.check().and_then(|()| before.check(self, &commands));
        (commands, holds)
    }

    /// What the state must be at any time.
    fn check(&self) -> Broken {
        self.members.check()?;
        self.check_states()?;
        match &self.phase {
            Phase::Computing(work) => {
                self.check_slots()?;
                self.check_assigned(work)?;
                self.check_work(work, false)
            }
            Phase::Reducing(reducing) => {
                self.check_slots()?;
                self.check_reduce(reducing)
            }
            _ => Ok(()),
        }
    }

    /// The committed state has the digest that the run remembers of it; nobody writes another state than the agreed
    /// one, or keeps one that has no agreed digest.
    fn check_states(&self) -> Broken {
        let (committed, digest) = (self.states.committed, &self.states.state_digest);
        // Until the recovery is over it is not decided where the run goes on.
        let decided = !matches!(self.phase, Phase::Recovering { .. });
        if let Some(digest) = digest
            && decided
            && self.states.contradicts(committed, digest)
        {
            return Err(format!("the state of step {committed} has two digests"));
        }
        if let Some(writing) = &self.checkpoints.writing
            && !self.states.vouches_for(writing.step, &writing.state_digest)
        {
            let step = writing.step;
            return Err(format!("what is written as step {step} is not agreed on"));
        }
        for (worker, member) in self.members.iter() {
            let unknown = |step: &&Step| !self.states.digests.contains_key(step);
            if let Some(step) = member.retains.iter().find(unknown) {
                return Err(format!("{worker} keeps step {step}, which has no digest"));
            }
        }
        Ok(())
    }

    /// The members' slots are 0, 1, 2, ...
    fn check_slots(&self) -> Broken {
        let working = self.members.working();
        let slots = working.iter().filter_map(|w| self.members.get(w)?.slot());
        if slots.eq((0..).map(Slot).take(working.len())) {
            return Ok(());
        }
        Err(format!("the slots of {working:?} have gaps"))
    }

    /// Whoever is assigned a micro-batch is a member and still has to answer for it; no micro-batch is with more
    /// workers than relief allows.
    fn check_assigned(&self, work: &StepWork) -> Broken {
        let step = self.states.committed.next();
        for (id, holders) in &work.assigned {
            if holders.is_empty() || holders.len() > COPIES {
                return Err(format!("micro-batch {id} is assigned to {holders:?}"));
            }
            for worker in holders {
                let owes = |m: &Member| {
                    let mut outstanding = m.outstanding.iter();
                    outstanding.any(|o| (o.step, o.micro_batch, o.task) == (step, *id, work.task))
                };
                let member = self.members.get(worker).filter(|m| m.is_working());
                if !member.is_some_and(owes) {
                    return Err(format!(
                        "micro-batch {id} is assigned to {worker}, which does not compute it"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everything is credited, and whoever has applied the total takes part in the reduce.
    fn check_reduce(&self, reducing: &Reducing) -> Broken {
        let Reducing { work, slots, .. } = reducing;
        if !work.is_computed() {
            return Err("a step is reduced before every micro-batch is credited".into());
        }
        let applied = reducing.applied.keys();
        if let Some(stranger) = applied.into_iter().find(|w| !slots.contains(w)) {
            return Err(format!(
                "{stranger} has applied a total without a part in it"
            ));
        }
        let working = self.members.working();
        let mut still = slots.iter().filter(|w| working.contains(w));
        self.check_work(work, still.all(|w| reducing.has_reduced(w)))
    }

    /// Every micro-batch is in one place, and its credit belongs to a member; a member may leave its credits behind
    /// once all others have `applied` the total that they are part of.
    fn check_work(&self, work: &StepWork, applied: bool) -> Broken {
        work.check()?;
        let works = |w: &WorkerId| self.members.get(w).is_some_and(Member::is_working);
        let mut credited = work.credited.iter();
        match credited.find(|(_, credited)| !applied && !works(&credited.worker)) {
            Some((id, credited)) => Err(format!(
                "micro-batch {id} is credited to {}, which does not work",
                credited.worker
            )),
            None => Ok(()),
        }
    }

    /// States that the run could not do without: the owed ones, and those that it would have to compute again.
    fn needed_states(&self) -> BTreeSet<Step> {
        let mut needed = self.owed();
        needed.insert(self.states.committed);
        needed.extend(self.best().filter(|_| self.options.best_is_the_result));
        needed.retain(|step| !self.checkpoints.is_on_storage(*step));
        needed
    }
}

impl Before {
    fn of(engine: &Engine) -> Self {
        let holders = engine.needed_states().into_iter();
        let holders = holders.map(|step| (step, engine.holders().of(step).into_iter().collect()));
        Self {
            committed: engine.states.committed,
            generation: engine.generations.newest,
            working: engine.members.working().iter().cloned().collect(),
            holders: holders.collect(),
        }
    }

    /// What one event may lead to.
    fn check(&self, engine: &Engine, commands: &[Command]) -> Broken {
        self.check_order(engine, commands)?;
        for command in commands {
            if let Command::Send { to, message } = command {
                self.check_message(engine, to, message)?;
            }
        }
        Ok(())
    }

    /// Steps are committed one after the other, with every micro-batch credited; generations count on by one; no
    /// worker is told of a commit before it is recorded.
    fn check_order(&self, engine: &Engine, commands: &[Command]) -> Broken {
        let (mut committed, mut generation) = (self.committed, self.generation);
        for command in commands {
            match command {
                Command::Commit(step) => {
                    if step.step != committed.next() {
                        return Err(format!("step {} follows step {committed}", step.step));
                    }
                    committed = step.step;
                    let micro_batches = engine.schedule.micro_batches(committed).len();
                    if step.credits.len() != micro_batches {
                        return Err(format!(
                            "step {committed} is committed with {} of {micro_batches} micro-batches",
                            step.credits.len()
                        ));
                    }
                }
                Command::Rewind(rewind) => committed = rewind.step,
                Command::Members(set) if !set.workers.is_empty() => {
                    if set.generation != generation.next() {
                        return Err(format!(
                            "generation {} follows generation {generation}",
                            set.generation
                        ));
                    }
                    generation = set.generation;
                }
                Command::Send { message, .. } => {
                    let told = matches!(message.body, ToWorker::Commit { .. });
                    let step = message.identity.step;
                    if told && step > committed {
                        return Err(format!("step {step} is told before it is recorded"));
                    }
                }
                _ => {}
            }
        }
        if committed != engine.states.committed {
            let other = engine.states.committed;
            return Err(format!("the run stands at {other}, and says {committed}"));
        }
        Ok(())
    }

    fn check_message(
        &self,
        engine: &Engine,
        to: &WorkerId,
        message: &Envelope<ToWorker>,
    ) -> Broken {
        match message.body {
            ToWorker::Release => self.check_release(engine, to),
            ToWorker::Assign(..) if engine.members.get(to).is_some_and(|m| !m.stays()) => {
                Err(format!("{to} is given work, and it is silent or drains"))
            }
            _ => Ok(()),
        }
    }

    /// The last holder of a state that is owed to storage does not leave: another one is heard and stays.
    fn check_release(&self, engine: &Engine, released: &WorkerId) -> Broken {
        let advanced = engine.states.committed > self.committed;
        for step in engine.needed_states() {
            let held = self.holders.get(&step).map_or_else(
                // A step that was committed in this event was applied by every member.
                || advanced && self.working.contains(released),
                |holders| holders.contains(released),
            );
            let stays = |w: &WorkerId| engine.members.get(w).is_some_and(Member::stays);
            if held && !engine.holders().of(step).iter().any(stays) {
                return Err(format!(
                    "{released} is released, and nobody else holds the state of step {step}"
                ));
            }
        }
        Ok(())
    }
}
