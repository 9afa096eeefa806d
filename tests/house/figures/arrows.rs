//! Imports from file to file inside one crate.
//!
//! An arrow is a private `use` or a path in code whose item another file of the crate defines.
//! `mod x;` is none, and neither is a `pub use` whose name the file itself does not use.

use std::collections::{BTreeMap, BTreeSet};

use super::krate::Crate;
use super::paths::{Kind, Written, written};
use super::resolve::{Target, resolve};

/// Where and what one file imports from another.
#[derive(Default)]
pub struct Import {
    /// The line of the first path.
    pub line: usize,
    /// The paths as written.
    pub paths: BTreeSet<String>,
}

/// Imports by importing and imported file.
pub type Arrows = BTreeMap<(usize, usize), Import>;

/// Reads a crate's `use` declarations into its modules and returns its arrows.
pub fn arrows(of: &mut Crate) -> Arrows {
    let all: Vec<Vec<Written>> = of.files.iter().map(written).collect();
    for found in all.iter().flatten() {
        note_import(of, found);
    }
    let mut arrows = Arrows::new();
    for (from, found) in all.iter().enumerate() {
        for path in found {
            let Some(to) = imported(of, path).filter(|to| *to != from) else {
                continue;
            };
            let arrow = arrows.entry((from, to)).or_default();
            if arrow.paths.is_empty() || path.line < arrow.line {
                arrow.line = path.line;
            }
            if arrow.paths.is_empty() || !through_import(of, path) {
                arrow.paths.insert(path.path.join("::"));
            }
        }
    }
    arrows
}

fn note_import(of: &mut Crate, found: &Written) {
    let Some(module) = of.modules.get_mut(&found.module) else {
        return;
    };
    match &found.kind {
        Kind::Use(Some(name)) | Kind::ReExport(Some(name)) => {
            module.imports.insert(name.clone(), found.path.clone());
        }
        Kind::Use(None) | Kind::ReExport(None) => module.globs.push(found.path.clone()),
        Kind::Code | Kind::Serde => {}
    }
}

/// Whether a path in code starts at a name that a `use` already shows.
fn through_import(of: &Crate, found: &Written) -> bool {
    let (Kind::Code, Some(first)) = (&found.kind, found.path.first()) else {
        return false;
    };
    let module = of.modules.get(&found.module);
    module.is_some_and(|module| module.imports.contains_key(first))
}

/// The file whose item a path imports. A module named alone imports nothing yet.
fn imported(of: &Crate, found: &Written) -> Option<usize> {
    if matches!(found.kind, Kind::ReExport(_)) {
        return None;
    }
    match resolve(of, &found.module, &found.path)? {
        Target::Item(file) => Some(file),
        Target::Module(module) if matches!(found.kind, Kind::Use(None) | Kind::Serde) => {
            Some(of.modules.get(&module)?.file)
        }
        Target::Module(_) => None,
    }
}
