//! The simulated coordinator as a process: it starts from what is on storage, hears, stops.
//!
//! In: events of sessions and of its own tasks, in order. Out: commands, which `obey` carries out.
//! Keeps: after every event the engine's own invariants hold.

use std::path::PathBuf;
use std::time::Duration;

use coordinator::engine::{Cost, Engine, Event, Options, Schedule, Timeouts};
use shared::ids::{Identity, MicroBatchId, RunId, Step, Term, WorkerId};
use shared::wire::message::{Envelope, FromWorker, ToWorker, Welcome};

use super::evaluation;
use super::invariants::{Holder, Violation};
use super::machine::PARAMETERS;
use super::plan::{Moment, Setting};
use super::world::{Item, World};

const MS: u64 = 1000;

struct Planned(Setting);

impl Schedule for Planned {
    fn total_steps(&self) -> u64 {
        self.0.planned
    }

    fn micro_batches(&self, step: Step) -> Vec<Cost> {
        let all = (0..self.0.micro_batches(step)).map(MicroBatchId);
        all.map(|id| self.0.sizes.train(step, id)).collect()
    }

    fn sets(&self) -> usize {
        1
    }

    fn is_evaluated(&self, step: Step) -> bool {
        evaluation::is_due(&self.0, step)
    }

    fn evaluation(&self) -> Vec<Cost> {
        let all = (0..evaluation::parts(&self.0)).map(MicroBatchId);
        let sizes = &self.0.sizes;
        all.map(|id| sizes.evaluate(id, evaluation::PARTS))
            .collect()
    }
}

/// For a planted bug: every micro-batch is told to be as small as the next.
struct Sizeless(Planned);

fn sizeless(costs: Vec<Cost>) -> Vec<Cost> {
    let one = |cost: Cost| Cost { tokens: 1, ..cost };
    costs.into_iter().map(one).collect()
}

impl Schedule for Sizeless {
    fn total_steps(&self) -> u64 {
        self.0.total_steps()
    }

    fn micro_batches(&self, step: Step) -> Vec<Cost> {
        sizeless(self.0.micro_batches(step))
    }

    fn sets(&self) -> usize {
        self.0.sets()
    }

    fn is_evaluated(&self, step: Step) -> bool {
        self.0.is_evaluated(step)
    }

    fn evaluation(&self) -> Vec<Cost> {
        sizeless(self.0.evaluation())
    }
}

/// What a coordinator of this term is told.
pub(crate) fn options(setting: &Setting, term: Term, timeouts: Timeouts) -> Options {
    Options {
        run: RunId("r".into()),
        term,
        welcome: Welcome::default(),
        device: "auto".into(),
        strict_devices: false,
        device_class: None,
        min_workers: setting.min_workers,
        max_workers: setting.max_workers,
        wait_workers: if term.0 == 1 {
            setting.workers.min(3)
        } else {
            setting.min_workers
        },
        save_steps: setting.save_steps,
        save_total_limit: setting.save_total_limit,
        best_is_the_result: setting.best_is_the_result(),
        parameters: PARAMETERS as u64,
        audit_rate: setting.audit_rate,
        stability: Default::default(),
        patience: evaluation::patience(setting),
        timeouts,
        staging: PathBuf::from("/s"),
    }
}

/// What each step has to compute.
pub(crate) fn schedule(setting: &Setting, has_sizes: bool) -> Box<dyn Schedule> {
    let planned = Planned(setting.clone());
    if has_sizes {
        Box::new(planned)
    } else {
        Box::new(Sizeless(planned))
    }
}

impl World {
    /// A sign of life on every stream, as the driver gives it.
    pub(crate) fn beat(&mut self) {
        let streams: Vec<WorkerId> = self.streams.keys().cloned().collect();
        for worker in streams {
            let message = Envelope {
                identity: Identity::default(),
                body: ToWorker::Beat,
            };
            self.send_down(&worker, message);
        }
    }

    pub(crate) fn start_coordinator(&mut self) {
        if self.engine.is_some() || self.complete {
            return;
        }
        self.term = self.term.next();
        let (from, remembered) = self.store.recall(self.term);
        // What was not on storage is gone, and may be committed again.
        self.judge.recalled(&remembered, &self.store);
        self.sessions = 0;
        self.engine_started = self.now;
        self.expect_members();
        let remembered = self.planted.remembers(remembered);
        let options = options(&self.setting, self.term, self.timeouts);
        self.moment = if remembered.awaited.is_empty() {
            Moment::Gathering
        } else {
            Moment::Recovering
        };
        let text = format!(
            "coordinator term {} from {} remembers {:?}",
            self.term, from.step, remembered.committed
        );
        self.say(|| text);
        let schedule = schedule(&self.setting, !self.planted.has_no_sizes());
        self.engine = Some(Engine::new(options, schedule, from, remembered));
    }

    /// Every machine of the newest member set is on its way back from now on.
    fn expect_members(&mut self) {
        let awaited = self.store.awaited();
        let now = self.now;
        self.lost.clear();
        for (m, machine) in self.machines.iter().enumerate() {
            if machine.alive && awaited.contains(&format!("i{m}")) {
                self.lost.insert(m, now);
            }
        }
    }

