//! File and `--set` laid over each other: what was written for each key, where, by whom.
//!
//! In: the file's pairs and the `--set` texts. Out: at most one [`Written`] per key of the table, and
//! every problem with keys: unknown, repeated, malformed; a notice for each alias.
//! Keeps: defaults < file < `--set`; of two `--set` for one key the later holds; a key the file
//! writes twice is a contradiction, never a choice, and so is a key beside its alias in one layer.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::aliases::{Alias, find_alias};
use super::document::{Item, Mark, Node, Source, shorten};
use super::guess::{Guess, guess};
use super::key::{Fallback, Key};
use super::keys::find;
use super::look_alike;
use crate::error::{Code, Error, Place};

/// What was written for one key.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The text it stands in.
    pub source: Rc<Source>,
    /// The key as it was written, maybe by an alias, with its place.
    pub name: Item,
    /// The value as it was written, not read yet, with its place.
    pub value: Item,
}

/// Everything that the file and `--set` say, by key, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    /// What the file is called.
    pub file_name: String,
    /// The entry that holds for each key, `--set` laid over the file.
    pub written: BTreeMap<&'static str, Written>,
    /// Keys that an unknown one was probably meant to be.
    pub misspelt: BTreeSet<&'static str>,
    /// What is wrong with keys.
    pub problems: Vec<Error>,
    /// Aliases that were met.
    pub notices: Vec<String>,
}

/// A key of the table, and the alias it was written as.
type Known = (&'static Key, Option<&'static Alias>);

impl Written {
    /// `file:line` or `--set`.
    pub(super) fn origin(&self) -> String {
        if self.source.inline {
            "--set".into()
        } else {
            format!("{}:{}", self.source.name, self.name.mark.line)
        }
    }

    /// Orders what was written: by line, `--set` last.
    fn when(&self) -> u64 {
        if self.source.inline {
            u64::MAX
        } else {
            self.name.mark.line
        }
    }

    /// The name it was written under.
    fn called(&self) -> &str {
        match &self.name.node {
            Node::Text(text) => text,
            _ => "",
        }
    }

    /// The place of the value, or of the key when the value is empty.
    pub(super) fn place(&self) -> Place {
        let mark = if self.value.node == Node::Null {
            self.name.mark
        } else {
            self.value.mark
        };
        self.source.place(mark)
    }
}

impl Layers {
    /// Lays `--set` over the file.
    pub(super) fn read(file: Source, overrides: &[String]) -> Self {
        let mut layers = Self {
            file_name: file.name.clone(),
            ..Self::default()
        };
        let file = Rc::new(file);
        match file.pairs() {
            Ok(pairs) => layers.add_file(&file, pairs),
            Err(error) => {
                layers.problems.push(error);
                return layers;
            }
        }
        for text in overrides {
            if let Err(error) = layers.add_override(text) {
                layers.problems.push(error);
            }
        }
        layers
    }

    /// Two keys that contradict each other; the one written later comes second and is the one to blame.
    pub(super) fn in_writing_order(
        &self,
        one: &'static str,
        other: &'static str,
    ) -> (&'static str, &'static str) {
        let when = |key: &str| self.written.get(key).map_or(0, Written::when);
        if when(one) > when(other) {
            (other, one)
        } else {
            (one, other)
        }
    }

    /// Where the value of a key comes from.
    pub(super) fn origin_of(&self, key: &str) -> String {
        let written = self.written.get(key);
        written.map_or_else(|| "default".into(), Written::origin)
    }

