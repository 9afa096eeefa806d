//! TensorBoard's event file, written without TensorBoard.
//!
//! In: entries of `log_history` and the wall time. Out: `events.out.tfevents.<secs>.<host>.<pid>.<n>`
//! with the tags Trainer writes. A record is its length (u64), the masked CRC-32C of the length,
//! a protobuf `Event`, and its masked CRC-32C. A resumed run writes a new file that starts with a
//! session mark: TensorBoard then hides what an older file says of later steps.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use shared::error::Result;
use shared::ids::Step;

use super::append_log::{self, AppendLog};
use super::evaluation::EvaluationEntry;
use super::trainer_state::LogEntry;

const FAILURE: &str = "writing TensorBoard events failed";

/// Fields of `Event` in TensorFlow's event.proto that are used here.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Scalars>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

/// `Summary` with simple values only.
#[derive(Clone, PartialEq, Message)]
struct Scalars {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    /// 1 is START.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The open event file.
#[derive(Debug)]
pub struct EventFile {
    file: AppendLog,
}

impl EventFile {
    /// Creates a new file in `folder` for a run that stands after `resumed`.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn create(folder: &Path, resumed: Step, now: SystemTime) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| append_log::error(FAILURE, folder, &e))?;
        let (secs, process) = (seconds(now) as u64, std::process::id());
        let name = |n| format!("events.out.tfevents.{secs}.{}.{process}.{n}", host());
        // The counter keeps a run that goes back within a second from taking the older file's name.
        let paths = (0..u32::MAX).map(|n| folder.join(name(n)));
        let mut events = Self {
            file: AppendLog::create_new(paths, FAILURE)?,
        };
        let version = Some("brain.Event:2".to_owned());
        events.write(&Event {
            wall_time: seconds(now),
            file_version: version,
            ..Event::default()
        })?;
        if resumed.0 > 0 {
            events.write(&Event {
                wall_time: seconds(now),
                step: signed(resumed.0 + 1),
                session_log: Some(SessionLog { status: 1 }),
                ..Event::default()
            })?;
        }
        Ok(events)
    }

    /// Path of the event file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Writes the scalars of an evaluation; as [`Self::scalars`].
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn evaluation(&mut self, entry: &EvaluationEntry, now: SystemTime) -> Result<()> {
        let values = [
            ("eval/loss", entry.eval_loss),
            ("eval/sample_loss", entry.eval_sample_loss),
            ("eval/perplexity", entry.eval_perplexity),
            ("eval/accuracy", entry.eval_accuracy),
            ("eval/train_sample_loss", entry.eval_train_sample_loss),
            (
                "eval/train_sample_verbatim",
                entry.eval_train_sample_verbatim,
            ),
        ];
        let old = entry
            .eval_parent_loss
            .map(|loss| ("eval/parent_loss", loss));
        let scalar = |(tag, value): (&str, f64)| Scalar {
            tag: tag.to_owned(),
            simple_value: Some(value as f32),
        };
        self.write(&Event {
            wall_time: seconds(now),
            step: signed(entry.step),
            summary: Some(Scalars {
                value: values.into_iter().chain(old).map(scalar).collect(),
            }),
            ..Event::default()
        })
    }

    /// Writes the scalars of one entry; readers see them at once. After an error nothing was written, and the entry may
    /// be tried again.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn scalars(&mut self, entry: &LogEntry, now: SystemTime) -> Result<()> {
        let scalar = |tag: &str, value: f64| Scalar {
            tag: tag.to_owned(),
            simple_value: Some(value as f32),
        };
        let mut value = vec![
            scalar("train/loss", entry.loss),
            scalar("train/grad_norm", entry.grad_norm),
            scalar("train/learning_rate", entry.learning_rate),
            scalar("train/epoch", entry.epoch),
        ];
        if let Some(scale) = entry.loss_scale {
            value.push(scalar("train/loss_scale", scale as f64));
            value.push(scalar("train/skipped_steps", entry.skipped_steps as f64));
        }
        self.write(&Event {
            wall_time: seconds(now),
            step: signed(entry.step),
            summary: Some(Scalars { value }),
            ..Event::default()
        })
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let mut bytes = Vec::with_capacity(data.len() + 16);
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(&masked_crc(&data).to_le_bytes());
        self.file.append(&bytes)
    }
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

fn signed(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

/// The machine's name, in characters that are safe in a file name.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let safe: String = name
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if safe.is_empty() {
        "localhost".to_owned()
    } else {
        safe
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Reads the file as TensorBoard does: every checksum must hold.
    fn read(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut events) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(
                rest[12 + length..16 + length],
                masked_crc(data).to_le_bytes()
            );
            events.push(Event::decode(data).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    fn entry(step: u64) -> LogEntry {
        LogEntry {
            epoch: 0.5,
            grad_norm: 1.25,
            learning_rate: 0.0,
            loss: 2.5,
            loss_scale: None,
            num_tokens: 7,
            skipped_steps: 0,
            step,
        }
    }

    #[test]
    fn every_logged_step_is_an_event_with_trainers_tags() {
        let folder = tempfile::tempdir().unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let mut file = EventFile::create(&folder.path().join("logs"), Step(0), now).unwrap();
        file.scalars(&entry(3), now).unwrap();
        let scaled = LogEntry {
            loss_scale: Some(32_768),
            skipped_steps: 1,
            ..entry(4)
        };
        file.scalars(&scaled, now).unwrap();
        let events = read(file.path());
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(
            (events.len(), events[1].step, events[1].wall_time),
            (3, 3, 1_700_000_000.5)
        );
        let last = events[2].summary.as_ref().unwrap().value[4..].iter();
        let last: Vec<_> = last.map(|s| (s.tag.as_str(), s.simple_value)).collect();
        let scale = ("train/loss_scale", Some(32_768.0));
        assert_eq!(last, [scale, ("train/skipped_steps", Some(1.0))]);
        let scalars = &events[1].summary.as_ref().unwrap().value;
        let tags: Vec<_> = scalars
            .iter()
            .map(|s| (s.tag.as_str(), s.simple_value))
            .collect();
        assert_eq!(
            tags,
            [
                ("train/loss", Some(2.5)),
                ("train/grad_norm", Some(1.25)),
                ("train/learning_rate", Some(0.0)),
                ("train/epoch", Some(0.5)),
            ]
        );
        let name = file
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert!(
            name.starts_with("events.out.tfevents.1700000000."),
            "{name}"
        );
    }

    #[test]
    fn a_run_that_goes_back_at_once_keeps_the_older_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut older = EventFile::create(folder.path(), Step(0), UNIX_EPOCH).unwrap();
        older.scalars(&entry(1), UNIX_EPOCH).unwrap();
        let newer = EventFile::create(folder.path(), Step(1), UNIX_EPOCH).unwrap();
        assert_eq!((read(older.path()).len(), read(newer.path()).len()), (2, 2));
    }

    #[test]
    fn a_resumed_run_marks_where_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        let file = EventFile::create(folder.path(), Step(50), UNIX_EPOCH).unwrap();
        let events = read(file.path());
        assert_eq!(
            (
                events[1].step,
                events[1].session_log.as_ref().unwrap().status
            ),
            (51, 1)
        );
    }

    #[test]
    fn the_checksum_is_the_masked_castagnoli_one() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }
}
