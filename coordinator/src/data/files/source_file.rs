//! A file of the user's: its name in messages, its path, and the ending that says how it is read.

use std::path::{Path, PathBuf};

/// Endings that have a reader.
pub(crate) const KNOWN: &[&str] = &[
    "txt", "jsonl", "json", "csv", "tsv", "xlsx", "xlsm", "xls", "ods", "parquet", "arrow",
];
/// Endings of compressed files, behind the ending of what is in them: `law.jsonl.gz`.
pub(crate) const PACKED: &[&str] = &["gz", "zst"];

/// A file of the training data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceFile {
    /// Path below the data folder, with `/`.
    pub name: String,
    pub path: PathBuf,
}

impl SourceFile {
    /// The ending in lower case; of a compressed file that of what is in it.
    pub(crate) fn extension(&self) -> String {
        let last = ending(&self.path);
        if PACKED.contains(&last.as_str()) {
            return ending(Path::new(self.path.file_stem().unwrap_or_default()));
        }
        last
    }

    /// A file by its path alone.
    pub(crate) fn single(path: &Path) -> Self {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self {
            name,
            path: path.to_path_buf(),
        }
    }
}

/// The last ending of a name, in lower case.
pub(crate) fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_lowercase()
}
