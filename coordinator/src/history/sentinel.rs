//! The overfitting sentinel: says in words when a run memorizes its training rows.
//!
//! In: the evaluations so far. Out: alarms, each kind once. Pure: the same curves, the same words. The sentinel
//! compares the validation loss with that of a fixed sample of the training rows, both without dropout and on the same
//! state, so that their gap is no noise of batches.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::evaluation::EvaluationEntry;

/// Share of the best loss by which a later loss must be above it to count as risen.
const MARGIN: f64 = 0.02;
/// Number of evaluations in a row that must show a risen loss.
const IN_A_ROW: usize = 2;
/// Share of the sampled training rows written word for word from which on the run counts as memorizing.
const BY_HEART: f64 = 0.5;

/// Kinds of overfitting that the sentinel tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Sign {
    /// The validation loss rises while the training rows' loss falls.
    CurvesDiverge,
    /// The validation loss stays above its best.
    LossRisesAgain,
    /// The model writes training rows word for word, and other rows far worse.
    LearnedByHeart,
}

/// A sign of overfitting, with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// The kind of overfitting that was seen.
    pub sign: Sign,
    /// The step of the evaluation at which the sign was seen.
    pub step: u64,
    /// The step with the lowest validation loss.
    pub best_step: u64,
    /// The validation loss at [`Self::best_step`], in nats.
    pub best_loss: f64,
    /// The validation loss at [`Self::step`], in nats.
    pub loss: f64,
    /// The loss of the training rows at [`Self::best_step`], in nats.
    pub best_train_loss: f64,
    /// The loss of the training rows at [`Self::step`], in nats.
    pub train_loss: f64,
    /// Share of the sampled training rows that the model would write word for word, at [`Self::step`].
    pub verbatim: f64,
}

/// Watches the evaluations; each sign gives one alarm.
#[derive(Clone, Debug, Default)]
pub struct Sentinel {
    given: BTreeSet<Sign>,
}

impl Sentinel {
    /// Judges all evaluations so far; returns the alarms that were not given before.
    pub fn look(&mut self, evaluations: &[EvaluationEntry]) -> Vec<Alarm> {
        let found = signs(evaluations);
        let new = found.into_iter().filter(|a| self.given.insert(a.sign));
        new.collect()
    }
}

