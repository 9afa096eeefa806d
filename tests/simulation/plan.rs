//! What a seed means: the cluster, the schedule and the faults of one run.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

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
    Pause,
    Reset,
    Blackhole,
    OneWay,
    PeerCut,
    Slow,
    Hang,
    Drain,
    Join,
    CoordinatorKill,
    Interrupt,
    CheckpointFails,
    LedgerFails,
    CorruptSum,
    CorruptSlice,
    CorruptTotal,
    CorruptState,
    WrongCompute,
    Duplicate,
);

kinds!(
    Moment, Gathering, Assignment, Compute, Reduce, Apply, Commit, Checkpoint, Joining, Recovering,
);

/// One fault: it strikes at the first such moment from a step on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) moment: Moment,
    pub(crate) step: u64,
}

/// Everything a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) workers: usize,
    /// Steps there will be.
    pub(crate) steps: u64,
    /// Steps that are planned; patience may end the run before.
    pub(crate) planned: u64,
    /// Steps between evaluations, 0 for none.
    pub(crate) eval_every: u64,
    pub(crate) patience: Option<u32>,
    pub(crate) micro_batches: u32,
    pub(crate) save_steps: u64,
    pub(crate) min_workers: usize,
    pub(crate) max_workers: usize,
    pub(crate) audit_rate: f64,
    /// There is a loss scale, as in fp16.
    pub(crate) scaled: bool,
    pub(crate) faults: Vec<Fault>,
}

impl Setting {
    pub(crate) fn draw(dice: &mut Dice, kinds: &[Kind]) -> Self {
        let workers = dice.within(3, 6) as usize;
        let steps = dice.within(6, 9);
        // Not every moment comes; three strike in nearly every run, and the others are not counted.
        let count = dice.within(5, 9);
        let mut faults: Vec<Fault> = (0..count)
            .map(|_| {
                let kind = dice.pick(kinds);
                let moment = dice.pick(Moment::ALL);
                // A boundary that waits, and a coordinator that recovers, need a reason.
                let step = match moment {
                    Moment::Gathering => 0,
                    _ => dice.below(steps),
                };
                Fault { kind, moment, step }
            })
            .collect();
        // A coordinator recovers only when it was lost.
        let recovers = faults.iter().find(|f| f.moment == Moment::Recovering);
        if let Some(Fault { step, .. }) = recovers.copied() {
            faults.push(Fault {
                kind: Kind::CoordinatorKill,
                moment: dice.pick(&[Moment::Compute, Moment::Reduce, Moment::Apply]),
                step,
            });
        }
        let audited = faults.iter().any(|f| f.kind == Kind::WrongCompute);
        let (micro_batches, save_steps) = (dice.within(4, 8) as u32, dice.within(1, 4));
        // No draw of its own: the runs of old seeds stay what they were in everything else.
        let eval_every = (steps * 7 + u64::from(micro_batches) + save_steps * 3) % 4;
        let mut setting = Self {
            workers,
            steps,
            planned: steps,
            eval_every,
            patience: (eval_every == 1).then_some(2),
            micro_batches,
            save_steps,
            scaled: (workers as u64 + steps + save_steps).is_multiple_of(2),
            min_workers: dice.within(1, 2) as usize,
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
}
