//! Imports inside one folder. A room is a direct child: a file, or a folder with all below it.

use std::collections::BTreeSet;

use super::arrows::Arrows;
use super::circles::{circles, graph};
use super::krate::{Crate, ModulePath};

/// One folder's figures.
pub struct Folder {
    /// Its path from the repository's root.
    pub path: String,
    /// The names of its rooms.
    pub rooms: BTreeSet<String>,
    /// Imports from room to room.
    pub arrows: BTreeSet<(String, String)>,
    /// Files below that import an item of the folder's own module file: (importing, imported).
    pub up: BTreeSet<(usize, usize)>,
}

impl Folder {
    /// Circles of rooms.
    pub fn circles(&self) -> Vec<BTreeSet<String>> {
        circles(&graph(self.arrows.iter().cloned()))
    }
}

/// Every folder of a crate, the crate's own first.
pub fn folders(of: &Crate, arrows: &Arrows) -> Vec<Folder> {
    let parents: BTreeSet<ModulePath> = of
        .files
        .iter()
        .filter_map(|file| Some(file.module.split_last()?.1.to_vec()))
        .collect();
    parents.iter().map(|at| folder(of, arrows, at)).collect()
}

fn folder(of: &Crate, arrows: &Arrows, at: &[String]) -> Folder {
    let module = |file: usize| of.files.get(file).map_or(&[][..], |it| &it.module);
    let room = |file: usize| module(file).strip_prefix(at)?.first().cloned();
    let mut path = format!("{}/src", of.name);
    for name in at {
        path = format!("{path}/{name}");
    }
    let pairs = arrows.keys();
    Folder {
        path,
        rooms: (0..of.files.len()).filter_map(room).collect(),
        arrows: pairs
            .clone()
            .filter_map(|(from, to)| Some((room(*from)?, room(*to)?)))
            .filter(|(from, to)| from != to)
            .collect(),
        up: pairs
            .copied()
            .filter(|(from, to)| room(*from).is_some() && module(*to) == at)
            .collect(),
    }
}