    /// The process is gone: streams break, what is on its way may still arrive or not.
    pub(crate) fn stop_coordinator(&mut self, micros: u64) {
        self.engine = None;
        self.open.clear();
        self.members.clear();
        self.forget_waiting();
        for (name, stream) in std::mem::take(&mut self.streams) {
            let delay = self.dice.within(0, 20 * MS);
            self.after(delay, Item::Broken(stream.machine, name, "gone".into()));
        }
        self.after(micros, Item::CoordinatorStarts);
    }

    /// Its process stands still, as on a suspended machine; it is woken before anybody restarts it.
    pub(crate) fn stall_coordinator(&mut self, micros: u64) {
        // One stall right after another is one to the workers: together they stay below what these ride through.
        let (began, ended) = self.last_stall;
        let goes_on = self.now < ended + self.timeouts.lease;
        let began = if goes_on { began } else { self.now };
        let until = self.now + Duration::from_micros(micros);
        let until = until.min(began + self.timeouts.lease * 5);
        if until <= self.now {
            return;
        }
        self.last_stall = (began, until.max(ended));
        if self.stalled_until.is_none_or(|before| before < until) {
            self.stalled_until = Some(until);
            self.at(until, Item::CoordinatorGoesOn);
        }
    }

    /// Messages of a stream that is gone may come late: the engine must not know them any more.
    pub(crate) fn coordinator_hears(
        &mut self,
        name: &WorkerId,
        event: Event,
    ) -> Result<(), Violation> {
        let open = self.streams.contains_key(name) || matches!(event, Event::Closed { .. });
        if !open && (matches!(event, Event::Opened { .. }) || !self.dice.one_in(3)) {
            return Ok(());
        }
        match &event {
            Event::Opened { worker, hello } => {
                self.judge.opened(worker, hello);
                self.open.insert(worker.clone());
                if let Some(m) = self.judge.owner(worker) {
                    self.lost.remove(&m);
                }
            }
            Event::Closed { worker, .. } => self.closed(worker),
            Event::Message { envelope, .. } if matches!(envelope.body, FromWorker::Applied(_)) => {
                self.moment = Moment::Apply;
            }
            _ => {}
        }
        self.coordinator(event)
    }

    /// The engine hears that a session broke: of a member it must wait for its return.
    fn closed(&mut self, worker: &WorkerId) {
        self.streams.remove(worker);
        let known = self.open.remove(worker);
        let Some(m) = self.judge.owner(worker) else {
            return;
        };
        if known && self.members.contains(worker) && self.machines[m].alive {
            self.lost.insert(m, self.now);
        }
    }

    pub(crate) fn coordinator(&mut self, event: Event) -> Result<(), Violation> {
        let bug = self.planted.bug();
        let event = match bug {
            Some(bug) => bug.meddle_event(self, event),
            None => Some(event),
        };
        let Some(event) = event else { return Ok(()) };
        let since = self.now.saturating_sub(self.engine_started);
        let Some(engine) = self.engine.as_mut() else {
            return Ok(());
        };
        let beats = |e: &Event| matches!(e, Event::Message { envelope, .. } if matches!(envelope.body, FromWorker::Beat(_)));
        let quiet = matches!(event, Event::Tick) || beats(&event);
        let text = if quiet {
            String::new()
        } else {
            format!("> {event:?}")
        };
        let (commands, sound) = engine.on_checked(event, since);
        if !quiet {
            self.say(|| text.chars().take(300).collect());
        }
        sound.map_err(|what| Violation::new("engine", what))?;
        for command in commands {
            let command = match bug {
                Some(bug) => bug.meddle_command(self, command),
                None => Some(command),
            };
            if let Some(command) = command {
                self.obey(command)?;
            }
        }
        Ok(())
    }

    /// Who holds a committed state, as far as the engine can know: members by their sessions, and those whose
    /// lines broke a short while ago.
    pub(crate) fn holders(&self, without: Option<&WorkerId>) -> Vec<Holder> {
        let rejoin = self.timeouts.rejoin * 7 / 8;
        let best = self.judge.best();
        let has_best = |m: usize| {
            let replica = &self.machines[m].replica;
            let frozen = best.and_then(|step| replica.frozen(step));
            let digest = frozen.map(|state| shared::numerics::state_digest(&state));
            digest.is_some() && digest.as_ref() == best.and_then(|step| self.judge.digest(step))
        };
        let here = self.open.iter().filter(|name| Some(*name) != without);
        let here = here.filter_map(|name| {
            let machine = self.judge.owner(name)?;
            let state = self.machines[machine].replica.state();
            let digest = shared::numerics::state_digest(state);
            let alive = self.machines[machine].alive;
            Some(Holder {
                machine,
                step: state.step,
                told: alive && self.judge.told(name) == Some((state.step, &digest)),
                best: has_best(machine),
                on_its_way: None,
            })
        });
        let away = self.lost.iter().filter_map(|(m, since)| {
            let machine = &self.machines[*m];
            let ago = self.now.saturating_sub(*since);
            let state = machine.replica.state();
            let digest = shared::numerics::state_digest(state);
            let sound = self.judge.digest(state.step) == Some(&digest);
            (machine.alive && sound && ago < rejoin).then(|| Holder {
                machine: *m,
                step: state.step,
                told: false,
                best: has_best(*m),
                on_its_way: Some(ago),
            })
        });
        here.chain(away).collect()
    }
}
