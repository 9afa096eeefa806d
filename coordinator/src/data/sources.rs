//! Which files a run reads, and from which source of `data_sources` each comes.
//!
//! In: `train_data_dir`, `data_sources`. Out: the files in order: of each source in name order,
//! sources as they are written. Keeps: names start from `train_data_dir`; no file is read twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shared::config::{DataSource, FormatConfig, RunConfig};
use shared::dataset::DatasetWriter;
use shared::error::{Code, Error, Result};

use super::files::{self, SourceFile};
use super::mixing;
use super::report::{DataReport, SourceReport};

/// A mixture has at most so many times the rows there are.
const MOST: u64 = 100;

/// All files of a run, in order.
pub(crate) fn list(config: &RunConfig) -> Result<Vec<SourceFile>> {
    let root = &config.train_data_dir;
    if config.formats.sources.is_empty() {
        return files::list(root);
    }
    let mut all: Vec<SourceFile> = Vec::new();
    let mut seen: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for source in &config.formats.sources {
        let path = files::folder(root).join(&source.path);
        if !path.exists() {
            return Err(Error::new(
                Code::MissingPath,
                format!("`data_sources` names {}, which is not there", source.path),
            )
            .in_file(&path)
            .why("its paths start from train_data_dir")
            .fix(
                "--set data_sources=[PATH=WEIGHT,...] with files and folders below train_data_dir",
            ));
        }
        for mut file in files::list(&path)? {
            file.name = match path.is_dir() {
                true => format!("{}/{}", source.path, file.name),
                false => source.path.clone(),
            };
            let real = file
                .path
                .canonicalize()
                .unwrap_or_else(|_| file.path.clone());
            if let Some(earlier) = seen.insert(real, &source.path) {
                return Err(
                    Error::new(Code::Contradiction, "two of `data_sources` hold one file")
                        .in_file(&file.path)
                        .why(format!("it belongs to {earlier} and to {}", source.path))
                        .fix("name folders that do not lie in one another"),
                );
            }
            all.push(file);
        }
    }
    Ok(all)
}

/// The rows in the shares of `data_sources`, and what the report says of it; as they are without. Many
/// rows are put into files of the folder in `durable`.
pub(crate) fn mix(
    config: &RunConfig,
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
    let writer = writer.reordered(&mixing::order(&rows, &counts, config.seed), durable)?;
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
