//! Between protobuf and domain types; what does not convert is refused with a reason.
//!
//! `worker` what a worker says · `coordinator` what the coordinator says.

mod coordinator;
mod worker;

#[cfg(test)]
mod tests;

use super::message::FileDigest;
use super::session as pb;
use crate::error::{Code, Error};
use crate::ids::{Attempt, Generation, Identity, MicroBatchId, RunId, Step, Term};

fn missing(field: &str) -> Error {
    Error::new(
        Code::VersionMismatch,
        format!("a message came without `{field}`"),
    )
    .fix("run coordinator and worker of the same version")
}

impl From<Identity> for pb::Identity {
    fn from(identity: Identity) -> Self {
        Self {
            run_id: identity.run.0,
            term: identity.term.0,
            generation: identity.generation.0,
            step: identity.step.0,
            attempt: identity.attempt.0,
        }
    }
}

impl From<pb::Identity> for Identity {
    fn from(identity: pb::Identity) -> Self {
        Self {
            run: RunId(identity.run_id),
            term: Term(identity.term),
            generation: Generation(identity.generation),
            step: Step(identity.step),
            attempt: Attempt(identity.attempt),
        }
    }
}

impl From<FileDigest> for pb::FileDigest {
    fn from(file: FileDigest) -> Self {
        Self {
            name: file.name,
            bytes: file.bytes,
            sha256: file.sha256,
        }
    }
}

impl From<pb::FileDigest> for FileDigest {
    fn from(file: pb::FileDigest) -> Self {
        Self {
            name: file.name,
            bytes: file.bytes,
            sha256: file.sha256,
        }
    }
}

fn error_json(error: &Error) -> String {
    serde_json::to_string(error).unwrap_or_default()
}

fn parse_error(code: &str, json: &str) -> Error {
    serde_json::from_str(json).unwrap_or_else(|_| {
        Error::new(
            Code::VersionMismatch,
            format!("the other side failed with unknown {code}"),
        )
        .why(json.to_owned())
    })
}

fn indices(list: Vec<MicroBatchId>) -> Vec<u32> {
    list.into_iter().map(|m| m.0).collect()
}

fn ids(list: Vec<u32>) -> Vec<MicroBatchId> {
    list.into_iter().map(MicroBatchId).collect()
}
