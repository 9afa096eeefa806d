//! What a seed means: the cluster, the schedule and the faults of one run.
//!
//! In: the dice of a seed. Out: everything that is decided before anything happens.
//! Keeps: the same seed is the same run.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::sizes::Sizes;

/// Random numbers of one run, all from its seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }

    pub(crate) fn micros(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_micros(self.within(least, most))
    }
}

macro_rules! kinds {
    ($name:ident, $($variant:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($variant),* }
        impl $name {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

kinds!(
    Kind,
    Kill,
    KillAll,
    WriterKilledAtBest,
    Pause,
    Reset,
    ResetTwice,
    Blackhole,
    OneWay,
    PeerCut,
    Slow,
    Hang,
    Drain,
    DrainLast,
    Join,
    CoordinatorKill,
    CoordinatorStalls,
    Interrupt,
    CheckpointFails,
    CheckpointRots,
    StagingFails,
    PublicationHangs,
    LedgerFails,
    BitBeforeStage,
    CorruptSum,
    CorruptSlice,
    CorruptTotal,
    CorruptState,
    WrongCompute,
    Duplicate,
);

impl Kind {
    /// Something is damaged in the machine that it strikes: that machine may be called corrupt.
    pub(crate) fn plants(self) -> bool {
        matches!(
            self,
            Self::BitBeforeStage
                | Self::CorruptSum
                | Self::CorruptSlice
                | Self::CorruptTotal
                | Self::CorruptState
                | Self::WrongCompute
        )
    }

    /// The machine that it strikes may be missed, and evicted.
    pub(crate) fn explains_absence(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::KillAll
                | Self::WriterKilledAtBest
                | Self::Pause
                | Self::Reset
                | Self::ResetTwice
                | Self::Blackhole
                | Self::OneWay
                | Self::PeerCut
                | Self::Slow
                | Self::Hang
                | Self::DrainLast
        )
    }
}

kinds!(
    Moment, Gathering, Assignment, Compute, Reduce, Apply, Commit, Checkpoint, Joining, Recovering,
);

/// Moments as they are drawn: those that pass quickly more often.
const DRAWN: &[Moment] = &[
    Moment::Gathering,
    Moment::Gathering,
    Moment::Assignment,
    Moment::Compute,
    Moment::Reduce,
    Moment::Apply,
    Moment::Commit,
    Moment::Checkpoint,
    Moment::Joining,
    Moment::Joining,
    Moment::Recovering,
    Moment::Recovering,
];

/// One fault: it strikes at the first such moment from a step on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) moment: Moment,
    pub(crate) step: u64,
    /// Another one strikes so soon after it, microseconds, whatever the moment is then.
    pub(crate) followed_after: Option<u64>,
}

/// Everything a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) workers: usize,
    /// Two device classes take part: there is no reference, their integers differ.
    pub(crate) mixed: bool,
    /// Steps there will be.
    pub(crate) steps: u64,
    /// Steps that are planned; patience may end the run before.
    pub(crate) planned: u64,
    /// Steps between evaluations, 0 for none.
    pub(crate) eval_every: u64,
    pub(crate) patience: Option<u32>,
    /// Prompts that are answered at each evaluation.
    pub(crate) prompts: u32,
    pub(crate) sizes: Sizes,
    pub(crate) save_steps: u64,
    pub(crate) save_total_limit: Option<u32>,
    pub(crate) min_workers: usize,
    pub(crate) max_workers: usize,
    pub(crate) audit_rate: f64,
    /// There is a loss scale, as in fp16.
    pub(crate) scaled: bool,
    pub(crate) faults: Vec<Fault>,
}

impl Setting {
    pub(crate) fn draw(dice: &mut Dice, kinds: &[Kind]) -> Self {
        let sizes = Sizes::draw(dice);
        let workers = match dice.below(4) {
            0 => dice.within(7, 12),
            _ => dice.within(3, 6),
        };
        let planned = if sizes.is_slow() {
            dice.within(4, 6)
        } else {
            dice.within(6, 9)
        };
        let mixed = dice.one_in(6);
        // What patience decides is the result only where there is a reference.
        let eval_every = dice.below(4);
        let patience = (eval_every > 0 && !mixed && dice.one_in(2)).then_some(2);
        let faults = faults(dice, kinds, planned, mixed);
        let audited = faults.iter().any(|f| f.kind == Kind::WrongCompute);
        let mut setting = Self {
            workers: workers as usize,
            mixed,
            steps: planned,
            planned,
            eval_every,
            patience,
            prompts: if dice.one_in(3) { 2 } else { 0 },
            sizes,
            save_steps: dice.within(1, 4),
            save_total_limit: dice.pick(&[None, Some(1), Some(2), Some(3)]),
            scaled: dice.one_in(2),
            // Nobody audits one that works alone.
            min_workers: dice.within(1, 2).max(1 + u64::from(audited)) as usize,
            max_workers: if dice.one_in(4) { 3 } else { 64 },
            audit_rate: match (audited, dice.one_in(4)) {
                (true, _) => 1.0,
                (false, true) => 0.3,
                (false, false) => 0.0,
            },
            faults,
        };
        setting.steps = super::evaluation::reference(&setting).last.0;
        setting
    }

    /// Micro-batches of a step.
    pub(crate) fn micro_batches(&self, step: shared::ids::Step) -> u32 {
        self.sizes.count(step.0)
    }

    /// The best state is the result, not the last one.
    pub(crate) fn best_is_the_result(&self) -> bool {
        self.patience.is_some()
    }
}

/// Not every moment comes; three strike in nearly every run, and the others are not counted.
fn faults(dice: &mut Dice, kinds: &[Kind], steps: u64, mixed: bool) -> Vec<Fault> {
    let count = dice.within(7, 12);
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| draw_fault(dice, kinds, steps, mixed))
        .collect();
    // Of two that compute wrongly nobody can tell who is right.
    let wrong = faults.iter_mut().filter(|f| f.kind == Kind::WrongCompute);
    wrong.skip(1).for_each(|fault| fault.kind = Kind::Kill);
    // A coordinator recovers only when it was lost.
    let recovers = faults.iter().find(|f| f.moment == Moment::Recovering);
    if let Some(Fault { step, .. }) = recovers.copied() {
        faults.push(Fault {
            kind: Kind::CoordinatorKill,
            moment: dice.pick(&[Moment::Compute, Moment::Reduce, Moment::Apply]),
            step,
            followed_after: None,
        });
    }
    faults
}

fn draw_fault(dice: &mut Dice, kinds: &[Kind], steps: u64, mixed: bool) -> Fault {
    let kind = match dice.pick(kinds) {
        // Of two unlike devices nobody can tell which one is wrong.
        Kind::WrongCompute if mixed => Kind::Kill,
        kind => kind,
    };
    let moment = dice.pick(DRAWN);
    // A boundary that waits, and a coordinator that recovers, need a reason.
    let step = match moment {
        Moment::Gathering => 0,
        _ => dice.below(steps),
    };
    let followed = dice.one_in(3).then(|| dice.below(2_000_000));
    Fault {
        kind,
        moment,
        step,
        followed_after: followed,
    }
}
