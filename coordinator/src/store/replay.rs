//! What a restart needs beside the state: the commits since the newest checkpoint, and the device classes that took
//! part.
//!
//! In: records as they are read. Out: for the checkpoint that the run goes on from, the commits after it, and the
//! digests that a repeated step must reproduce; the device classes that computed each step.
//! Keeps: commits since the newest checkpoint only, however long the run is; for an older checkpoint [`Replay::since`]
//! gives `None`, and the ledger is read once more. Digests of all steps: a committed step binds every replay of it, as
//! the ledger's rules have it, until a fork makes it void.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::Step;
use shared::ledger::{Checkpoint, Commit, Parts, Record};

/// Follows a ledger's records, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Commits up to this step are not kept.
    kept_after: Step,
    /// Whether the step in `kept_after` was asked for: then newer checkpoints do not move it.
    asked: bool,
    /// Kept commits by step; those after `committed` were rewound and may come again.
    commits: BTreeMap<Step, Commit>,
    committed: Step,
    digests: BTreeMap<Step, String>,
    checkpoints: BTreeMap<Step, Checkpoint>,
    /// Device classes of the newest member set.
    classes: BTreeSet<String>,
    parts: Parts,
}

/// The commits after a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitsAfter {
    /// Commits of steps that stand, in order.
    pub commits: Vec<Commit>,
    /// Commits of steps that were rewound and may come again, in order.
    pub rewound: Vec<Commit>,
}

impl Replay {
    /// A replay that keeps every commit after `step`, whatever checkpoints there are.
    #[must_use]
    pub fn after(step: Step) -> Self {
        Self {
            kept_after: step,
            asked: true,
            ..Self::default()
        }
    }

    /// Takes in the ledger's next record.
    pub fn follow(&mut self, record: &Record) {
        match record {
            Record::Commit(commit) => {
                self.committed = commit.step;
                let digest = commit.state_digest.clone();
                self.digests.insert(commit.step, digest);
                if commit.step > self.kept_after {
                    self.commits.insert(commit.step, commit.clone());
                }
                self.parts.took(&self.classes, commit.step);
            }
            Record::Evaluation(evaluation) => self.parts.took(&self.classes, evaluation.step),
            Record::Rewind(rewind) => self.rewind(rewind.step, !rewind.forked.is_empty()),
            Record::Members(members) => {
                self.classes = members.device_classes.iter().cloned().collect();
                // As in the engine: a member of this set may compute part of the next step and be gone at its commit.
                self.parts.took(&self.classes, self.committed.next());
            }
            Record::Checkpoint(checkpoint) if checkpoint.set_aside.is_some() => {
                self.checkpoints.remove(&checkpoint.step);
            }
            Record::Checkpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.step, checkpoint.clone());
                if !self.asked {
                    self.kept_after = self.kept_after.max(checkpoint.step);
                    self.commits = self.commits.split_off(&self.kept_after.next());
                }
            }
            Record::Run(run) => {
                self.committed = run.begins_after;
                if !self.asked {
                    self.kept_after = run.begins_after;
                }
            }
            _ => {}
        }
    }

    fn rewind(&mut self, step: Step, forked: bool) {
        self.committed = step;
        if forked {
            if !self.asked {
                // The fork makes all commits after this step void, and every later one is kept: none is missing.
                self.kept_after = self.kept_after.min(step);
            }
            self.commits.split_off(&step.next());
            self.digests.split_off(&step.next());
            self.checkpoints.split_off(&step.next());
            self.parts.void_after(step);
        }
    }

    /// The commits after a step; `None` when some of them were not kept.
    #[must_use]
    pub fn since(&self, step: Step) -> Option<CommitsAfter> {
        (step >= self.kept_after).then(|| {
            let later = self.commits.range(step.next()..).map(|(_, c)| c.clone());
            let (commits, rewound) = later.partition(|commit| commit.step <= self.committed);
            CommitsAfter { commits, rewound }
        })
    }

    /// State digests of all steps that stand or may come again.
    #[must_use]
    pub fn digests(&self) -> &BTreeMap<Step, String> {
        &self.digests
    }

    /// Device classes that computed each step.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Checkpoints in the ledger that are neither set aside nor void, oldest first.
    pub fn checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        self.checkpoints.values()
    }
}

#[cfg(test)]
mod tests {
    use shared::ledger::{Members, Rewind};

    use super::*;

    fn commit(step: u64) -> Record {
        Record::Commit(Commit {
            step: Step(step),
            state_digest: format!("state-{step}"),
            ..Commit::default()
        })
    }

    fn checkpoint(step: u64) -> Record {
        Record::Checkpoint(Checkpoint {
            step: Step(step),
            ..Checkpoint::default()
        })
    }

    fn rewind(step: u64, forked: &[&str]) -> Record {
        Record::Rewind(Rewind {
            step: Step(step),
            forked: forked.iter().map(|&class| class.to_owned()).collect(),
            ..Rewind::default()
        })
    }

