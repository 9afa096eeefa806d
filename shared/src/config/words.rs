//! Words that keys take, and the one that comes nearest to another text.
//!
//! An enum of words, its words and what serde calls them come from one list.
//!
//! Keeps: the words stand in the order of the enum, which is the order in which they are shown.

/// A value that is written as one word.
pub(super) trait Word: Copy + 'static {
    /// The words of the enum, in the order of its variants.
    const WORDS: &'static [&'static str];

    /// The value of this word.
    fn of_word(word: &str) -> Option<Self>;

    /// The word of this value.
    fn word(self) -> &'static str;
}

/// An enum of words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $word)] $variant,)+
        }

        impl $crate::config::words::Word for $name {
            const WORDS: &'static [&'static str] = &[$($word,)+];

            fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}
pub(super) use words;

/// The word that comes nearest and its likeness, 1 being equal.
pub(super) fn nearest<'a>(
    written: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<(&'a str, f64)> {
    words
        .into_iter()
        .map(|word| (word, strsim::normalized_damerau_levenshtein(written, word)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}
