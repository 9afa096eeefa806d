//! The rows of `data_sources` in the shares that their weights say.
//!
//! In: all rows, `data_sources`, the seed. Out: the mixed rows, and what each source gave. Keeps: a
//! source without a sample is refused, and so are weights that would make mostly copies.

use std::path::Path;

use shared::config::{DataSource, FormatConfig, Mixing};
use shared::dataset::DatasetWriter;
use shared::error::{Code, Error, Result};

use super::mixing;
use crate::data::config::DataConfig;
use crate::data::files;
use crate::data::report::{DataReport, SourceReport};

/// A mixture has at most so many times the rows there are.
const MOST: u64 = 100;

/// The rows in the shares of `data_sources`, and what the report says of it; as they are without. Many
/// rows are put into files of the folder in `durable`.
pub(crate) fn mix(
    config: &DataConfig,
    writer: DatasetWriter,
    report: &mut DataReport,
    durable: Option<(&Path, &str)>,
) -> Result<DatasetWriter> {
    let FormatConfig {
        sources, mixing, ..
    } = &config.formats;
    if sources.is_empty() {
        return Ok(writer);
    }
    let mut rows = vec![0_u64; sources.len()];
    for (file, count) in writer.rows_by_file()? {
        let source = of(sources, &file).ok_or_else(|| {
            Error::new(Code::Internal, "a row belongs to none of data_sources").why(file.clone())
        })?;
        rows[source] += count;
    }
    let folder = files::folder(&config.train_data_dir);
    if let Some(source) = rows.iter().position(|&rows| rows == 0) {
        return Err(empty(folder, &sources[source]));
    }
    let weights: Vec<u64> = sources.iter().map(|source| source.weight).collect();
    let counts = mixing::counts(&rows, &weights, *mixing);
    let all = writer.rows() as u64;
    let mixed = counts
        .iter()
        .fold(0_u64, |sum, count| sum.saturating_add(*count));
    if mixed > all.saturating_mul(MOST) {
        return Err(too_many(folder, all, mixed));
    }
    let key = durable.map(|(folder, name)| (folder, format!("{name}-mixed")));
    let durable = key.as_ref().map(|(folder, key)| (*folder, key.as_str()));
    let writer = match mixing {
        Mixing::Concatenate => writer,
        Mixing::Repeat | Mixing::Subsample => {
            writer.reordered(&mixing::order(&rows, &counts, config.seed), durable)?
        }
    };
    let told = sources.iter().zip(rows.iter().zip(&counts));
    report.sources = told
        .map(|(source, (&samples, &rows))| SourceReport {
            path: source.path.clone(),
            weight: source.written_weight(),
            samples,
            rows,
        })
        .collect();
    let (tokens, learned) = writer.sizes()?;
    let sum = |sizes: &[u32]| -> u64 { sizes.iter().copied().map(u64::from).sum() };
    report.samples = tokens.len() as u64;
    (report.tokens, report.target_tokens) = (sum(&tokens), sum(&learned));
    Ok(writer)
}

/// The source that a file belongs to.
fn of(sources: &[DataSource], file: &str) -> Option<usize> {
    sources.iter().position(|source| {
        let below = file.strip_prefix(source.path.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// A source without a sample cannot have a share.
fn empty(folder: &Path, source: &DataSource) -> Error {
    Error::new(
        Code::EmptyData,
        format!("{} of `data_sources` has no sample", source.path),
    )
    .in_file(folder.join(&source.path))
    .why("nothing can be mixed in from it, whatever its weight")
    .fix("take it out of data_sources, or put samples there")
}

/// Weights so unequal that the mixture would be mostly copies.
fn too_many(folder: &Path, rows: u64, mixed: u64) -> Error {
    Error::new(
        Code::OutOfRange,
        format!("the weights of `data_sources` would make {mixed} rows of {rows}"),
    )
    .in_file(folder)
    .why("every row is to be there at least once, so scarce sources would come many times")
    .fix("--set data_mixing=subsample, or weights closer to the sizes of the sources")
}
