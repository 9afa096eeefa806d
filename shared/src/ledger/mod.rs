//! What a run did, line by line: the proof for an auditor and the coordinator's memory in one.
//!
//! In: records in the order in which they became true. Out: lines that are chained by hashes, the
//! state they fold to, and the proof that every sample was used as planned.
//! Keeps: no clock, no file, no random source here; the lines are the truth and the state is what
//! replaying them gives.
//!
//! `record` what a line says · `numbers` integers that JSON numbers would lose · `chain` a record to a line and back ·
//! `parts` which device classes had one · `state` what the lines fold to · `rules` which record may come next · `book`
//! chain and state together · `audit` the proof.

mod audit;
mod book;
mod chain;
mod epoch;
mod numbers;
mod parts;
mod record;
mod report;
mod rules;
mod state;

#[cfg(test)]
mod tests;

pub use audit::Auditor;
pub use book::Book;
pub use chain::{Chain, GENESIS, Sealed, is_torn};
pub use parts::Parts;
pub use record::{
    Checkpoint, Commit, Complete, Credit, EvaluatedSet, Evaluation, EvaluationCredit, Evicted,
    FORMAT, Leader, Members, Parent, Policy, Record, Rewind, Run, form,
};
pub use report::{Damaged, Report};
pub use state::{SetAside, State};
