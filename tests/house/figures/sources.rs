//! The text of every Rust file of the repository, held in memory so that each measure is pure.

use std::collections::BTreeMap;
use std::path::Path;

/// The crates whose `src` is production code. The crate `tests` is test code throughout.
pub const CRATES: [&str; 3] = ["shared", "coordinator", "worker"];

/// Rust files by their path from the repository's root, with `/` between names.
pub struct Sources {
    files: BTreeMap<String, String>,
}

impl Sources {
    /// Reads the crates and `tests`, without build output.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        for name in CRATES.iter().chain(&["tests"]) {
            let folder = root.join(name);
            if folder.is_dir() {
                read_folder(&folder, name, &mut files)
                    .map_err(|error| format!("{}: {error}", folder.display()))?;
            }
        }
        Ok(Self { files })
    }

    /// Sources that a test makes up.
    #[cfg(test)]
    pub fn made_up(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self {
            files: files.iter().map(owned).collect(),
        }
    }

    /// One file's text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Path and text of each file of one crate, build scripts left out.
    pub fn of_crate<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = format!("{name}/");
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(move |(path, _)| {
                path.strip_prefix(&prefix)
                    .is_some_and(|rest| rest != "build.rs")
            })
    }
}

fn read_folder(
    folder: &Path,
    name: &str,
    files: &mut BTreeMap<String, String>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let child = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{name}/{child}");
        if entry.file_type()?.is_dir() {
            if child != "target" && !child.starts_with('.') {
                read_folder(&entry.path(), &path, files)?;
            }
        } else if child.ends_with(".rs") {
            files.insert(path, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}
