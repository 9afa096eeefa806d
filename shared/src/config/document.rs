//! YAML to nodes that know where they stand.
//!
//! In: the text of a file, or of one `--set` value. Out: a [`Document`] of pairs in written order,
//! every key and value with line, column and width, for errors that point at them.
//! Keeps: nothing is merged, replaced or dropped here; repeated keys arrive twice.
//! Not here: what a key means (see `keys`) and what a value must be (see `value`).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

use super::mistakes::{Mistake, mended, mistakes};
use crate::error::{Code, Error, Place};

/// Where a node stands, all from 1; line 0 is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Line of the text, from 1; 0 for a node that stands in no text.
    pub line: u64,
    /// Column of the first character, from 1.
    pub column: u64,
    /// Width of the node in characters.
    pub span: u64,
}

/// The value of a node as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(i128),
    /// A number with a point or an exponent.
    Real(f64),
    /// Text, quoted or not.
    Text(String),
    /// A sequence of values, in its written order.
    List(Vec<Item>),
    /// Keys and values.
    Map(Vec<(Item, Item)>),
}

/// A node and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What was written.
    pub node: Node,
    /// Position of the node in its text, which errors point at.
    pub mark: Mark,
}

/// A text, what it is called, and its lines.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name shown in errors.
    pub name: String,
    /// The whole text, without a byte order mark.
    pub text: String,
    /// Given on the command line: its name says it all, lines and carets would not help.
    pub inline: bool,
}

impl Node {
    /// The node in words that fit behind "got".
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Flag(value) => format!("the boolean {value}"),
            Self::Whole(value) => format!("the number {value}"),
            Self::Real(value) => format!("the number {value}"),
            Self::Text(value) => format!("the text `{}`", shorten(value)),
            Self::List(items) if items.is_empty() => "an empty list".into(),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Map(_) => "a block of keys".into(),
        }
    }
}

impl Node {
    /// The node as JSON; a number that JSON does not have becomes null, and a key that is no text is left out.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Flag(value) => (*value).into(),
            Self::Whole(value) => i64::try_from(*value).map_or_else(|_| Value::Null, Value::from),
            Self::Real(value) => (*value).into(),
            Self::Text(text) => text.clone().into(),
            Self::List(items) => items.iter().map(|item| item.node.to_json()).collect(),
            Self::Map(pairs) => pairs
                .iter()
                .filter_map(|(name, value)| match &name.node {
                    Self::Text(text) => Some((text.clone(), value.node.to_json())),
                    _ => None,
                })
                .collect(),
        }
    }
}

/// A long text, shown by its beginning.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let line_end = |c: char| {
        if matches!(c, '\n' | '\r' | '\t') {
            ' '
        } else {
            c
        }
    };
    let clean: String = text.chars().map(line_end).collect();
    if clean.chars().count() <= LONGEST {
        return clean;
    }
    clean.chars().take(LONGEST).chain(['…']).collect()
}

