//! What a start in a folder means: a new run, the same one going on, or a refusal.

use std::collections::BTreeMap;
use std::path::Path;

use shared::config::difference;
use shared::error::{Code, Error, Result};

use super::RunRecord;

/// What lies in the output folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing of a run.
    Nothing,
    /// A run of ours.
    Run(RunRecord),
    /// An adapter that no run of ours wrote.
    ForeignAdapter,
}

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A run that begins.
    New,
    /// The run of this record, from its newest checkpoint.
    Continue(RunRecord),
}

/// Decides from what lies there, what is asked for and `--overwrite`.
///
/// # Errors
/// [`Code::OtherRun`] with the difference, [`Code::AlreadyComplete`].
pub fn decide(
    output_dir: &Path,
    existing: Existing,
    run_identity: &str,
    identity: &BTreeMap<String, String>,
    overwrite: bool,
) -> Result<Start> {
    let record = match existing {
        Existing::Nothing => return Ok(Start::New),
        _ if overwrite => return Ok(Start::New),
        Existing::ForeignAdapter => {
            return Err(Error::new(
                Code::OtherRun,
                "output_dir holds an adapter that no run of this program wrote",
            )
            .in_file(output_dir)
            .fix("--set output_dir=ANOTHER, or --overwrite to replace it"));
        }
        Existing::Run(record) => record,
    };
    if record.run_identity != run_identity {
        let mut error = Error::new(Code::OtherRun, "output_dir holds a run of another identity")
            .in_file(output_dir);
        for line in difference(&record.identity, identity) {
            error = error.why(line);
        }
        return Err(error
            .fix("undo the difference to go on with that run")
            .fix("--set output_dir=ANOTHER to keep both, or --overwrite to start anew"));
    }
    if record.complete {
        return Err(Error::new(
            Code::AlreadyComplete,
            "this run is finished, its adapter is there",
        )
        .in_file(output_dir)
        .fix("--overwrite to train again; the same inputs give the same bytes"));
    }
    Ok(Start::Continue(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(rank: &str) -> BTreeMap<String, String> {
        [("lora_rank".to_owned(), rank.to_owned())].into()
    }

    fn record(complete: bool) -> RunRecord {
        let identity = fields("8");
        RunRecord {
            run_identity: "one".into(),
            identity,
            complete,
            ..RunRecord::default()
        }
    }

    fn start(existing: Existing, run_identity: &str, overwrite: bool) -> Result<Start> {
        decide(
            Path::new("out"),
            existing,
            run_identity,
            &fields("16"),
            overwrite,
        )
    }

    #[test]
    fn an_unfinished_run_of_the_same_identity_goes_on() {
        let decided = start(Existing::Run(record(false)), "one", false).unwrap();
        assert_eq!(decided, Start::Continue(record(false)));
    }

    #[test]
    fn another_identity_is_refused_with_the_difference() {
        let error = start(Existing::Run(record(false)), "two", false).unwrap_err();
        assert_eq!(error.code, Code::OtherRun);
        assert!(
            error.why.iter().any(|l| l.contains("lora_rank")),
            "{error:?}"
        );
    }

    #[test]
    fn a_finished_run_is_refused_unless_overwritten() {
        let error = start(Existing::Run(record(true)), "one", false).unwrap_err();
        assert_eq!(error.code, Code::AlreadyComplete);
        assert_eq!(
            start(Existing::Run(record(true)), "one", true).unwrap(),
            Start::New
        );
    }

    #[test]
    fn a_foreign_adapter_is_not_overwritten_by_accident() {
        let error = start(Existing::ForeignAdapter, "one", false).unwrap_err();
        assert_eq!(error.code, Code::OtherRun);
        assert_eq!(start(Existing::Nothing, "one", false).unwrap(), Start::New);
    }
}
