//! Single samples as the trainer sees them.
//!
//! In: a file and a line. Out: the tokens of the sample that the line belongs to, cut to length,
//! with what is learned. Keeps: the same walk as the preparation, so that what is shown is what is
//! trained.

use shared::dataset::RowOrigin;
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, TextTokenizer};

use super::config::DataConfig;
use super::listed::listed;
use super::prepare;
use super::rows::overflow::{Fitted, fit};

/// A sample in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// File and first line.
    pub origin: RowOrigin,
    /// Token ids, cut to length; none when the sample is left out.
    pub ids: Vec<u32>,
    /// 1 for each token that is learned.
    pub targets: Vec<u8>,
    /// Tokens before any cut.
    pub tokens: usize,
    /// Target tokens that a cut loses.
    pub lost_targets: u32,
}

impl Preview {
    /// Tokens that are predicted and learned.
    #[must_use]
    pub fn target_tokens(&self) -> u32 {
        shared::dataset::Sample {
            ids: &self.ids,
            targets: &self.targets,
        }
        .target_tokens()
    }
}

/// The samples that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Path below the data folder; needed for a line when there are several files.
    pub file: Option<String>,
    /// A line of the first sample; nothing means the first there is.
    pub line: Option<u64>,
    /// At most so many samples are shown.
    pub count: usize,
}

/// The samples that are wanted.
///
/// # Errors
/// As [`super::prepare`]; [`Code::Usage`] when there is no such sample.
pub fn previews(
    config: &DataConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    wanted: &Wanted,
) -> Result<Vec<Preview>> {
    let limit = usize::try_from(config.max_seq_length).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    let rows = prepare::each(config, tokenizer, template, &mut |conversation, rows| {
        all.extend(rows.iter().map(|row| {
            let tokens = row.ids.len();
            let (row, lost_targets) = match fit(row.clone(), limit, config.overflow) {
                Fitted::Whole(row) => (Some(row), 0),
                Fitted::Cut { row, lost_targets } => (Some(row), lost_targets),
                Fitted::None { lost_targets } => (None, lost_targets),
            };
            let (ids, targets) = row.map(|r| (r.ids, r.targets)).unwrap_or_default();
            Preview {
                origin: conversation.origin.clone(),
                ids,
                targets,
                tokens,
                lost_targets,
            }
        }));
    });
    rows?;
    let start = first(&all, wanted)?;
    Ok(all.into_iter().skip(start).take(wanted.count).collect())
}

/// Index of the first sample that is wanted.
fn first(all: &[Preview], wanted: &Wanted) -> Result<usize> {
    let mut files: Vec<&str> = all.iter().map(|p| p.origin.file.as_str()).collect();
    files.dedup();
    let file = match (&wanted.file, wanted.line, &files[..]) {
        (Some(file), ..) => file.as_str(),
        (None, None, _) => return Ok(0),
        (None, Some(_), [one]) => one,
        (None, Some(line), _) => {
            return Err(Error::new(
                Code::Usage,
                format!("line {line} of which file? the data has {}", files.len()),
            )
            .why(format!("files: {}", listed(&files)))
            .fix("--file NAME, as one of these is spelled"));
        }
    };
    let line = wanted.line.unwrap_or(u64::MAX);
    let mut here = (0..all.len()).filter(|i| all[*i].origin.file == file);
    let first = here.clone().next();
    let found = match wanted.line {
        None => first,
        // The first of a sample's rows.
        Some(_) => here
            .rfind(|i| all[*i].origin.line <= line)
            .and_then(|last| (0..=last).find(|i| all[*i].origin == all[last].origin)),
    };
    found.ok_or_else(|| {
        let begins = first.map(|i| all[i].origin.line);
        let why = match begins {
            Some(begins) => format!("its first sample begins in line {begins}"),
            None => format!("files with samples: {}", listed(&files)),
        };
        Error::new(Code::Usage, format!("there is no sample at {file}:{line}"))
            .why(why)
            .fix("--file NAME --line NUMBER of a line that belongs to a sample")
    })
}
