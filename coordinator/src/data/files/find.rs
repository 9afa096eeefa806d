//! Which files hold the data, in order.
//!
//! In: `train_data_dir`, a folder (with its subfolders) or one file, and `data_sources`. Out: all
//! files in name order; with `data_sources` those of each source in name order, sources as they are
//! written. Keeps: names start from `train_data_dir`; no file is read twice; hidden files are left out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};

use super::source_file::SourceFile;
use crate::data::config::DataConfig;

/// All files of the data folder, hidden ones left out; a single file stands for itself.
pub(crate) fn list(root: &Path) -> Result<Vec<SourceFile>> {
    if root.is_file() {
        return Ok(vec![SourceFile::single(root)]);
    }
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    files.sort();
    Ok(files)
}

/// The folder that relative paths of a metadata file and of `data_sources` start from.
pub(crate) fn folder(root: &Path) -> &Path {
    if root.is_file() {
        root.parent().unwrap_or(root)
    } else {
        root
    }
}

/// All files of a run, in order; those of `data_sources` where it names some.
pub(crate) fn of_run(config: &DataConfig) -> Result<Vec<SourceFile>> {
    let root = &config.train_data_dir;
    if config.formats.sources.is_empty() {
        return list(root);
    }
    let mut all: Vec<SourceFile> = Vec::new();
    let mut seen: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for source in &config.formats.sources {
        let path = folder(root).join(&source.path);
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
        for mut file in list(&path)? {
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

fn collect(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let failed = |e: std::io::Error| {
        let code = match e.kind() {
            ErrorKind::NotFound => Code::MissingPath,
            ErrorKind::PermissionDenied => Code::Unreadable,
            _ => Code::Io,
        };
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
                Error::new(Code::Unreadable, "a linked folder lies in train_data_dir")
                    .in_file(&path)
                    .why("links to folders can form a circle, they are not followed")
                    .fix("put the folder itself there, or name it as train_data_dir"),
            );
        }
        readable(&path)?;
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files)?;
        } else {
            files.push(SourceFile {
                name: format!("{prefix}{name}"),
                path,
            });
        }
    }
    Ok(())
}

/// Refuses what is there by name only, or would never end.
fn readable(path: &Path) -> Result<()> {
    let refused = |what: &str| Error::new(Code::Unreadable, what.to_owned()).in_file(path);
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() => Ok(()),
        Ok(_) => Err(refused("what lies in train_data_dir is no file")
            .why("a pipe, a socket or a device has no end that a run could wait for")
            .fix("take it out of the folder")),
        Err(e) => {
            let Ok(target) = std::fs::read_link(path) else {
                return Err(refused("a data file cannot be read").why(e.to_string()));
            };
            Err(refused("a link in train_data_dir leads to nothing")
                .why(format!("it points at {}: {e}", target.display()))
                .fix("put the file there that it means, or take the link out"))
        }
    }
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