impl Source {
    /// A text under a name.
    #[must_use]
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            name: name.into(),
            text: text.to_owned(),
            inline: false,
        }
    }

    /// A value given on the command line.
    pub(super) fn inline(name: impl Into<String>, text: &str) -> Self {
        Self {
            name: name.into(),
            text: text.to_owned(),
            inline: true,
        }
    }

    /// The place of a mark, with its line's text and a caret that stays on that line.
    #[must_use]
    pub fn place(&self, mark: Mark) -> Place {
        if self.inline || mark.line == 0 {
            return Place {
                file: self.name.clone(),
                ..Place::default()
            };
        }
        let index = usize::try_from(mark.line - 1).unwrap_or(usize::MAX);
        let line = self
            .text
            .lines()
            .nth(index)
            .map(|line| line.trim_end().to_owned());
        let width = line.as_ref().map_or(0, |line| line.chars().count() as u64);
        let left = (width + 1).saturating_sub(mark.column).max(1);
        Place {
            file: self.name.clone(),
            line: Some(mark.line),
            column: Some(mark.column),
            span: self.widened(mark, line.as_deref()).clamp(1, left),
            text: line,
        }
    }

    /// A list is marked where it opens; the caret should show all of it.
    fn widened(&self, mark: Mark, line: Option<&str>) -> u64 {
        let start = usize::try_from(mark.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let rest: Vec<char> = line.unwrap_or_default().chars().skip(start).collect();
        let close = match rest.first() {
            Some('[') => ']',
            Some('{') => '}',
            _ => return mark.span,
        };
        rest.iter()
            .rposition(|&c| c == close)
            .map_or(mark.span, |at| at as u64 + 1)
    }

    /// Reads the text as pairs.
    ///
    /// # Errors
    /// `E0106` when it is not YAML, or YAML of another shape.
    pub fn pairs(&self) -> Result<Vec<(Item, Item)>, Error> {
        let item = self.whole()?;
        match item.node {
            Node::Map(pairs) => Ok(pairs),
            Node::Null => Ok(Vec::new()),
            ref other => {
                let what = format!("expected lines of `key: value`, got {}", other.describe());
                let error = Error::new(Code::BadYaml, what).at(self.place(item.mark));
                Err(self.named(error.fix("write one `key: value` per line, as in `lora_rank: 16`")))
            }
        }
    }

    /// The lines whose mistake has a name, in place of what the reader of YAML says; that too where they are not all.
    fn named(&self, error: Error) -> Error {
        if self.inline {
            return error;
        }
        let found = mistakes(&self.text);
        let reads = |for_tab: &str| {
            let mended = mended(&self.text, &found, for_tab);
            let item = Source::new("mended", &mended).item();
            item.is_ok_and(|item| matches!(item.node, Node::Map(_)))
        };
        let blanks = ["  ", ""].into_iter().find(|for_tab| reads(for_tab));
        let whole = blanks.is_some();
        let told = |mistake: &Mistake| {
            let what = format!("this line is no `key: value`: {}", mistake.what);
            let blanks = blanks.filter(|_| mistake.tab).unwrap_or_default();
            Error::new(Code::BadYaml, what)
                .at(self.place(mistake.mark))
                .fix(format!("write `{blanks}{}`", mistake.meant))
        };
        let mut errors = found.iter().map(told);
        match errors.next() {
            Some(first) if whole => first.also(errors),
            Some(first) => first.also(errors.chain([error])),
            None => error,
        }
    }

    /// Reads the text as one node.
    ///
    /// # Errors
    /// `E0106` when it is not YAML.
    pub(super) fn item(&self) -> Result<Item, Error> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            merge_keys: MergeKeyPolicy::AsOrdinary,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            leading_zero_numbers_as_strings: true,
            strict_booleans: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options::<Item>(&self.text, options)
            .map_err(|error| self.not_yaml(&error))
    }

    /// [`item`](Self::item) of a whole file, with a word about the lines that keep it from being read.
    fn whole(&self) -> Result<Item, Error> {
        self.item().map_err(|error| self.named(error))
    }

    fn not_yaml(&self, error: &serde_saphyr::Error) -> Error {
        if matches!(
            error.without_snippet(),
            serde_saphyr::Error::MultipleDocuments { .. }
        ) {
            let mark = error.location().map(mark_of).unwrap_or_default();
            return Error::new(Code::BadYaml, "more than one YAML document")
                .at(self.place(mark))
                .fix("keep one document: remove the `---` line and what follows it");
        }
        let place = self.place(error.location().map(mark_of).unwrap_or_default());
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        let reason = message.split(" at line ").next().unwrap_or(message).trim();
        let fix = if self.inline {
            "put the whole `key=value` in quotes, as in `--set 'target_modules=[q_proj, v_proj]'`"
        } else {
            "write one `key: value` per line; put text that holds `: ` or ` #` in quotes"
        };
        Error::new(Code::BadYaml, format!("this is not YAML: {reason}"))
            .at(place)
            .fix(fix)
    }
}

fn mark_of(location: serde_saphyr::Location) -> Mark {
    Mark {
        line: location.line(),
        column: location.column(),
        span: location.span().len(),
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Self {
            node: spanned.value,
            mark: mark_of(spanned.referenced),
        })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Whole(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Node::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Vec<(Node, Mark)> {
        let pairs = Source::new("run.yaml", text).pairs().unwrap();
        pairs
            .into_iter()
            .flat_map(|(k, v)| [(k.node, k.mark), (v.node, v.mark)])
            .collect()
    }

    fn mark(line: u64, column: u64, span: u64) -> Mark {
        Mark { line, column, span }
    }

    #[test]
    fn keys_and_values_know_line_column_and_width() {
        let found = marks("\u{feff}# first\r\nlora_rank: 16\r\n用户: \"中 文\" # end\r\n");
        assert_eq!(
            found,
            [
                (Node::Text("lora_rank".into()), mark(2, 1, 9)),
                (Node::Whole(16), mark(2, 12, 2)),
                (Node::Text("用户".into()), mark(3, 1, 2)),
                (Node::Text("中 文".into()), mark(3, 5, 5)),
            ]
        );
    }

    #[test]
    fn a_repeated_key_arrives_twice_and_nothing_is_merged() {
        let found = marks("a: 1\na: 2\n<<: {a: 3}\n");
        let keys: Vec<_> = found
            .iter()
            .step_by(2)
            .map(|(node, _)| node.describe())
            .collect();
        assert_eq!(keys, ["the text `a`", "the text `a`", "the text `<<`"]);
    }

    #[test]
    fn only_true_and_false_are_booleans_and_leading_zeros_stay_text() {
        let found = marks("a: yes\nb: on\nc: true\nd: 010\ne: 1e-4\n");
        let values: Vec<_> = found
            .into_iter()
            .skip(1)
            .step_by(2)
            .map(|(node, _)| node)
            .collect();
        assert_eq!(
            values,
            [
                Node::Text("yes".into()),
                Node::Text("on".into()),
                Node::Flag(true),
                Node::Text("010".into()),
                Node::Real(1e-4),
            ]
        );
    }

    #[test]
    fn the_caret_of_a_list_spans_it_and_stays_on_its_line() {
        let source = Source::new("run.yaml", "a: [q, v] # two\nb: [q,\n v]\n");
        let pairs = source.pairs().unwrap();
        assert_eq!(source.place(pairs[0].1.mark).span, 6);
        assert_eq!(source.place(pairs[1].1.mark).span, 1);
    }
}