    /// Where a key is written, else the file.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let at = self.written.get(key).map(Written::place);
        at.unwrap_or_else(|| Place {
            file: self.file_name.clone(),
            ..Place::default()
        })
    }

    fn add_file(&mut self, source: &Rc<Source>, pairs: Vec<(Item, Item)>) {
        let present: BTreeSet<String> = pairs
            .iter()
            .filter_map(|(name, _)| match &name.node {
                Node::Text(text) => Some(find_alias(text).map_or(text.as_str(), |a| a.key).into()),
                _ => None,
            })
            .collect();
        for (name, value) in pairs {
            let Some(known) = self.known(source, &name, &value, &present) else {
                continue;
            };
            let (key, written) = self.written(known, source, name, value);
            if let Some(first) = self.written.get(key.name) {
                self.problems.push(twice(key, first, &written));
            } else {
                self.written.insert(key.name, written);
            }
        }
    }

    /// What was written, as ours; the notice when it was written as an alias.
    fn written(
        &mut self,
        (key, alias): Known,
        source: &Rc<Source>,
        name: Item,
        value: Item,
    ) -> (&'static Key, Written) {
        let mut written = Written {
            source: Rc::clone(source),
            name,
            value,
        };
        if let Some(alias) = alias {
            written.value = alias.translate(written.value);
            self.notices.push(alias.notice(&written.origin()));
        }
        (key, written)
    }

    fn add_override(&mut self, text: &str) -> Result<(), Error> {
        let name = format!("--set {text}");
        let Some((key_text, value_text)) = text.split_once('=') else {
            let place = Source::inline(name, "").place(Mark::default());
            let error = Error::new(Code::Usage, "`--set` needs `key=value`").at(place);
            let meant = look_alike::meant(text);
            let pair = meant.split_once('=').or_else(|| meant.split_once(':'));
            let error = match look_alike::told(text) {
                Some(odd) => error.why(odd),
                None => error,
            };
            return Err(match pair {
                Some((key, value)) => error.fix(format!("--set {}={}", key.trim(), value.trim())),
                None => error.fix("write it as in `--set lora_rank=16`"),
            });
        };
        let source = Rc::new(Source::inline(name, value_text));
        let value = source.item()?;
        let node = Node::Text(key_text.trim().to_owned());
        let name = Item {
            node,
            mark: Mark::default(),
        };
        let present = self.written.keys().map(|key| (*key).to_owned()).collect();
        let Some(known) = self.known(&source, &name, &value, &present) else {
            return Ok(());
        };
        let (key, written) = self.written(known, &source, name, value);
        match self.written.get(key.name) {
            Some(first) if first.source.inline && first.name.node != written.name.node => {
                let error = twice(key, first, &written);
                self.problems.push(error);
            }
            _ => {
                self.written.insert(key.name, written);
            }
        }
        Ok(())
    }

    /// The key of the table, or a problem.
    fn known(
        &mut self,
        source: &Source,
        name: &Item,
        value: &Item,
        present: &BTreeSet<String>,
    ) -> Option<Known> {
        let Node::Text(text) = &name.node else {
            let what = format!("a key must be text, got {}", name.node.describe());
            let error = Error::new(Code::UnknownKey, what).at(source.place(name.mark));
            self.problems
                .push(error.fix("remove it; `coordinator schema` lists every key"));
            return None;
        };
        if let Some(key) = find(text) {
            return Some((key, None));
        }
        if let Some(alias) = find_alias(text)
            && let Some(key) = find(alias.key)
        {
            return Some((key, Some(alias)));
        }
        let guess = guess(text);
        if guess.is_likely() {
            self.misspelt.insert(guess.key());
        }
        self.problems
            .push(unknown(source, name, text, value, guess, present));
        None
    }
}

fn unknown(
    source: &Source,
    name: &Item,
    text: &str,
    value: &Item,
    guess: Guess,
    present: &BTreeSet<String>,
) -> Error {
    let shown = shorten(text);
    let mut error =
        Error::new(Code::UnknownKey, format!("unknown key `{shown}`")).at(source.place(name.mark));
    if let Some(odd) = look_alike::told(text) {
        error = error.why(odd);
    }
    let key = guess.key();
    if guess.is_likely() && !present.contains(key) {
        error = match find(key).map(|key| key.default) {
            Some(Fallback::Required) | None => error.why(format!("`{key}` is required")),
            Some(default) => error.why(format!("without it `{key}` would be {}", default.said())),
        };
    }
    if matches!(value.node, Node::Map(_)) {
        error = error.why("all keys are flat: there are no sections");
    }
    match guess {
        Guess::Same(key) => error.fix(format!("write `{key}` anew, without that character")),
        Guess::Alias(key) => error.fix(format!("this is called `{key}` here")),
        Guess::Likely(key) => error.fix(format!("did you mean `{key}`?")),
        Guess::Nearest(key) => error.fix(format!(
            "remove it; the nearest key is `{key}`, and `coordinator schema` lists them all"
        )),
    }
}

fn twice(key: &Key, first: &Written, second: &Written) -> Error {
    let (one, other) = (first.called(), second.called());
    let what = if one == other {
        format!("`{one}` is written twice")
    } else {
        format!(
            "`{one}` and `{other}` are both written, and both mean `{}`",
            key.name
        )
    };
    let why = if first.source.inline {
        format!("first in {}", first.source.name)
    } else {
        format!("first in line {}", first.name.mark.line)
    };
    let fix = match (one == other, second.source.inline) {
        (true, _) => "keep one of the two lines".to_owned(),
        (false, false) => format!("keep one of the two lines, as `{}`", key.name),
        (false, true) => format!("keep one of the two, as `--set {}=...`", key.name),
    };
    Error::new(Code::Contradiction, what)
        .at(second.source.place(second.name.mark))
        .why(why)
        .fix(fix)
}
