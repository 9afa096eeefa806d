//! A record to a line and back, each line bound to the one before.
//!
//! A line is the record as one JSON object whose last two fields are `previous`, the hash of the
//! line before (64 zeros for the first), and `hash`: BLAKE3, in hexadecimal, over the text of
//! `previous` followed by the record's own object, as it stands without those two fields.
//! Keeps: the hash is over the bytes in the file, so any other byte is another hash, and nothing
//! can be taken out, put in or moved. A cut tail cannot be seen here: checkpoints show it.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::record::{FORMAT, Record};
use crate::error::{Code, Error, Result};

/// What stands for the hash of the line before the first.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const PREVIOUS: &str = ",\"previous\":\"";
const HASH: &str = "\",\"hash\":\"";
const END: &str = "\"}";
const DIGITS: usize = GENESIS.len();
/// Bytes of a line behind the record's own fields.
const TAIL: usize = PREVIOUS.len() + DIGITS + HASH.len() + DIGITS + END.len();

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    head: String,
    lines: u64,
}

/// A line that is ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The line, with its line feed.
    pub line: Vec<u8>,
    /// BLAKE3 hash of the line in hexadecimal, to which the next line is bound.
    pub hash: String,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            head: GENESIS.into(),
            lines: 0,
        }
    }
}

impl Chain {
    /// Hash of the last line.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Lines so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The line that a record would be, as the next one.
    ///
    /// # Errors
    /// [`Code::Internal`] when the record is not JSON.
    pub fn seal(&self, record: &Record) -> Result<Sealed> {
        let body = serde_json::to_string(record)
            .map_err(|e| Error::new(Code::Internal, "ledger line").why(e.to_string()))?;
        let hash = link(&self.head, body.as_bytes());
        let fields = body.strip_suffix('}').unwrap_or(&body);
        let line = format!("{fields}{PREVIOUS}{}{HASH}{hash}{END}\n", self.head);
        Ok(Sealed {
            line: line.into_bytes(),
            hash,
        })
    }

    /// The line is written: the next one follows it.
    pub fn advance(&mut self, sealed: &Sealed) {
        self.head.clone_from(&sealed.hash);
        self.lines += 1;
    }

    /// Reads the next line, given without its line feed, and follows it.
    ///
    /// # Errors
    /// [`Code::LedgerBroken`] when it does not fit the chain, [`Code::LedgerUnknown`] when it does
    /// but is of a newer form. Both without a place: the caller knows file and line.
    pub fn follow(&mut self, line: &[u8]) -> Result<Record> {
        let (body, previous, hash) = parts(line).ok_or_else(|| {
            broken("a line is not one of the ledger")
                .why("it does not end in `previous` and `hash`")
        })?;
        if previous != self.head {
            return Err(broken(
                "a line does not follow the one before it: one was taken out, put in or moved",
            )
            .why(format!("the line before has the hash {}", self.head))
            .why(format!("this one follows {previous}")));
        }
        let found = link(previous, &body);
        if found != hash {
            return Err(broken("a line was altered")
                .why(format!("it says its hash is {hash}"))
                .why(format!("it is {found}")));
        }
        let record = understand(&body)?;
        self.head = found;
        self.lines += 1;
        Ok(record)
    }
}

/// Whether a last line that cannot be read is what a crash leaves: the beginning of one, or zeros
/// where its bytes never reached the disk. An altered line is neither.
#[must_use]
pub fn is_torn(line: &[u8]) -> bool {
    line.contains(&0)
        || serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

fn link(previous: &str, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous.as_bytes()).update(body);
    hasher.finalize().to_hex().to_string()
}

/// The record's own object, and the two hashes.
fn parts(line: &[u8]) -> Option<(Vec<u8>, &str, &str)> {
    let at = line.len().checked_sub(TAIL)?;
    let (fields, tail) = line.split_at(at);
    let tail = std::str::from_utf8(tail).ok()?.strip_prefix(PREVIOUS)?;
    let (previous, tail) = tail.split_at_checked(DIGITS)?;
    let (hash, end) = tail.strip_prefix(HASH)?.split_at_checked(DIGITS)?;
    let mut body = fields.to_vec();
    body.push(b'}');
    (end == END).then_some((body, previous, hash))
}

/// A body whose hash is right was written by this program: by this version, or by a newer one.
fn understand(body: &[u8]) -> Result<Record> {
    #[derive(Deserialize)]
    struct Form {
        kind: String,
        #[serde(default)]
        format: u32,
    }
    let newer = |why: String| {
        Error::new(
            Code::LedgerUnknown,
            "the ledger holds a line that this version does not understand",
        )
        .why(why)
        .fix("use the version that wrote it, or a newer one")
    };
    match serde_json::from_slice(body) {
        Ok(Record::Run(run)) if run.format > FORMAT => Err(newer(format!(
            "it has form {}, known is {FORMAT}",
            run.format
        ))),
        Ok(record) => Ok(record),
        Err(error) => Err(match serde_json::from_slice::<Form>(body) {
            Ok(form) if form.format > FORMAT => {
                newer(format!("it has form {}, known is {FORMAT}", form.format))
            }
            Ok(form) => newer(format!("a line of kind `{}`: {error}", form.kind)),
            Err(_) => newer(error.to_string()),
        }),
    }
}

fn broken(what: &str) -> Error {
    Error::new(Code::LedgerBroken, what).fix("put the file back from a copy")
}
