//! A row of the table of keys, and the macro that makes everything from the rows.
//!
//! Keeps: a row without a verdict on whether the key decides the adapter does not compile.

use super::choices::{LossOn, Precision};
use super::field::Field;
use super::key::{Fallback, Key};

/// A key, and how a configuration `C` holds it.
pub(super) struct Row<C> {
    /// Name, kind, default and explanation of the key.
    pub key: Key,
    /// Writes the value of the key as YAML.
    pub yaml: fn(&Key, &C) -> String,
    /// Whether the key decides the adapter.
    pub decides: Decides<C>,
}

/// Whether a key decides the adapter: whether it is in the identity of a run.
pub(super) enum Decides<C> {
    /// The key always decides it.
    Always(Pace),
    /// Unless it has its default: runs from before there was the key keep their identity.
    UnlessDefault(Pace),
    /// The value decides it where this holds.
    When(Pace, fn(&C) -> bool),
    /// Where this holds, unless it has its default.
    WhenNotDefault(Pace, fn(&C) -> bool),
    /// The digest of what the value names or makes decides, never the value: what was only moved is the same.
    ByDigest(Pace),
    /// No byte of the adapter depends on it.
    Never,
}

/// Whether a step takes as long as before when the value is another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// A step takes as long with another value as before.
    Same,
    /// A step may take another time with another value.
    Other,
}

impl<C> Row<C> {
    /// The value as YAML.
    pub(super) fn value(&self, config: &C) -> String {
        (self.yaml)(&self.key, config)
    }

    /// This value is in the identity of a run with this configuration.
    pub(super) fn decides(&self, config: &C, value: &str) -> bool {
        match self.decides {
            Decides::Always(_) => true,
            Decides::UnlessDefault(_) => self.omitted() != Some(value),
            Decides::When(_, holds) => holds(config),
            Decides::WhenNotDefault(_, holds) => holds(config) && self.omitted() != Some(value),
            Decides::ByDigest(_) | Decides::Never => false,
        }
    }

    /// The default of a key that is left out of the identity while it has it.
    pub(super) fn omitted(&self) -> Option<&'static str> {
        match (&self.decides, self.key.default) {
            (Decides::UnlessDefault(_) | Decides::WhenNotDefault(..), Fallback::Value(text)) => {
                Some(text)
            }
            _ => None,
        }
    }

    /// Another value can change the time of a step.
    pub(super) fn changes_pace(&self) -> bool {
        match self.decides {
            Decides::Always(pace)
            | Decides::UnlessDefault(pace)
            | Decides::When(pace, _)
            | Decides::WhenNotDefault(pace, _)
            | Decides::ByDigest(pace) => pace == Pace::Other,
            Decides::Never => false,
        }
    }
}

