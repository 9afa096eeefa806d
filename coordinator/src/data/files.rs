//! Which files hold the data, in name order.
//!
//! In: `train_data_dir`, a folder (with its subfolders) or one file. Out: the files with a known
//! ending, sorted by their path below the folder, and a notice for each that is not read.

use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};

/// Endings that have a reader.
pub(crate) const KNOWN: &[&str] = &["txt", "jsonl", "json", "csv", "tsv", "parquet"];
/// Endings of compressed files, behind the ending of what is in them: `law.jsonl.gz`.
pub(crate) const PACKED: &[&str] = &["gz", "zst"];

/// A file of the user's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceFile {
    /// Path below the data folder, with `/`.
    pub name: String,
    /// Where it is.
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

/// All files of the data folder, hidden ones left out; a single file stands for itself.
pub(crate) fn list(root: &Path) -> Result<Vec<SourceFile>> {
    if root.is_file() {
        return Ok(vec![SourceFile::single(root)]);
    }
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort();
    Ok(files)
}

/// The folder that relative paths of a metadata file start from.
pub(crate) fn folder(root: &Path) -> &Path {
    if root.is_file() {
        root.parent().unwrap_or(root)
    } else {
        root
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let failed = |e: std::io::Error| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let code = if missing { Code::MissingPath } else { Code::Io };
        Error::new(code, "train_data_dir cannot be read")
            .in_file(folder)
            .why(e.to_string())
            .fix("--set train_data_dir=FOLDER with the training files")
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let linked_folder = entry.file_type().map_err(failed)?.is_symlink() && path.is_dir();
        if linked_folder {
            return Err(
                Error::new(Code::Io, "a linked folder lies in train_data_dir")
                    .in_file(&path)
                    .why("links to folders can form a circle, they are not followed")
                    .fix("put the folder itself there, or name it as train_data_dir"),
            );
        }
        if path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), files)?;
        } else {
            files.push(SourceFile {
                name: format!("{prefix}{name}"),
                path,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_name_order_with_their_subfolder() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("b")).unwrap();
        for name in ["c.txt", "b/x.csv", "a.JSON", ".hidden"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let files = list(root.path()).unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a.JSON", "b/x.csv", "c.txt"]);
        assert_eq!(files[0].extension(), "json");
    }

    #[test]
    fn a_single_file_stands_for_itself() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("q.txt");
        std::fs::write(&path, "").unwrap();
        assert_eq!(list(&path).unwrap()[0].name, "q.txt");
        assert_eq!(folder(&path), root.path());
    }
}
