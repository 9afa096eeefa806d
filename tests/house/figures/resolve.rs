//! A path to the file that defines its item. Re-exports are followed; where that fails, the item
//! counts for the module that the path names.

use super::krate::{Crate, ModulePath};

/// Re-exports in a row before resolution gives up, since two globs may name each other.
const DEEPEST: usize = 16;

/// What a path means inside its crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A module itself, with none of its items.
    Module(ModulePath),
    /// An item, by the index of the file that defines it.
    Item(usize),
}

/// Resolves a path written in `module`, or returns none where it leads out of the crate.
pub fn resolve(of: &Crate, module: &[String], path: &[String]) -> Option<Target> {
    start(of, module, path, 0)
}

fn start(of: &Crate, module: &[String], path: &[String], depth: usize) -> Option<Target> {
    let (first, rest) = path.split_first()?;
    if depth > DEEPEST {
        return None;
    }
    match first.as_str() {
        "crate" => walk(of, Vec::new(), rest, depth),
        "self" => walk(of, module.to_vec(), rest, depth),
        "super" => {
            let (_, parent) = module.split_last()?;
            let mut path = vec!["self".to_owned()];
            path.extend_from_slice(rest);
            match rest.first().map(String::as_str) {
                Some("super") => start(of, parent, rest, depth),
                _ => start(of, parent, &path, depth),
            }
        }
        name if name == of.name => walk(of, Vec::new(), rest, depth),
        name if !rest.is_empty() && of.has_child(module, name) => {
            walk(of, module.to_vec(), path, depth)
        }
        name => match imported(of, module, name, depth) {
            Some(Target::Module(module)) => walk(of, module, rest, depth),
            None if of.has_child(module, name) => walk(of, child(module, name), rest, depth),
            found => found,
        },
    }
}

/// What a `use` declaration of `module` means by `name`.
fn imported(of: &Crate, module: &[String], name: &str, depth: usize) -> Option<Target> {
    let import = of.modules.get(module)?.imports.get(name)?;
    start(of, module, import, depth + 1)
}

fn child(module: &[String], name: &str) -> ModulePath {
    let mut child = module.to_vec();
    child.push(name.to_owned());
    child
}

/// Follows `path` from a module downwards.
fn walk(of: &Crate, mut module: ModulePath, path: &[String], depth: usize) -> Option<Target> {
    let mut rest = path;
    while let Some((name, after)) = rest.split_first() {
        if !after.is_empty() && of.has_child(&module, name) {
            module.push(name.clone());
        } else {
            match member(of, &module, name, depth)? {
                Target::Module(found) => module = found,
                item @ Target::Item(_) => return Some(item),
            }
        }
        rest = after;
    }
    Some(Target::Module(module))
}

/// What `name` is in a module: its own item, what its `use` brings, or a child module.
fn member(of: &Crate, module: &[String], name: &str, depth: usize) -> Option<Target> {
    let at = of.modules.get(module)?;
    if at.items.contains(name) {
        return Some(Target::Item(at.file));
    }
    if module.is_empty()
        && let Some(file) = of.macros.get(name)
    {
        return Some(Target::Item(*file));
    }
    if at.imports.contains_key(name) {
        let found = imported(of, module, name, depth);
        return Some(found.unwrap_or(Target::Item(at.file)));
    }
    if of.has_child(module, name) {
        return Some(Target::Module(child(module, name)));
    }
    let through_glob = at.globs.iter().find_map(|glob| {
        let Target::Module(from) = start(of, module, glob, depth + 1)? else {
            return None;
        };
        let defined = of.modules.get(&from)?;
        let known = defined.items.contains(name) || defined.imports.contains_key(name);
        known.then(|| member(of, &from, name, depth + 1))?
    });
    Some(through_glob.unwrap_or(Target::Item(at.file)))
}
