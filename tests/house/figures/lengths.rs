//! Lengths of files and functions.

use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, ItemImpl, ItemTrait, Signature, TraitItemFn, Type};

use super::krate::{Crate, File};

/// A function from `fn` to its closing brace, both lines counted.
pub struct Function {
    /// The name, after that of its type or trait.
    pub name: String,
    /// Path and line of `fn`.
    pub place: String,
    /// The number of lines.
    pub lines: usize,
}

/// A file's lines outside test items.
pub fn production_lines(file: &File) -> usize {
    let lines = file.text.lines().count();
    (1..=lines).filter(|line| !file.is_test_line(*line)).count()
}

/// All production functions with a body.
pub fn functions(of: &Crate) -> Vec<Function> {
    let mut found = Vec::new();
    for file in &of.files {
        let mut visitor = Functions {
            path: &file.path,
            owner: None,
            found: &mut found,
        };
        visitor.visit_file(&file.syntax);
    }
    found
}

/// The smallest of `values` that at least `percent` of them do not exceed (nearest rank).
pub fn percentile(values: &[usize], percent: usize) -> usize {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

struct Functions<'a> {
    path: &'a str,
    owner: Option<String>,
    found: &'a mut Vec<Function>,
}

impl Functions<'_> {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        let name = &signature.ident;
        self.found.push(Function {
            name: match &self.owner {
                Some(owner) => format!("{owner}::{name}"),
                None => name.to_string(),
            },
            place: format!("{}:{first}", self.path),
            lines: last + 1 - first,
        });
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        let owner = self.owner.take();
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
        self.owner = owner;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.add(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let outer = self.owner.take();
        self.owner = match &*item.self_ty {
            Type::Path(it) => it.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        let outer = self.owner.replace(item.ident.to_string());
        visit::visit_item_trait(self, item);
        self.owner = outer;
    }
}
