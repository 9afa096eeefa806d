//! What is accepted can be sent: the largest messages of a run, measured before it begins.
//!
//! In: what every worker is told, or what of it a configuration alone says; how many micro-batches
//! there are. Out: nothing, or what is too large and what makes it smaller.
//! Keeps: a worker that holds every micro-batch of a step can say so in one message.

use prost::Message;
use shared::config::{self, RunConfig};
use shared::error::{Code, Error, Result};
use shared::evaluation::Prompts;
use shared::ids::Identity;
use shared::net::{TO_COORDINATOR_LIMIT, TO_WORKER_LIMIT};
use shared::wire::message::{Envelope, ToWorker, Welcome};
use shared::wire::session::CoordinatorMessage;

/// Most bytes of a micro-batch in what a worker says it holds: index, fingerprint, their frame.
const CONTRIBUTION: usize = 20;
/// What else stands in that message: names, digests, states that are kept.
const REST: usize = 64 << 10;
/// Most micro-batches of a step or an evaluation.
const MICRO_BATCHES: u64 = ((TO_COORDINATOR_LIMIT - REST) / CONTRIBUTION) as u64;
/// Most bytes of a token id.
const ID: usize = 3;

/// What every worker is told fits into one message; paths and digests are counted as if they were long.
///
/// # Errors
/// [`Code::OutOfRange`] that names the largest part.
pub(super) fn told(config: &RunConfig, prompts: &Prompts) -> Result<()> {
    welcome(&Welcome {
        config_json: config.to_json()?,
        prompts: prompts.clone(),
        ..Welcome::default()
    })
}

fn welcome(welcome: &Welcome) -> Result<()> {
    let rows = welcome.evaluation_sets.iter().map(|set| set.rows.len());
    let prompts: usize = welcome.prompts.ids.iter().map(Vec::len).sum();
    let parts = [
        ("eval_prompts", prompts * ID + of_prompts(welcome)),
        ("the rows that are evaluated", rows.sum::<usize>() * ID),
        ("the configuration itself", welcome.config_json.len()),
    ];
    let message = CoordinatorMessage::from(Envelope {
        identity: Identity::default(),
        body: ToWorker::Welcome(welcome.clone()),
    });
    fits(message.encoded_len() + REST, &parts)
}

/// Text of the prompts in the configuration that a worker is told.
fn of_prompts(welcome: &Welcome) -> usize {
    let config: serde_json::Value = serde_json::from_str(&welcome.config_json).unwrap_or_default();
    let prompts = config.pointer("/evaluation/prompts");
    prompts.map_or(0, |prompts| prompts.to_string().len())
}

/// As far as a configuration alone says it: no text has more tokens than bytes.
///
/// # Errors
/// [`Code::OutOfRange`], as [`told`] and [`micro_batches`].
pub fn configuration(config: &RunConfig) -> Result<()> {
    micro_batches("a step", config::micro_batches_per_step(config))?;
    let json = config.to_json()?.len();
    let prompts: usize = config.evaluation.prompts.iter().map(String::len).sum();
    let parts = [
        ("eval_prompts", prompts * (1 + ID)),
        ("the configuration itself", json - prompts.min(json)),
    ];
    fits(json + prompts * ID + REST, &parts)
}

fn fits(bytes: usize, parts: &[(&str, usize)]) -> Result<()> {
    if bytes <= TO_WORKER_LIMIT {
        return Ok(());
    }
    let largest = parts.iter().max_by_key(|(_, bytes)| *bytes);
    let (part, of_part) = largest.copied().unwrap_or_default();
    let remedy = if part == "eval_prompts" {
        "ask fewer or shorter `eval_prompts`: each worker gets all of them"
    } else {
        "make it smaller: `eval_prompts`, patterns and lists of modules take most"
    };
    Err(Error::new(
        Code::OutOfRange,
        "what every worker is told does not fit into one message",
    )
    .why(format!(
        "it has up to {bytes} bytes, {TO_WORKER_LIMIT} can be sent"
    ))
    .why(format!("most of them, {of_part}, are {part}"))
    .fix(remedy))
}

