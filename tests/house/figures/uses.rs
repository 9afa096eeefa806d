//! A `use` tree as flat imports.

use syn::UseTree;

/// One name that a `use` declaration brings in.
pub struct Import {
    /// The path as written, without renaming.
    pub path: Vec<String>,
    /// The name in this module, or none for `::*`.
    pub name: Option<String>,
    /// The line of the path's last name.
    pub line: usize,
}

/// All imports of a tree.
pub fn imports(tree: &UseTree) -> Vec<Import> {
    let mut found = Vec::new();
    flatten(tree, &mut Vec::new(), &mut found);
    found
}

fn flatten(tree: &UseTree, prefix: &mut Vec<String>, found: &mut Vec<Import>) {
    match tree {
        UseTree::Path(it) => {
            prefix.push(it.ident.to_string());
            flatten(&it.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(it) => {
            for tree in &it.items {
                flatten(tree, prefix, found);
            }
        }
        UseTree::Name(it) => found.push(import(prefix, &it.ident, None)),
        UseTree::Rename(it) => found.push(import(prefix, &it.ident, Some(&it.rename))),
        UseTree::Glob(it) => found.push(Import {
            path: prefix.clone(),
            name: None,
            line: it.star_token.span.start().line,
        }),
    }
}

fn import(prefix: &[String], ident: &syn::Ident, rename: Option<&syn::Ident>) -> Import {
    let mut path = prefix.to_vec();
    if ident != "self" || path.is_empty() {
        path.push(ident.to_string());
    }
    let name = rename.map_or_else(
        || path.last().cloned().unwrap_or_default(),
        syn::Ident::to_string,
    );
    Import {
        path,
        name: Some(name),
        line: ident.span().start().line,
    }
}
