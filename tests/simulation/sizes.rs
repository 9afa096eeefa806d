//! How large micro-batches are and how long things take: drawn wide, so that no deadline fits by luck.
//!
//! In: the dice of a seed. Out: counts, tokens, costs and times, the same whenever they are asked for.
//! Keeps: a micro-batch takes from 1 ms to three times the knob, in proportion to its tokens.

use coordinator::engine::{Cost, WorkKind};
use shared::ids::{MicroBatchId, Step};

use super::plan::Dice;

const MS: u64 = 1000;
/// Tokens of a micro-batch at most.
pub(crate) const MOST_TOKENS: u64 = 200;
/// Three times the knob of the simulated cluster.
const LONGEST: u64 = 24_000 * MS;

/// How tokens are spread over the micro-batches of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Anything from 1 on.
    Even,
    /// One long row among short ones.
    LongAmongShort,
    /// All alike.
    Same(u64),
}

/// Sizes and times of one run.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    seed: u64,
    shape: Shape,
    /// Micro-batches of a step, least and most.
    counts: (u64, u64),
    /// What the largest micro-batch takes, microseconds.
    largest: u64,
    /// What a total, a state or a checkpoint needs to move at most, microseconds.
    pub(crate) transfer: u64,
    /// The device shows nothing while it goes backward.
    pub(crate) silent_backward: bool,
}

impl Sizes {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let shape = match dice.below(3) {
            0 => Shape::Even,
            1 => Shape::LongAmongShort,
            _ => Shape::Same(dice.within(1, MOST_TOKENS)),
        };
        // Each order of magnitude is as likely as the next.
        let largest = match dice.below(8) {
            0 => dice.within(1000 * MS, LONGEST),
            1 => dice.within(100 * MS, 1000 * MS),
            2..=4 => dice.within(20 * MS, 100 * MS),
            _ => dice.within(MS, 20 * MS),
        };
        let transfer = match dice.below(8) {
            0 => dice.within(1000 * MS, LONGEST),
            1 => dice.within(60 * MS, 1000 * MS),
            _ => dice.within(2 * MS, 60 * MS),
        };
        let many = largest < 50 * MS && dice.one_in(12);
        let counts = if many { (1, 200) } else { (3, 8) };
        Self {
            seed: dice.below(u64::MAX),
            shape,
            counts,
            largest,
            transfer,
            silent_backward: dice.one_in(3),
        }
    }

    /// Nothing takes longer than a fraction of a second.
    pub(crate) fn hasten(&mut self) {
        self.largest = self.largest.min(200 * MS);
        self.transfer = self.transfer.min(60 * MS);
    }

    /// Minutes of virtual time pass: clocks may tick more slowly.
    pub(crate) fn is_slow(&self) -> bool {
        self.largest.max(self.transfer) > 1000 * MS
    }

    /// How often a process looks at its clock, microseconds.
    pub(crate) fn tick(&self) -> u64 {
        if self.is_slow() { 400 * MS } else { 100 * MS }
    }

    /// How much a slow machine is slower.
    pub(crate) fn slow_factor(&self) -> u64 {
        if self.is_slow() { 3 } else { 10 }
    }

    pub(crate) fn count(&self, step: u64) -> u32 {
        let (least, most) = self.counts;
        (least + mix(self.seed ^ step) % (most - least + 1)) as u32
    }

    fn tokens(&self, step: u64, id: u32) -> u64 {
        let drawn = mix(self.seed ^ (step << 32) ^ u64::from(id + 1));
        match self.shape {
            Shape::Even => 1 + drawn % MOST_TOKENS,
            Shape::LongAmongShort if drawn.is_multiple_of(9) => MOST_TOKENS,
            Shape::LongAmongShort => 1 + drawn % 10,
            Shape::Same(tokens) => tokens,
        }
    }

    /// What a micro-batch of a step costs.
    pub(crate) fn train(&self, step: Step, id: MicroBatchId) -> Cost {
        Cost {
            kind: WorkKind::Train,
            tokens: self.tokens(step.0, id.0),
        }
    }

    /// What a micro-batch of an evaluation costs; from `parts` on they are prompts.
    pub(crate) fn evaluate(&self, id: MicroBatchId, parts: u32) -> Cost {
        let kind = if id.0 < parts {
            WorkKind::Evaluate
        } else {
            WorkKind::Generate
        };
        let tokens = self.tokens(u64::from(u32::MAX), id.0);
        Cost { kind, tokens }
    }

    /// The largest micro-batch of these steps, as a worker tries it before it takes part.
    pub(crate) fn largest_tokens(&self, steps: u64) -> u64 {
        let all = (1..=steps).flat_map(|step| (0..self.count(step)).map(move |id| (step, id)));
        let largest = all.map(|(step, id)| self.tokens(step, id)).max();
        largest.unwrap_or(1)
    }

    /// What a healthy device takes for it, microseconds.
    pub(crate) fn time(&self, cost: Cost) -> u64 {
        let whole = self.largest * cost.tokens / MOST_TOKENS;
        let time = match cost.kind {
            WorkKind::Train => whole,
            WorkKind::Evaluate => whole / 3,
            // One token after the other.
            WorkKind::Generate => whole * 2,
        };
        time.clamp(MS, LONGEST)
    }
}

/// A number that looks drawn and is a function of another one (splitmix64).
fn mix(of: u64) -> u64 {
    let mut z = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