    fn members(classes: &[&str]) -> Record {
        Record::Members(Members {
            device_classes: classes.iter().map(|&class| class.to_owned()).collect(),
            ..Members::default()
        })
    }

    fn replay(records: impl IntoIterator<Item = Record>) -> Replay {
        let mut replay = Replay::default();
        records.into_iter().for_each(|r| replay.follow(&r));
        replay
    }

    fn steps(replay: &Replay, from: u64) -> Option<Vec<u64>> {
        let since = replay.since(Step(from))?;
        Some(since.commits.iter().map(|commit| commit.step.0).collect())
    }

    fn rewound(replay: &Replay, from: u64) -> Option<Vec<u64>> {
        let since = replay.since(Step(from))?;
        Some(since.rewound.iter().map(|commit| commit.step.0).collect())
    }

    fn bound(replay: &Replay) -> Vec<u64> {
        replay.digests().keys().map(|step| step.0).collect()
    }

    #[test]
    fn only_what_came_after_the_newest_checkpoint_is_kept() {
        let mut records: Vec<Record> = (1..=7).map(commit).collect();
        records.insert(6, checkpoint(4));
        let replay = replay(records);
        assert_eq!(steps(&replay, 4), Some(vec![5, 6, 7]));
        assert_eq!(steps(&replay, 6), Some(vec![7]));
        assert_eq!(steps(&replay, 3), None, "the ledger is read once more");
        assert_eq!(replay.commits.len(), 3);
        assert_eq!(bound(&replay), [1, 2, 3, 4, 5, 6, 7], "it may be damaged");
    }

    #[test]
    fn what_was_rewound_stands_no_more_and_binds_still() {
        let mut records: Vec<Record> = (1..=6).map(commit).collect();
        records.extend([rewind(2, &[]), commit(3)]);
        let went_back = replay(records.clone());
        assert_eq!(steps(&went_back, 0), Some(vec![1, 2, 3]));
        assert_eq!(rewound(&went_back, 0), Some(vec![4, 5, 6]));
        assert_eq!(bound(&went_back), [1, 2, 3, 4, 5, 6]);
        // A fork makes it void.
        records.push(rewind(2, &["one", "two"]));
        let forked = replay(records);
        assert_eq!(steps(&forked, 0), Some(vec![1, 2]));
        assert_eq!(rewound(&forked, 0), Some(vec![]));
        assert_eq!(bound(&forked), [1, 2]);
    }

    #[test]
    fn behind_the_newest_checkpoint_only_a_fork_leaves_every_commit_known() {
        let mut records: Vec<Record> = (1..=6).map(commit).collect();
        records.extend([checkpoint(5), rewind(2, &[]), commit(3), checkpoint(3)]);
        let went_back = replay(records.clone());
        assert_eq!(steps(&went_back, 2), None, "step 4 was let go");
        assert_eq!(steps(&went_back, 3), None);
        // Forward again to what the rewind left behind.
        assert_eq!(rewound(&went_back, 5), Some(vec![6]));
        records.extend([rewind(2, &["one", "two"]), commit(3)]);
        assert_eq!(steps(&replay(records), 2), Some(vec![3]));
    }

    #[test]
    fn who_left_before_the_commit_had_a_part_too() {
        let mut records = vec![members(&["one", "two"]), commit(1), checkpoint(1)];
        // Its credits stand, and the step is committed without it.
        records.extend([members(&["one", "two"]), members(&["one"]), commit(2)]);
        let from: Vec<_> = replay(records).parts().from(Step(2)).into_iter().collect();
        assert_eq!(from, ["one", "two"]);
    }

    #[test]
    fn whoever_took_part_since_the_checkpoint_is_known_by_class() {
        let mut records = vec![members(&["old"]), commit(1), commit(2), checkpoint(2)];
        records.extend([members(&["one"]), commit(3), members(&[])]);
        records.extend([rewind(2, &[]), members(&["two"]), commit(3)]);
        let classes = |replay: &Replay, from: u64| {
            let classes = replay.parts().from(Step(from + 1)).into_iter();
            classes.collect::<Vec<_>>().join(" ")
        };
        let before = replay(records.clone());
        assert_eq!(classes(&before, 2), "one two");
        assert_eq!(classes(&before, 1), "old one two");
        // What a fork made void binds nobody any more.
        records.push(rewind(2, &["one", "two"]));
        assert_eq!(classes(&replay(records), 2), "");
    }

    #[test]
    fn an_older_checkpoint_is_asked_for_by_name() {
        let mut asked = Replay::after(Step(1));
        for record in [commit(1), commit(2), checkpoint(2), commit(3)] {
            asked.follow(&record);
        }
        assert_eq!(steps(&asked, 1), Some(vec![2, 3]));
    }
}