/// Whoever takes the value of one key after the other, and what several keys say together.
pub(super) trait Take {
    /// What was written, else the default; `None` when a problem was found.
    fn take<T: Field>(&mut self, key: &'static Key) -> Option<T>;

    /// What was written, else what is derived from other keys.
    fn take_or<T: Field>(&mut self, key: &'static Key, derived: Option<T>) -> Option<T>;

    /// `fp16` and `bf16`: one data type.
    fn precision(&mut self, fp16: Option<bool>, bf16: Option<bool>) -> Option<Precision>;

    /// `train_on_inputs` and `loss_on`: two keys of one choice, each derived from the other.
    fn learned(&mut self, whole: Option<bool>, loss: Option<LossOn>) -> Option<(bool, LossOn)>;

    /// Of two keys that say the same thing no more than one is set; otherwise there is a problem.
    fn said_once(&mut self, both: &[(&'static str, &'static str, bool)]) -> bool;
}

/// A value that is there when all of its parts are.
pub(super) fn together<T>(make: impl FnOnce() -> Option<T>) -> Option<T> {
    make()
}

/// What must be of a key: what its row says, else what its type says.
macro_rules! kind {
    ($ty:ty) => {
        <$ty as $crate::config::field::Field>::KIND
    };
    ($ty:ty, $kind:expr) => {
        $kind
    };
}

/// What holds when nobody writes the key.
macro_rules! fallback {
    (required) => {
        $crate::config::key::Fallback::Required
    };
    ([$from:literal, $rule:literal, $value:expr]) => {
        $crate::config::key::Fallback::Derived {
            from: $from,
            rule: $rule,
        }
    };
    ($text:literal) => {
        $crate::config::key::Fallback::Value($text)
    };
}

/// Takes the value of a key.
macro_rules! take {
    ($reader:ident, $key:ident, [$from:literal, $rule:literal, $value:expr]) => {
        $reader.take_or(find(stringify!($key))?, $value)
    };
    ($reader:ident, $key:ident, $default:tt) => {
        $reader.take(find(stringify!($key))?)
    };
}

/// One row of the table.
macro_rules! row {
    ($($doc:literal)+, $key:ident, $kind:expr, $default:tt, $example:literal, $decides:expr, $yaml:expr) => {
        Row {
            key: Key {
                name: stringify!($key),
                kind: $kind,
                default: $crate::config::row::fallback!($default),
                example: $example,
                about: concat!($($doc),+).trim_ascii(),
            },
            yaml: $yaml,
            decides: $decides,
        }
    };
}

/// The structs, the table and the reading of all keys.
macro_rules! keys {
    (
        $(
            run { $(
                $(#[doc = $doc:literal])+
                $key:ident: $ty:ty $(as $kind:expr)?, $default:tt, $example:literal, $decides:expr;
            )* }
            $(joined $joined:ident: $Joined:ty, $joined_doc:literal { $(
                $(#[doc = $jdoc:literal])+
                $jkey:ident: $jty:ty $(as $jkind:expr)?, $jdefault:tt, $jexample:literal,
                    $jdecides:expr, |$c:ident| $shown:expr;
            )* })?
            $(group $group:ident: $Group:ident [$($derive:ident),*], $group_doc:literal { $(
                $(#[doc = $gdoc:literal])+
                $gkey:ident = $field:ident: $gty:ty $(as $gkind:expr)?, $gdefault:tt,
                    $gexample:literal, $gdecides:expr;
            )* })*
        )*
        then |$reader:ident| { $($then:tt)* }
    ) => {
        /// Everything that describes a run. Paths are absolute.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub struct RunConfig {
            $(
                $(#[doc = concat!("`", stringify!($key), "`:", $($doc),+, ".")] pub $key: $ty,)*
                $(#[doc = $joined_doc] pub $joined: $Joined,)?
                $(#[doc = $group_doc] pub $group: $Group,)*
            )*
        }

        $($(
            #[doc = $group_doc]
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, $($derive),*)]
            pub struct $Group {
                $(#[doc = concat!("`", stringify!($gkey), "`:", $($gdoc),+, ".")] pub $field: $gty,)*
            }
        )*)*

        /// Every configuration key, one row each, in the order of `resolved.yaml`.
        pub(super) static ROWS: &[Row<RunConfig>] = &[$(
            $($crate::config::row::row!(
                $($doc)+, $key, $crate::config::row::kind!($ty $(, $kind)?), $default, $example, $decides,
                |key, c| Field::yaml(&c.$key, key)
            ),)*
            $($($crate::config::row::row!(
                $($jdoc)+, $jkey, $crate::config::row::kind!($jty $(, $jkind)?), $jdefault, $jexample, $jdecides,
                |key, $c| Field::yaml(&$shown, key)
            ),)*)?
            $($($crate::config::row::row!(
                $($gdoc)+, $gkey, $crate::config::row::kind!($gty $(, $gkind)?), $gdefault, $gexample, $gdecides,
                |key, c| Field::yaml(&c.$group.$field, key)
            ),)*)*
        )*];

        /// Every key is read before any value is asked for, so that every problem is found.
        pub(super) fn read($reader: &mut impl Take) -> Option<RunConfig> {
            $(
                $(let $key: Option<$ty> = $crate::config::row::take!($reader, $key, $default);)*
                $($(let $jkey: Option<$jty> = $crate::config::row::take!($reader, $jkey, $jdefault);)*)?
                $($(let $gkey: Option<$gty> = $crate::config::row::take!($reader, $gkey, $gdefault);)*)*
            )*
            $($(let $group = $crate::config::row::together(|| Some($Group { $($field: $gkey?,)* }));)*)*
            $($then)*
            Some(RunConfig {
                $($($key: $key?,)* $($joined: $joined?,)? $($group: $group?,)*)*
            })
        }
    };
}
pub(super) use {fallback, keys, kind, row, take};