/// A worker that holds all of them can say which.
///
/// # Errors
/// [`Code::OutOfRange`].
pub(super) fn micro_batches(of: &str, count: u64) -> Result<()> {
    if count <= MICRO_BATCHES {
        return Ok(());
    }
    let remedy = if of == "a step" {
        "a larger `micro_batch_size`, or a smaller `batch_size` or `gradient_accumulation_steps`"
    } else {
        "a larger `micro_batch_size`, or less validation data: a smaller `validation_split`"
    };
    Err(Error::new(
        Code::OutOfRange,
        format!("{of} is cut into {count} micro-batches, at most {MICRO_BATCHES} can be led"),
    )
    .why("a worker whose session broke says in one message which of them it holds")
    .fix(remedy))
}

#[cfg(test)]
mod tests {
    use shared::ids::{MicroBatchId, RunId, Step, WorkerId};
    use shared::wire::message::{FromWorker, Hello, Loaded, Position, Rehearsal, Task};
    use shared::wire::session::WorkerMessage;

    use super::*;
    use crate::estimate::tests::config;

    fn of(prompts: usize, tokens: usize) -> Welcome {
        Welcome {
            config_json: serde_json::to_string(&config()).unwrap(),
            prompts: Prompts {
                ids: vec![vec![150_000; tokens]; prompts],
                ..Prompts::default()
            },
            ..Welcome::default()
        }
    }

    /// 64 prompts of 7,000 tokens: more than a MiB, and a worker could not read them.
    #[test]
    fn many_long_prompts_can_be_sent() {
        welcome(&of(64, 7_000)).unwrap();
    }

    #[test]
    fn prompts_that_cannot_be_sent_are_refused_by_name() {
        let error = welcome(&of(64, 90_000)).unwrap_err();
        assert_eq!(error.code, Code::OutOfRange);
        assert!(error.why[1].contains("eval_prompts"), "{error:?}");
        assert!(error.fix[0].contains("eval_prompts"), "{error:?}");
    }

    #[test]
    fn a_configuration_says_it_without_a_tokenizer() {
        let mut config = config();
        config.evaluation.prompts = vec!["x".repeat(10_000); 64];
        configuration(&config).unwrap();
        config.evaluation.prompts = vec!["x".repeat(100_000); 64];
        let error = configuration(&config).unwrap_err();
        assert!(error.why[1].contains("eval_prompts"), "{error:?}");
    }

    #[test]
    fn a_step_of_too_many_micro_batches_is_refused() {
        let mut config = config();
        (config.batch_size, config.micro_batch_size) = (65_536, 1);
        let error = configuration(&config).unwrap_err();
        assert_eq!(error.code, Code::OutOfRange);
        assert!(error.fix[0].contains("micro_batch_size"), "{error:?}");
        config.micro_batch_size = 2;
        configuration(&config).unwrap();
    }

    #[test]
    fn whoever_holds_every_micro_batch_can_say_so() {
        let held = 0..u32::try_from(MICRO_BATCHES).unwrap();
        let text = || "f".repeat(256);
        let position = Position {
            run: RunId(text()),
            worker: WorkerId(text()),
            step: Step(u64::MAX),
            state_digest: text(),
            task: Task::Train,
            credited: held
                .map(|n| (MicroBatchId(n + 100_000), u64::MAX))
                .collect(),
            shadow_digest: text(),
            loaded: Some(Loaded {
                base_digest: text(),
                device_class: text(),
                device: text(),
                rehearsals: vec![Rehearsal::default(); 8],
            }),
            retained: (0..100).map(|step| (Step(step), text())).collect(),
        };
        let message = WorkerMessage::from(Envelope {
            identity: Identity::default(),
            body: FromWorker::Hello(Hello {
                resume: Some(position),
                ..Hello::default()
            }),
        });
        assert!(message.encoded_len() <= TO_COORDINATOR_LIMIT);
    }
}
