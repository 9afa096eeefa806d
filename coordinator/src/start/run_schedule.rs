//! What the engine deals out, as configuration and data give it: steps, evaluations, and their costs.
//!
//! In: the plans, the prompts. Out: a [`Schedule`]. Keeps: a cost is counted in tokens that are computed,
//! padding included, in the order of the micro-batches.

use std::sync::Arc;

use shared::evaluation::{EvaluationPlan, Prompts};
use shared::ids::Step;
use shared::plan::Plan;

use crate::engine::{Cost, Schedule, WorkKind};

/// The steps and evaluations of a run, and what each micro-batch costs.
pub(super) struct RunSchedule {
    plan: Arc<Plan>,
    evaluation: EvaluationPlan,
    /// Tokens of each prompt and of its longest answer.
    prompts: Vec<u64>,
}

impl RunSchedule {
    pub(super) fn new(plan: Arc<Plan>, evaluation: EvaluationPlan, prompts: &Prompts) -> Self {
        let longest = u64::from(prompts.max_new_tokens);
        let prompts = prompts.ids.iter().map(|ids| ids.len() as u64 + longest);
        Self {
            plan,
            evaluation,
            prompts: prompts.collect(),
        }
    }
}

impl Schedule for RunSchedule {
    fn total_steps(&self) -> u64 {
        self.plan.total_steps()
    }

    fn micro_batches(&self, step: Step) -> Vec<Cost> {
        let planned = self.plan.step(step);
        let tokens = planned.micro_batches.iter().map(|m| m.computed_tokens());
        costs(WorkKind::Train, tokens).collect()
    }

    fn is_evaluated(&self, step: Step) -> bool {
        self.evaluation.is_due(step)
    }

    fn evaluation(&self) -> Vec<Cost> {
        let sets = costs(WorkKind::Evaluate, self.evaluation.computed_tokens());
        let prompts = costs(WorkKind::Generate, self.prompts.iter().copied());
        sets.chain(prompts).collect()
    }

    fn sets(&self) -> usize {
        self.evaluation.sets()
    }
}

fn costs(kind: WorkKind, tokens: impl Iterator<Item = u64>) -> impl Iterator<Item = Cost> {
    tokens.map(move |tokens| Cost { kind, tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::tests::config;

    #[test]
    fn every_micro_batch_has_the_cost_of_its_kind() {
        let mut config = config();
        (config.batch_size, config.micro_batch_size) = (4, 2);
        config.gradient_accumulation_steps = 1;
        (config.shuffle, config.packing) = (false, false);
        config.evaluation.every = Some(2);
        let plan = Plan::new(&config, vec![1; 6], vec![9, 3, 200, 4, 5, 6]);
        let prompts = Prompts {
            ids: vec![vec![7; 5], vec![7; 50]],
            max_new_tokens: 100,
            ..Prompts::default()
        };
        let sets = [vec![(0, 9), (1, 3), (2, 200)]];
        let evaluation = EvaluationPlan::new(&config, 2, plan.total_steps(), &sets, &prompts);
        let schedule = RunSchedule::new(Arc::new(plan), evaluation, &prompts);
        let of = |costs: Vec<Cost>| {
            let pairs = costs.into_iter().map(|cost| (cost.kind, cost.tokens));
            pairs.collect::<Vec<_>>()
        };
        // Two rows beside each other, each as long as the longer one.
        let first = [(WorkKind::Train, 18), (WorkKind::Train, 400)];
        assert_eq!(of(schedule.micro_batches(Step(1))), first);
        assert_eq!(of(schedule.micro_batches(Step(2))), [(WorkKind::Train, 12)]);
        assert_eq!(
            of(schedule.evaluation()),
            [
                (WorkKind::Evaluate, 18),
                (WorkKind::Evaluate, 200),
                (WorkKind::Generate, 105),
                (WorkKind::Generate, 150),
            ]
        );
        assert!(!schedule.is_evaluated(Step(1)) && schedule.is_evaluated(Step(2)));
    }
}
