//! The engine's options, given once: the run, the cost of its steps, and what the ledger remembers of it.

use std::collections::{BTreeMap, BTreeSet};

use shared::config::StabilityConfig;
use shared::evaluation::{Patience, SetSums};
use shared::ids::{Generation, RunId, Step, Term};
use shared::ledger::Parts;
use shared::wire::message::{SyncSource, Welcome};

use super::event::StoredCheckpoint;
use super::timeouts::Timeouts;

/// The kinds of work that have a time for a token of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkKind {
    /// Forward and backward; a second computation of one too.
    Train,
    /// A forward pass without a backward one.
    Evaluate,
    /// Greedy generation, one token after the other.
    Generate,
}

/// What a micro-batch costs to compute: its deadline grows with the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What the micro-batch is computed for: each kind has a pace of its own.
    pub kind: WorkKind,
    /// Tokens that are computed, padding included; for a prompt, the tokens of the longest answer too.
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

/// The run's settings, given to the engine once.
#[derive(Clone, Debug)]
pub struct Options {
    /// The run that messages must name; a worker of another run is refused.
    pub run: RunId,
    /// Term of this coordinator; messages of a lower term are stale.
    pub term: Term,
    /// The welcome of every admitted worker, before its name and the timeouts are filled in.
    pub welcome: Welcome,
    /// The device the configuration binds, `auto` when it does not.
    pub device: String,
    /// Only workers of one device class may take part.
    pub strict_devices: bool,
    /// The device class the run began with; `None` until the first worker's class is taken.
    pub device_class: Option<String>,
    /// Number of workers below which the run pauses at the next boundary.
    pub min_workers: usize,
    /// Largest number of members; workers beyond it wait as spares.
    pub max_workers: usize,
    /// Number of workers that the first step of this start waits for.
    pub wait_workers: usize,
    /// Steps between checkpoints.
    pub save_steps: u64,
    /// Number of newest checkpoints that are kept; the best one is kept in addition. `None` keeps all.
    pub save_total_limit: Option<u32>,
    /// Whether the best adapter is the result, not the last one.
    pub best_is_the_result: bool,
    /// Number of trained parameters: the time allowed for applying and hashing a state grows with it.
    pub parameters: u64,
    /// Share of micro-batches that a second worker computes too, 0 to 1.
    pub audit_rate: f64,
    /// What happens to steps whose loss or gradient is not finite.
    pub stability: StabilityConfig,
    /// How many evaluations without improvement end the run, and what counts as one.
    pub patience: Patience,
    /// All cluster timeouts, derived from `failure_detection`.
    pub timeouts: Timeouts,
    /// Folder for staged checkpoints; workers open it under this very path.
    pub staging: std::path::PathBuf,
}

/// A committed state that a worker can restore without a peer: from a checkpoint or from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restorable {
    /// The committed step whose state it is.
    pub step: Step,
    /// The checkpoint's folder, or the seed.
    pub source: SyncSource,
    /// Digest of that state; `None` for the seed's until a worker has hashed it.
    pub state_digest: Option<String>,
}

/// What the ledger tells a coordinator that is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The last committed step, 0 for none.
    pub committed: Step,
    /// State digests of committed steps, steps after a rewind included: a replay must reproduce them.
    pub digests: BTreeMap<Step, String>,
    /// The newest generation in the ledger; the next one counts on from it.
    pub generation: Generation,
    /// The step after which the run's ledger begins: 0, or the step of another run's checkpoint.
    pub begins_after: Step,
    /// Incarnations of the newest generation's members: the start waits for these processes.
    pub awaited: BTreeSet<String>,
    /// Every checkpoint on storage that the ledger knows, oldest first. Only the one that the run begins with was
    /// verified.
    pub stored: Vec<StoredCheckpoint>,
    /// Device classes that computed each step.
    pub parts: Parts,
    /// Sums of every evaluation, by step, steps after a rewind included.
    pub evaluations: BTreeMap<Step, Vec<SetSums>>,
    /// Step of the newest evaluation that no rewind has made void.
    pub evaluated: Option<Step>,
    /// Committed steps that applied nothing, steps after a rewind included; the value is true where no smaller loss
    /// scale could have helped.
    pub skipped: BTreeMap<Step, bool>,
}

/// Where the run begins when there is no checkpoint, and the checkpoints that it may go back to.
pub(super) fn beginnings(
    from: &Restorable,
    begins_after: Step,
    stored: Vec<StoredCheckpoint>,
) -> (Option<Restorable>, BTreeMap<Step, StoredCheckpoint>) {
    // The start has verified the newest usable checkpoint: later ones do not hold what the ledger says.
    let usable = stored.into_iter().filter(|s| s.step <= from.step);
    let mut stored: BTreeMap<_, _> = usable.map(|s| (s.step, s)).collect();
    let origin = match &from.source {
        SyncSource::Checkpoint(folder) if from.step != begins_after => {
            let here = StoredCheckpoint {
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
