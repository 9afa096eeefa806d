//! One crate with everything that is measured of it.

use std::collections::BTreeSet;

use super::arrows::{Arrows, arrows};
use super::circles::{circles, graph};
use super::docs::short_docs;
use super::krate::Crate;
use super::lengths::{Function, functions};
use super::rooms::{Folder, folders};
use super::sources::Sources;

/// The longest function that the house allows.
pub const LONGEST_FUNCTION: usize = 80;

/// The figures of one crate.
pub struct Measured {
    /// The crate's production code.
    pub krate: Crate,
    /// Its imports from file to file.
    pub arrows: Arrows,
    /// Its folders, the crate's own first.
    pub folders: Vec<Folder>,
    /// The crate's production functions.
    pub functions: Vec<Function>,
}

impl Measured {
    /// Measures one crate.
    pub fn new(sources: &Sources, name: &str) -> Result<Self, String> {
        let mut krate = Crate::parse(sources, name)?;
        let arrows = arrows(&mut krate);
        Ok(Self {
            folders: folders(&krate, &arrows),
            functions: functions(&krate),
            krate,
            arrows,
        })
    }

    /// Functions over the limit, as name, place and length.
    pub fn long_functions(&self) -> Vec<String> {
        self.functions
            .iter()
            .filter(|it| it.lines > LONGEST_FUNCTION)
            .map(|it| format!("{} {} {}", it.name, it.place, it.lines))
            .collect()
    }

    /// Circles of files, by path.
    pub fn file_circles(&self) -> Vec<Vec<&str>> {
        circles(&graph(self.arrows.keys().copied()))
            .iter()
            .map(|circle| circle.iter().map(|file| self.path(*file)).collect())
            .collect()
    }

    /// Imports between the crate's top rooms.
    pub fn top_arrows(&self) -> BTreeSet<(String, String)> {
        let top = self.folders.first();
        top.map(|folder| folder.arrows.clone()).unwrap_or_default()
    }

    /// Circles of the crate's top rooms.
    pub fn folder_circles(&self) -> Vec<BTreeSet<String>> {
        let top = self.folders.first();
        top.map(Folder::circles).unwrap_or_default()
    }

    /// Circles of any folder's rooms, with the folder's path.
    pub fn room_circles(&self) -> Vec<(&str, BTreeSet<String>)> {
        let of = |folder: &Folder| folder.circles().into_iter();
        self.folders
            .iter()
            .flat_map(|folder| of(folder).map(|circle| (folder.path.as_str(), circle)))
            .collect()
    }

    /// Imports that run back up, each as its place and what it imports.
    pub fn up_arrows(&self) -> Vec<String> {
        let pairs = self.folders.iter().flat_map(|folder| &folder.up);
        pairs
            .filter_map(|(from, to)| {
                let import = self.arrows.get(&(*from, *to))?;
                let names: Vec<&str> = import.paths.iter().map(String::as_str).collect();
                let (from, to) = (self.path(*from), self.path(*to));
                Some(format!(
                    "{from}:{} -> {to} ({})",
                    import.line,
                    names.join(", ")
                ))
            })
            .collect()
    }

    /// Production doc comments of one or two words, as place and text.
    pub fn short_docs(&self) -> Vec<String> {
        let mut found = Vec::new();
        for file in &self.krate.files {
            let docs = short_docs(&file.text).into_iter();
            for doc in docs.filter(|doc| !file.is_test_line(doc.line)) {
                found.push(format!("{}:{} {}", file.path, doc.line, doc.text));
            }
        }
        found
    }

    fn path(&self, file: usize) -> &str {
        self.krate.files.get(file).map_or("", |it| &it.path)
    }
}
