//! What a start in a folder means: a new run, the same one going on, or a refusal.

use std::collections::BTreeMap;
use std::path::Path;

use shared::config::difference;
use shared::error::{Code, Error, Result};
use shared::ledger::State;

/// What lies in the output folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing<'a> {
    /// Nothing of a run.
    Nothing,
    /// A run of ours, as its ledger tells it.
    Run(&'a State),
    /// An adapter that no run of ours wrote.
    ForeignAdapter,
}

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A run that begins.
    New,
    /// The run that lies there goes on.
    Continue,
}

/// Decides from what lies there and what is asked for. `--overwrite` takes away what lies there
/// before anybody asks.
///
/// # Errors
/// [`Code::OtherRun`] with the difference, [`Code::AlreadyComplete`].
pub fn decide(
    output_dir: &Path,
    existing: Existing<'_>,
    run_identity: &str,
    identity: &BTreeMap<String, String>,
) -> Result<Start> {
    let state = match existing {
        Existing::Nothing => return Ok(Start::New),
        Existing::ForeignAdapter => {
            return Err(Error::new(
                Code::OtherRun,
                "output_dir holds an adapter that no run of this program wrote",
            )
            .in_file(output_dir)
            .fix("--set output_dir=ANOTHER, or --overwrite to replace it"));
        }
        Existing::Run(state) => state,
    };
    if state.run.run_identity != run_identity {
        let mut error = Error::new(Code::OtherRun, "output_dir holds a run of another identity")
            .in_file(output_dir);
        for line in difference(&state.run.identity, identity) {
            error = error.why(line);
        }
        return Err(error
            .fix("undo the difference to go on with that run")
            .fix("--set output_dir=ANOTHER to keep both, or --overwrite to start anew"));
    }
    if state.complete.is_some() {
        return Err(Error::new(
            Code::AlreadyComplete,
            "this run is finished, its adapter is there",
        )
        .in_file(output_dir)
        .fix("--overwrite to train again; the same inputs give the same bytes"));
    }
    Ok(Start::Continue)
}

#[cfg(test)]
mod tests {
    use shared::ledger::{Book, Complete, Record, Run};

    use super::*;

    fn fields(rank: &str) -> BTreeMap<String, String> {
        [("lora_rank".to_owned(), rank.to_owned())].into()
    }

    /// A run of no steps, so that it can end at once.
    fn state(complete: bool) -> State {
        let run = Record::Run(Run {
            run_identity: "one".into(),
            identity: fields("8"),
            ..Run::default()
        });
        let mut records = vec![run];
        if complete {
            records.push(Record::Complete(Complete::default()));
        }
        let mut book = Book::default();
        for record in &records {
            let sealed = book.seal(record).unwrap();
            book.accept(record, &sealed).unwrap();
        }
        book.into_state().unwrap()
    }

    fn start(existing: Existing<'_>, run_identity: &str) -> Result<Start> {
        decide(Path::new("out"), existing, run_identity, &fields("16"))
    }

    #[test]
    fn an_unfinished_run_of_the_same_identity_goes_on() {
        let decided = start(Existing::Run(&state(false)), "one").unwrap();
        assert_eq!(decided, Start::Continue);
    }

    #[test]
    fn another_identity_is_refused_with_the_difference() {
        let error = start(Existing::Run(&state(false)), "two").unwrap_err();
        assert_eq!(error.code, Code::OtherRun);
        assert!(
            error.why.iter().any(|l| l.contains("lora_rank")),
            "{error:?}"
        );
    }

    #[test]
    fn a_finished_run_is_refused() {
        let error = start(Existing::Run(&state(true)), "one").unwrap_err();
        assert_eq!(error.code, Code::AlreadyComplete);
    }

    #[test]
    fn a_foreign_adapter_is_not_overwritten_by_accident() {
        let error = start(Existing::ForeignAdapter, "one").unwrap_err();
        assert_eq!(error.code, Code::OtherRun);
        assert_eq!(start(Existing::Nothing, "one").unwrap(), Start::New);
    }
}
