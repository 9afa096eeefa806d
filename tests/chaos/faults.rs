//! The faults of the matrix.

/// Who is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// One of the workers, by `LORA_FAULTS`.
    Worker,
    /// The coordinator, by `LORA_FAULTS`; it is started again.
    Coordinator,
    /// Nobody: a worker joins.
    Joiner,
}

/// What the victim is expected to cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing that was credited is computed again.
    Nothing,
    /// What the victim had in this step, at most.
    ItsOwn,
}

/// One row of the matrix.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) victim: Victim,
    /// What the victim finds in its environment.
    pub(crate) planned: &'static str,
    /// Further settings of the run.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// It makes sense from so many workers on.
    pub(crate) least_workers: usize,
    pub(crate) cost: Cost,
    /// Part of what people are told, or of what the log says of who computed.
    pub(crate) said: &'static str,
}

impl Fault {
    /// What is said when its victim is known to be gone, and nobody else is there.
    pub(crate) fn gone(&self) -> &'static str {
        match self.planned.ends_with("=hang") {
            true => "its device does not finish micro-batch",
            false => self.said,
        }
    }

    /// Where it strikes, as the victim says it.
    pub(crate) fn places(&self) -> Vec<String> {
        let place = |one: &str| {
            let (place, action) = one.split_once('=')?;
            let (phase, step) = place.split_once('@')?;
            let action = match action {
                "hang" => "Hang",
                "flip" => "Flip",
                other => other,
            };
            Some(format!("{action} at {phase} of step {step}"))
        };
        self.planned.split(',').filter_map(place).collect()
    }
}

const fn fault(
    name: &'static str,
    victim: Victim,
    planned: &'static str,
    cost: Cost,
    said: &'static str,
) -> Fault {
    Fault {
        name,
        victim,
        planned,
        settings: &[],
        least_workers: 1,
        cost,
        said,
    }
}

const fn corrupt(name: &'static str, planned: &'static str, said: &'static str) -> Fault {
    Fault {
        least_workers: 2,
        ..fault(name, Victim::Worker, planned, Cost::ItsOwn, said)
    }
}

use Cost::{ItsOwn, Nothing};
use Victim::{Coordinator, Joiner, Worker};

#[rustfmt::skip]
pub(crate) const FAULTS: &[Fault] = &[
    fault("kill at assignment", Worker, "assignment@3=kill", ItsOwn, "left: its session broke"),
    fault("kill at compute", Worker, "compute@3=kill", ItsOwn, "left: its session broke"),
    fault("kill at sum", Worker, "sum@3=kill", ItsOwn, "left: its session broke"),
    fault("kill at reduce", Worker, "reduce@3=kill", ItsOwn, "left: its session broke"),
    fault("kill at apply", Worker, "apply@3=kill", ItsOwn, "left: its session broke"),
    fault("kill at commit", Worker, "commit@3=kill", ItsOwn, "left: its session broke"),
    fault("kill at checkpoint", Worker, "checkpoint@2=kill,checkpoint@4=kill", ItsOwn, "left: its session broke"),
    fault("stop at compute", Worker, "compute@3=stop", ItsOwn, "silent for longer than its lease"),
    fault("stop at reduce", Worker, "reduce@3=stop", ItsOwn, "evicted"),
    fault("stop at apply", Worker, "apply@3=stop", ItsOwn, "evicted"),
    fault("stop at commit", Worker, "commit@3=stop", ItsOwn, "evicted"),
    fault("drain at assignment", Worker, "assignment@3=term", Nothing, "drained, nothing was lost"),
    fault("drain at compute", Worker, "compute@3=term", Nothing, "drained, nothing was lost"),
    fault("drain at reduce", Worker, "reduce@3=term", Nothing, "drained, nothing was lost"),
    fault("drain at commit", Worker, "commit@3=term", Nothing, "drained, nothing was lost"),
    fault("hang at compute", Worker, "compute@3=hang", ItsOwn, "worker-1 computed nothing after step 2"),
    fault("coordinator kill at assign", Coordinator, "assign@3=kill", Nothing, "the same step goes on"),
    fault("coordinator kill at credit", Coordinator, "credit@3=kill", Nothing, "the same step goes on"),
    fault("coordinator kill at reduce", Coordinator, "reduce@3=kill", Nothing, "the same step goes on"),
    fault("coordinator kill at record", Coordinator, "record@3=kill", Nothing, "the same step goes on"),
    fault("coordinator kill at commit", Coordinator, "commit@3=kill", Nothing, "the same step goes on"),
    fault("coordinator kill at checkpoint", Coordinator, "checkpoint@3=kill", Nothing, "the same step goes on"),
    fault("coordinator drain", Coordinator, "credit@3=term", Nothing, "going on from step"),
    fault("join", Joiner, "", Nothing, "generation 2: "),
    corrupt("bit in the sum", "sum@3=flip", "its sum is not the sum of its credits"),
    corrupt("bit in a received total", "received@3=flip", "corrupt"),
    corrupt("bit in the adapter", "apply@3=flip", "the state of step 2 changed in memory"),
    corrupt("bit in a moment", "moments@3=flip", "its committed state changed in memory"),
    Fault {
        settings: &[("audit_rate", "1")],
        ..corrupt("wrong compute", "compute@3=flip", "wrongly")
    },
];

/// The short form: (workers, fault).
pub(crate) const SHORT: &[(usize, &str)] = &[
    (2, "kill at compute"),
    (2, "kill at commit"),
    (3, "kill at reduce"),
    (3, "stop at apply"),
    (2, "drain at compute"),
    (2, "hang at compute"),
    (2, "coordinator kill at credit"),
    (3, "coordinator kill at record"),
    (3, "coordinator kill at commit"),
    (2, "coordinator drain"),
    (2, "join"),
    (3, "bit in the sum"),
    (2, "bit in the adapter"),
    (3, "bit in a moment"),
    (3, "wrong compute"),
];
