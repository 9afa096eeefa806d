//! What the engine is told once: the run, its steps and what they cost, and what was written down before.

use std::collections::{BTreeMap, BTreeSet};

use shared::config::StabilityConfig;
use shared::evaluation::{Patience, SetSums};
use shared::ids::{Generation, RunId, Step, Term};
use shared::ledger::Parts;
use shared::wire::message::{SyncSource, Welcome};

use super::event::Stored;
use super::ladder::Ladder;

/// What a micro-batch is computed for, as far as its time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkKind {
    /// Forward and backward; a second computation of one too.
    Train,
    /// Forward only.
    Evaluate,
    /// One token after the other.
    Generate,
}

/// What a micro-batch costs: deadlines follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What it is computed for.
    pub kind: WorkKind,
    /// Tokens that it computes, with padding; for a prompt, those of the longest answer too.
    pub tokens: u64,
}

/// How many steps there are, and what each micro-batch costs.
pub trait Schedule: Send {
    /// Optimizer steps of the whole run.
    fn total_steps(&self) -> u64;
    /// The micro-batches of one step, at least 1.
    fn micro_batches(&self, step: Step) -> Vec<Cost>;
    /// Whether the state of a step is evaluated.
    fn is_evaluated(&self, _step: Step) -> bool {
        false
    }
    /// The micro-batches of an evaluation.
    fn evaluation(&self) -> Vec<Cost> {
        Vec::new()
    }
    /// Sets that are evaluated.
    fn sets(&self) -> usize {
        0
    }
}

/// What the engine is told once.
#[derive(Clone, Debug)]
pub struct Options {
    /// The run.
    pub run: RunId,
    /// Version of the leadership.
    pub term: Term,
    /// What every admitted worker is told; its name and the times are filled in.
    pub welcome: Welcome,
    /// The device the configuration binds, `auto` when it does not.
    pub device: String,
    /// Only workers of one device class may take part.
    pub strict_devices: bool,
    /// The device class the run began with, when it is known.
    pub device_class: Option<String>,
    /// The run pauses below this many workers.
    pub min_workers: usize,
    /// More than this many wait as spares.
    pub max_workers: usize,
    /// Step 1 waits for this many.
    pub wait_workers: usize,
    /// Steps between checkpoints.
    pub save_steps: u64,
    /// How many checkpoints are kept; the best one stays beside them.
    pub save_total_limit: Option<u32>,
    /// Whether the best adapter is the result, not the last one.
    pub best_is_the_result: bool,
    /// Parameters that are trained: what applying and hashing a state may take.
    pub parameters: u64,
    /// Share of micro-batches that are computed twice.
    pub audit_rate: f64,
    /// What happens to steps that are not finite.
    pub stability: StabilityConfig,
    /// When evaluations end the run.
    pub patience: Patience,
    /// Every time there is.
    pub ladder: Ladder,
    /// Where checkpoints are staged, absolute.
    pub staging: std::path::PathBuf,
}

/// A state that can be had from storage or from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restorable {
    /// The committed step.
    pub step: Step,
    /// Where it lies.
    pub source: SyncSource,
    /// Its digest when known.
    pub state_digest: Option<String>,
}

/// What was written down before the coordinator went away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The last committed step, 0 for none.
    pub committed: Step,
    /// Digests of committed steps, of those that may come again too.
    pub digests: BTreeMap<Step, String>,
    /// The last generation.
    pub generation: Generation,
    /// The step after which the run's ledger begins: 0, or that of a checkpoint from elsewhere.
    pub begins_after: Step,
    /// Incarnations of its members: they are awaited.
    pub awaited: BTreeSet<String>,
    /// Every checkpoint on storage that the ledger knows, oldest first. None but the one that the run
    /// begins with has been looked through.
    pub stored: Vec<Stored>,
    /// Which device classes had a part in which steps.
    pub parts: Parts,
    /// Every evaluation there was, of steps that may come again too.
    pub evaluations: BTreeMap<Step, Vec<SetSums>>,
    /// The newest one that stands.
    pub evaluated: Option<Step>,
    /// Steps that applied nothing, of steps that may come again too; true where no smaller loss scale
    /// could have helped.
    pub skipped: BTreeMap<Step, bool>,
}

/// Where a run begins when there is no checkpoint, and what lies on storage.
pub(super) fn beginnings(
    from: &Restorable,
    begins_after: Step,
    stored: Vec<Stored>,
) -> (Option<Restorable>, BTreeMap<Step, Stored>) {
    // The run begins with the newest one that is what the ledger says: later ones are not.
    let usable = stored.into_iter().filter(|s| s.step <= from.step);
    let mut stored: BTreeMap<_, _> = usable.map(|s| (s.step, s)).collect();
    let origin = match &from.source {
        SyncSource::Checkpoint(folder) if from.step != begins_after => {
            let here = Stored {
                step: from.step,
                folder: folder.clone(),
                state_digest: from.state_digest.clone().unwrap_or_default(),
            };
            stored.insert(from.step, here);
            (begins_after == Step(0)).then_some(Restorable {
                step: Step(0),
                source: SyncSource::Initial,
                state_digest: None,
            })
        }
        _ => Some(from.clone()),
    };
    (origin, stored)
}
