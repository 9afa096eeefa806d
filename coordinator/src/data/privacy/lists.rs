//! Words of a list, found by their first or last character: the lists are asked for every name that may be one.

use std::collections::HashMap;

/// Words and what they weigh, by one of their characters.
pub(super) struct List(HashMap<char, Vec<(&'static str, f64)>>);

impl List {
    /// Looked up by the first character.
    pub(super) fn of_starts(lists: &[(&[&'static str], f64)]) -> Self {
        Self::new(lists, |word| word.chars().next())
    }

    /// Looked up by the last character.
    pub(super) fn of_ends(lists: &[(&[&'static str], f64)]) -> Self {
        Self::new(lists, |word| word.chars().next_back())
    }

    fn new(lists: &[(&[&'static str], f64)], key: fn(&str) -> Option<char>) -> Self {
        let mut words: HashMap<char, Vec<(&'static str, f64)>> = HashMap::new();
        for (list, weight) in lists {
            for word in *list {
                if let Some(c) = key(word) {
                    words.entry(c).or_default().push((word, *weight));
                }
            }
        }
        // The longest word decides, so it comes first.
        for words in words.values_mut() {
            words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        }
        Self(words)
    }

    /// The longest word that the text begins with.
    pub(super) fn starting(&self, text: &str) -> Option<(&'static str, f64)> {
        let words = self.0.get(&text.chars().next()?)?;
        words
            .iter()
            .copied()
            .find(|(word, _)| text.starts_with(word))
    }

    /// The longest word that the text ends with.
    pub(super) fn ending(&self, text: &str) -> Option<(&'static str, f64)> {
        let words = self.0.get(&text.chars().next_back()?)?;
        words.iter().copied().find(|(word, _)| text.ends_with(word))
    }

    /// All words that the text begins with.
    pub(super) fn all_starting(&self, text: &str) -> impl Iterator<Item = &'static str> {
        let words = text.chars().next().and_then(|c| self.0.get(&c));
        let words = words.into_iter().flatten().map(|(word, _)| *word);
        words.filter(move |word| text.starts_with(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_word_decides() {
        let list = List::of_starts(&[(&["王", "王国"], 1.0), (&["王国维"], 3.0)]);
        assert_eq!(list.starting("王国维说"), Some(("王国维", 3.0)));
        assert_eq!(list.starting("王朝"), Some(("王", 1.0)));
        assert_eq!(list.all_starting("王国").count(), 2);
        let list = List::of_ends(&[(&["原告", "告"], 2.0)]);
        assert_eq!(list.ending("系原告"), Some(("原告", 2.0)));
        assert!(list.ending("").is_none());
    }
}
