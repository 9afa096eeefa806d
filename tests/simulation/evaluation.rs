//! Simulated evaluations: numbers that depend on the state alone, and the course they must take.

use std::collections::BTreeMap;

use shared::evaluation::{Course, Patience, SetSums, WIDTH, width};
use shared::ids::{MicroBatchId, Step};
use shared::numerics::{self, AdapterState};
use worker::train::Replica;

use super::machine::{PARAMETERS, first_state, integers, rule};
use super::plan::Setting;

/// Micro-batches of an evaluation, without prompts.
pub(crate) const PARTS: u32 = 3;

/// What a run must come to when nothing goes wrong.
pub(crate) struct Reference {
    /// Digest of the state after each step.
    pub(crate) digests: BTreeMap<Step, String>,
    /// Sums of each evaluation.
    pub(crate) evaluations: BTreeMap<Step, Vec<SetSums>>,
    /// Answers of each evaluation.
    pub(crate) answers: BTreeMap<Step, Vec<i64>>,
    /// The loss scales of all steps.
    pub(crate) scales: Vec<u64>,
    /// Steps that are skipped.
    pub(crate) skipped: u64,
    /// The last step: the planned one, or the one patience ends with.
    pub(crate) last: Step,
    /// The step whose state is the result.
    pub(crate) result: Step,
}

/// Micro-batches of an evaluation, with prompts.
pub(crate) fn parts(setting: &Setting) -> u32 {
    PARTS + setting.prompts
}

/// Integers of an evaluation.
pub(crate) fn integers_of(setting: &Setting) -> usize {
    width(1) + setting.prompts as usize
}

/// Sums of one micro-batch of an evaluation, as a device of a class computes them.
pub(crate) fn sums(state: &AdapterState, id: MicroBatchId, class: u8, prompts: u32) -> Vec<i64> {
    let text = format!("evaluation {} {id}", numerics::params_digest(state));
    let hash = blake3::hash(text.as_bytes());
    let drawn = i64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]));
    let mut answers = vec![0; prompts as usize];
    let sums = match id.0.checked_sub(PARTS) {
        Some(prompt) => {
            answers[prompt as usize] = drawn;
            SetSums::default()
        }
        None => SetSums {
            loss: (drawn << 20) + i64::from(class),
            sample_loss: drawn << 20,
            targets: 1,
            samples: 1,
            ..SetSums::default()
        },
    };
    let mut values = sums.to_array().to_vec();
    values.extend(answers);
    values.push(1);
    values
}

/// Whether the state of this step is evaluated.
pub(crate) fn is_due(setting: &Setting, step: Step) -> bool {
    let last = step.0 == setting.planned;
    setting.eval_every > 0 && step.0 > 0 && (last || step.0.is_multiple_of(setting.eval_every))
}

pub(crate) fn patience(setting: &Setting) -> Patience {
    Patience {
        evaluations: setting.patience,
        threshold: 0.0,
    }
}

/// The run of a single worker without any fault.
pub(crate) fn reference(setting: &Setting) -> Reference {
    let mut replica = Replica::new(PARAMETERS);
    replica.adopt(first_state(setting.scaled));
    let (mut digests, mut answers) = (BTreeMap::new(), BTreeMap::new());
    let mut course = Course::new(patience(setting), BTreeMap::new());
    let mut last = Step(setting.planned);
    let (mut scales, mut skipped) = (Vec::new(), 0);
    for step in (1..=setting.planned).map(Step) {
        let mut total = Vec::new();
        for id in (0..setting.micro_batches(step)).map(MicroBatchId) {
            let part = integers(replica.state(), step, id, 0);
            total.resize(part.len(), 0);
            numerics::accumulate(&mut total, &part);
        }
        let rule = rule(step, setting.micro_batches(step));
        let applied = replica.apply(&rule, total, 1).unwrap();
        replica.commit(step).unwrap();
        scales.extend(applied.loss_scale.map(|scale| scale.scale));
        skipped += u64::from(applied.skipped);
        digests.insert(step, applied.state_digest);
        if is_due(setting, step) {
            let (sums, said) = evaluated(replica.state(), setting);
            course.add(step, vec![sums]);
            answers.insert(step, said);
            if course.standing(step).stops {
                last = step;
                break;
            }
        }
    }
    let best = course.standing(last).best.map(|(step, _)| step);
    let result = best.filter(|_| setting.best_is_the_result());
    Reference {
        scales,
        skipped,
        digests,
        evaluations: course.up_to(last),
        answers,
        last,
        result: result.unwrap_or(last),
    }
}

fn evaluated(state: &AdapterState, setting: &Setting) -> (SetSums, Vec<i64>) {
    let mut total = vec![0; integers_of(setting)];
    for id in (0..parts(setting)).map(MicroBatchId) {
        numerics::accumulate(&mut total, &sums(state, id, 0, setting.prompts));
    }
    let (sets, answers) = total.split_at(WIDTH);
    let (sets, _) = sets.as_chunks::<WIDTH>();
    let answers = answers.split_last().map_or(&[][..], |(_, answers)| answers);
    (SetSums::from_array(sets[0]), answers.to_vec())
}
