//! Every path that a file writes: in `use` declarations, in code, inside macro calls, and in
//! serde's attributes.

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ItemMod, ItemUse, Lit, Macro, Meta, MetaList, Token, Visibility};

use super::krate::{File, ModulePath};
use super::uses::imports;

/// The keys of serde's attribute whose strings are paths.
const SERDE_PATHS: [&str; 5] = [
    "default",
    "deserialize_with",
    "serialize_with",
    "skip_serializing_if",
    "with",
];

/// How a path is written, which decides whether it is an import.
pub enum Kind {
    /// A private `use` under this name, or a glob.
    Use(Option<String>),
    /// A `pub use`, which passes a name on and alone is no import.
    ReExport(Option<String>),
    /// A path in code.
    Code,
    /// A path in serde's attribute, which may name a module whose functions serde calls.
    Serde,
}

/// A path, and the module from which it is written.
pub struct Written {
    /// The innermost module around the path.
    pub module: ModulePath,
    /// The names between `::`.
    pub path: Vec<String>,
    /// Where it stands.
    pub line: usize,
    /// How it is written.
    pub kind: Kind,
}

/// All paths of a file's production code.
pub fn written(file: &File) -> Vec<Written> {
    let mut visitor = Paths {
        module: file.module.clone(),
        found: Vec::new(),
    };
    visitor.visit_file(&file.syntax);
    visitor.found
}

struct Paths {
    module: ModulePath,
    found: Vec<Written>,
}

impl Paths {
    fn add(&mut self, path: Vec<String>, line: usize, kind: Kind) {
        self.found.push(Written {
            module: self.module.clone(),
            path,
            line,
            kind,
        });
    }

    /// Reads paths out of tokens that nothing has parsed.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(ident) if starts_path(&tokens, at) => {
                    let line = ident.span().start().line;
                    let mut path = vec![ident.to_string()];
                    while let Some(next) = continued(&tokens, at) {
                        path.push(next);
                        at += 3;
                    }
                    self.add(path, line, Kind::Code);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads the paths that serde's attribute holds in strings.
    fn serde(&mut self, list: &MetaList) {
        let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
        for meta in list.parse_args_with(parser).into_iter().flatten() {
            if let Meta::NameValue(pair) = meta
                && SERDE_PATHS.iter().any(|key| pair.path.is_ident(key))
                && let Expr::Lit(value) = &pair.value
                && let Lit::Str(text) = &value.lit
            {
                let path = text.value().split("::").map(str::to_owned).collect();
                self.add(path, text.span().start().line, Kind::Serde);
            }
        }
    }
}

/// Whether the identifier at `at` is a path's first name and no field, method or lifetime.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let before = |back: usize| {
        let punct = at.checked_sub(back).and_then(|index| tokens.get(index));
        match punct {
            Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
            _ => None,
        }
    };
    match before(1) {
        Some('.') => before(2) == Some('.'),
        Some(':') => before(2) != Some(':'),
        Some('\'') => false,
        _ => true,
    }
}

/// The name after the `::` that follows the identifier at `at`.
fn continued(tokens: &[TokenTree], at: usize) -> Option<String> {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    if !colon(tokens.get(at + 1)) || !colon(tokens.get(at + 2)) {
        return None;
    }
    match tokens.get(at + 3) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        for import in imports(&item.tree) {
            let kind = match item.vis {
                Visibility::Inherited => Kind::Use(import.name),
                _ => Kind::ReExport(import.name),
            };
            self.add(import.path, import.line, kind);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
            let line = path.segments.first().map(|s| s.ident.span().start().line);
            self.add(names, line.unwrap_or_default(), Kind::Code);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
            if list.path.is_ident("serde") {
                self.serde(list);
            }
        }
    }
}
