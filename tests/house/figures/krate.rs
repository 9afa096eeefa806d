//! The production module tree of one crate, found as the compiler finds it: from `lib.rs` and
//! `main.rs` along `mod` declarations that are not under `cfg(test)`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta};

use super::sources::Sources;
use super::test_code::{is_test, strip};

/// The names from the crate's root to a module; the root's is empty.
pub type ModulePath = Vec<String>;

/// A production file, parsed and rid of its test items.
pub struct File {
    /// The path from the repository's root.
    pub path: String,
    /// The module whose body the file is.
    pub module: ModulePath,
    /// The syntax without test items.
    pub syntax: syn::File,
    /// The whole text, test items included.
    pub text: String,
    /// The lines of the test items.
    pub test_lines: Vec<RangeInclusive<usize>>,
}

impl File {
    /// Whether a line, counted from 1, belongs to a test item.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.iter().any(|lines| lines.contains(&line))
    }
}

/// A module and the names that it defines.
pub struct Module {
    /// The index of the file that holds the module's body.
    pub file: usize,
    /// Names of its own items, modules left out.
    pub items: BTreeSet<String>,
    /// What its `use` declarations name: each name's path as written.
    pub imports: BTreeMap<String, Vec<String>>,
    /// Paths before `::*` in its `use` declarations.
    pub globs: Vec<Vec<String>>,
}

/// One crate's production code.
pub struct Crate {
    /// The package's name, which is also its folder.
    pub name: String,
    /// All files, `lib.rs` first.
    pub files: Vec<File>,
    /// All modules by their path.
    pub modules: BTreeMap<ModulePath, Module>,
    /// The file of each `#[macro_export]` macro, which is named from the crate's root.
    pub macros: BTreeMap<String, usize>,
}

impl Crate {
    /// Reads a crate. `main.rs` counts as a module `main` beside the library's own.
    pub fn parse(sources: &Sources, name: &str) -> Result<Self, String> {
        let mut found = Self {
            name: name.to_owned(),
            files: Vec::new(),
            modules: BTreeMap::new(),
            macros: BTreeMap::new(),
        };
        let folder = format!("{name}/src");
        found.add(sources, format!("{folder}/lib.rs"), &folder, Vec::new())?;
        let main = format!("{folder}/main.rs");
        if sources.text(&main).is_some() {
            found.add(sources, main, &folder, vec!["main".to_owned()])?;
        }
        Ok(found)
    }

    /// Whether a module has another one as its direct child.
    pub fn has_child(&self, module: &[String], name: &str) -> bool {
        let mut child = module.to_vec();
        child.push(name.to_owned());
        self.modules.contains_key(&child)
    }

    /// Adds a file and the files that it declares. `folder` is where its own child modules lie.
    fn add(
        &mut self,
        sources: &Sources,
        path: String,
        folder: &str,
        module: ModulePath,
    ) -> Result<(), String> {
        let text = sources.text(&path).ok_or(format!("{path}: no such file"))?;
        let mut syntax = syn::parse_file(text).map_err(|error| {
            let line = error.span().start().line;
            format!("{path}:{line}: {error}")
        })?;
        if is_test(&syntax.attrs) {
            return Ok(());
        }
        let test_lines = strip(&mut syntax.items);
        let file = self.files.len();
        let items = syntax.items.clone();
        self.files.push(File {
            path,
            module: module.clone(),
            syntax,
            text: text.to_owned(),
            test_lines,
        });
        self.add_module(sources, &items, folder, module, file)
    }

    fn add_module(
        &mut self,
        sources: &Sources,
        items: &[Item],
        folder: &str,
        path: ModulePath,
        file: usize,
    ) -> Result<(), String> {
        let module = Module {
            file,
            items: items.iter().filter_map(name_of).collect(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
        };
        self.modules.insert(path.clone(), module);
        for item in items {
            if let Item::Macro(it) = item
                && it.attrs.iter().any(|a| a.path().is_ident("macro_export"))
                && let Some(name) = &it.ident
            {
                self.macros.insert(name.to_string(), file);
            }
            let Item::Mod(child) = item else { continue };
            let name = child.ident.to_string();
            let mut child_path = path.clone();
            child_path.push(name.clone());
            let inner = format!("{folder}/{name}");
            if let Some((_, items)) = &child.content {
                self.add_module(sources, items, &inner, child_path, file)?;
            } else {
                let (file_path, inner) = self.declared(sources, child, folder, file)?;
                self.add(sources, file_path, &inner, child_path)?;
            }
        }
        Ok(())
    }

    /// The file that `mod name;` means, and the folder of that file's own children.
    fn declared(
        &self,
        sources: &Sources,
        child: &ItemMod,
        folder: &str,
        declaring: usize,
    ) -> Result<(String, String), String> {
        let own = self.files.get(declaring).map_or("", |it| it.path.as_str());
        if let Some(written) = path_attribute(&child.attrs) {
            let beside = own.rsplit_once('/').map_or("", |(folder, _)| folder);
            return Ok((format!("{beside}/{written}"), beside.to_owned()));
        }
        let inner = format!("{folder}/{}", child.ident);
        [format!("{inner}.rs"), format!("{inner}/mod.rs")]
            .into_iter()
            .find(|path| sources.text(path).is_some())
            .map(|path| (path, inner))
            .ok_or(format!("{own}: no file for `mod {}`", child.ident))
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) = &pair.value
        else {
            return None;
        };
        pair.path.is_ident("path").then(|| text.value())
    })
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(it) => &it.ident,
        Item::Enum(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Macro(it) => it.ident.as_ref()?,
        Item::Static(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::TraitAlias(it) => &it.ident,
        Item::Type(it) => &it.ident,
        Item::Union(it) => &it.ident,
        _ => return None,
    };
    Some(ident.to_string())
}