fn signs(evaluations: &[EvaluationEntry]) -> Vec<Alarm> {
    let finite = |e: &&EvaluationEntry| e.eval_loss.is_finite();
    let best = evaluations
        .iter()
        .filter(finite)
        .min_by(|a, b| a.eval_loss.total_cmp(&b.eval_loss));
    let (Some(best), Some(last)) = (best, evaluations.last()) else {
        return Vec::new();
    };
    let alarm = |sign| Alarm {
        sign,
        step: last.step,
        best_step: best.step,
        best_loss: best.eval_loss,
        loss: last.eval_loss,
        best_train_loss: best.eval_train_sample_loss,
        train_loss: last.eval_train_sample_loss,
        verbatim: last.eval_train_sample_verbatim,
    };
    let since = evaluations.iter().filter(|e| e.step > best.step);
    let above = since
        .rev()
        .take_while(|e| e.eval_loss > best.eval_loss * (1.0 + MARGIN))
        .count();
    let rises = above >= IN_A_ROW;
    let learns = last.eval_train_sample_loss < best.eval_train_sample_loss * (1.0 - MARGIN);
    let gap = last.eval_loss > 2.0 * last.eval_train_sample_loss + 0.1;
    let mut found = Vec::new();
    if rises && learns {
        found.push(alarm(Sign::CurvesDiverge));
    } else if rises {
        found.push(alarm(Sign::LossRisesAgain));
    }
    if last.eval_train_sample_verbatim >= BY_HEART && gap {
        found.push(alarm(Sign::LearnedByHeart));
    }
    found
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            best_step,
            best_loss,
            loss,
            best_train_loss,
            train_loss,
            verbatim,
            ..
        } = self;
        match self.sign {
            Sign::CurvesDiverge => write!(
                f,
                "overfitting at step {step}: the validation loss rose from {best_loss:.4} (step \
                 {best_step}, the best) to {loss:.4}, while that of the training rows fell from \
                 {best_train_loss:.4} to {train_loss:.4}"
            )?,
            Sign::LossRisesAgain => write!(
                f,
                "at step {step} the validation loss is {loss:.4}, above its best of {best_loss:.4} \
                 (step {best_step}) for {IN_A_ROW} evaluations"
            )?,
            Sign::LearnedByHeart => write!(
                f,
                "overfitting at step {step}: the model would write {:.0} % of the training rows \
                 looked at word for word (loss {train_loss:.4}), and has a loss of {loss:.4} on the \
                 validation rows; the best was step {best_step} with {best_loss:.4}",
                verbatim * 100.0
            )?,
        }
        f.write_str(
            "; fewer epochs, more or other data, lora_dropout or early_stopping_patience help",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(step: u64, validation: f64, trained: f64, verbatim: f64) -> EvaluationEntry {
        EvaluationEntry {
            epoch: step as f64,
            eval_loss: validation,
            eval_sample_loss: validation,
            eval_perplexity: validation.exp(),
            eval_accuracy: 0.5,
            eval_num_tokens: 100,
            eval_num_samples: 10,
            eval_train_sample_loss: trained,
            eval_train_sample_verbatim: verbatim,
            eval_parent_loss: None,
            step,
        }
    }

    fn signs_of(curve: &[(f64, f64, f64)]) -> Vec<(u64, Sign)> {
        let mut sentinel = Sentinel::default();
        let mut entries = Vec::new();
        let mut found = Vec::new();
        for (step, (validation, trained, verbatim)) in (1..).zip(curve) {
            entries.push(entry(step, *validation, *trained, *verbatim));
            let alarms = sentinel.look(&entries);
            found.extend(alarms.iter().map(|a| (a.step, a.sign)));
        }
        found
    }

    #[test]
    fn a_run_that_gets_better_is_left_in_peace() {
        let curve = [
            (3.0, 3.1, 0.0),
            (2.0, 1.9, 0.0),
            (1.6, 1.4, 0.1),
            (1.61, 1.2, 0.1),
        ];
        assert_eq!(signs_of(&curve), []);
    }

    #[test]
    fn curves_that_part_are_named_once_and_two_evaluations_have_to_say_so() {
        let curve = [
            (2.0, 2.0, 0.0),
            (1.5, 1.4, 0.0),
            (1.6, 1.0, 0.0),
            (1.9, 0.8, 0.0),
            (2.5, 0.5, 0.0),
        ];
        assert_eq!(signs_of(&curve), [(4, Sign::CurvesDiverge)]);
    }

    #[test]
    fn a_loss_that_rises_with_that_of_the_training_rows_is_no_overfitting_and_still_said() {
        let curve = [(1.5, 1.4, 0.0), (1.9, 1.8, 0.0), (3.0, 2.9, 0.0)];
        assert_eq!(signs_of(&curve), [(3, Sign::LossRisesAgain)]);
    }

    #[test]
    fn answers_known_by_heart_are_named_where_other_rows_are_far_worse() {
        assert_eq!(signs_of(&[(2.0, 0.1, 0.6)]), [(1, Sign::LearnedByHeart)]);
        assert_eq!(signs_of(&[(0.15, 0.1, 0.9)]), []);
    }

    #[test]
    fn the_words_name_the_best_step() {
        let entries = [
            entry(10, 1.5, 1.4, 0.0),
            entry(20, 1.7, 1.0, 0.0),
            entry(30, 1.9, 0.5, 0.0),
        ];
        let alarm = &Sentinel::default().look(&entries)[0];
        assert_eq!(
            alarm.to_string(),
            "overfitting at step 30: the validation loss rose from 1.5000 (step 10, the best) to 1.9000, \
             while that of the training rows fell from 1.4000 to 0.5000; fewer epochs, more or other \
             data, lora_dropout or early_stopping_patience help"
        );
    }
}
