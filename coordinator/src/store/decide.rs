//! Whether a start in a folder begins a new run, continues the run there, or is refused.

use std::collections::BTreeMap;
use std::path::Path;

use shared::config::difference;
use shared::error::{Code, Error, Result};
use shared::ledger::State;

/// What is in the output folder at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing<'a> {
    /// Nothing that a start must respect: neither ledger nor adapter, or `--overwrite` was given.
    Nothing,
    /// A run of this program, as its ledger tells it.
    Run(&'a State),
    /// An adapter without a ledger, which no run of this program wrote.
    ForeignAdapter,
}

/// What a start leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A new run, from its first step.
    New,
    /// The run in the folder, which goes on.
    Continue,
}

/// Decides by what is in the folder and by the identity that is asked for. Under `--overwrite` callers pass
/// [`Existing::Nothing`].
///
/// # Errors
/// [`Code::OtherRun`] with the difference, [`Code::AlreadyComplete`].
pub fn decide(
    output_dir: &Path,
    existing: Existing<'_>,
    run_identity: &str,
    identity: &BTreeMap<String, String>,
) -> Result<Start> {
    let Some(state) = run(output_dir, existing)? else {
        return Ok(Start::New);
    };
    if state.run.run_identity != run_identity {
        let lines = difference(&state.run.identity, identity);
        return Err(other_run(output_dir, lines));
    }
    if state.complete.is_some() {
        return Err(Error::new(
            Code::AlreadyComplete,
            "this run is finished, its adapter is there",
        )
        .in_file(output_dir)
        .fix(format!(
            "--set parent={} --set output_dir=ANOTHER to train on from it",
            output_dir.display()
        ))
        .fix("--set output_dir=ANOTHER to train it again beside this one; the same inputs give the same bytes")
        .fix("--overwrite to train it again in place of this one, which is removed"));
    }
    Ok(Start::Continue)
}

/// Refuses early, by the `known` part of the identity, a start that [`decide`] would refuse; the keys in `unknown` are
/// not compared yet.
///
/// # Errors
/// [`Code::OtherRun`] with the difference.
pub fn refuse_other(
    output_dir: &Path,
    existing: Existing<'_>,
    known: &BTreeMap<String, String>,
    unknown: &[&str],
) -> Result<()> {
    let Some(state) = run(output_dir, existing)? else {
        return Ok(());
    };
    let mut theirs = state.run.identity.clone();
    theirs.retain(|key, _| !unknown.contains(&key.as_str()));
    match difference(&theirs, known) {
        lines if lines.is_empty() => Ok(()),
        lines => Err(other_run(output_dir, lines)),
    }
}

/// The state of the run in the folder, if any.
fn run<'a>(output_dir: &Path, existing: Existing<'a>) -> Result<Option<&'a State>> {
    match existing {
        Existing::Nothing => Ok(None),
        Existing::Run(state) => Ok(Some(state)),
        Existing::ForeignAdapter => Err(Error::new(
            Code::OtherRun,
            "output_dir holds an adapter that no run of this program wrote",
        )
        .in_file(output_dir)
        .fix("--set output_dir=ANOTHER, or --overwrite to replace it")),
    }
}

fn other_run(output_dir: &Path, difference: Vec<String>) -> Error {
    let mut error = Error::new(Code::OtherRun, "output_dir holds a run of another identity")
        .in_file(output_dir);
    error.why.extend(difference);
    error
        .fix("undo the difference to go on with that run")
        .fix("--set output_dir=ANOTHER to keep both, or --overwrite to start anew")
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
    fn what_is_not_known_yet_refuses_nothing() {
        let state = state(false);
        let refused = |known: &str, unknown: &[&str]| {
            let existing = Existing::Run(&state);
            refuse_other(Path::new("out"), existing, &fields(known), unknown)
        };
        refused("8", &[]).unwrap();
        refused("8", &["dataset"]).unwrap();
        let error = refused("16", &["dataset"]).unwrap_err();
        assert_eq!(error, start(Existing::Run(&state), "two").unwrap_err());
        let existing = Existing::Run(&state);
        let none = BTreeMap::new();
        refuse_other(Path::new("out"), existing, &none, &["lora_rank"]).unwrap();
    }

    #[test]
    fn a_finished_run_is_refused() {
        let error = start(Existing::Run(&state(true)), "one").unwrap_err();
        assert_eq!(error.code, Code::AlreadyComplete);
        assert!(error.fix[0].starts_with("--set parent=out --set output_dir="));
        assert!(!error.fix[1].contains("--overwrite"), "{error:?}");
    }

    #[test]
    fn a_foreign_adapter_is_not_overwritten_by_accident() {
        let error = start(Existing::ForeignAdapter, "one").unwrap_err();
        assert_eq!(error.code, Code::OtherRun);
        assert_eq!(start(Existing::Nothing, "one").unwrap(), Start::New);
    }
}
