//! Which files a run learns from and how their fields are called, as the configuration says it.
//!
//! The types of the keys `data_sources`, `data_mixing`, `columns`, `roles`, `preference`, `data_form`, `data_encoding`.
//! Keeps: weights are whole millionths, so that shares are exact. Not here: reading and mixing
//! (`coordinator/data`).

use serde::{Deserialize, Serialize};

use super::words::{Word, words};

/// A file or folder, and how much of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSource {
    /// The path as it is written; a relative one lies below `train_data_dir`.
    pub path: String,
    /// Weight of the source in millionths.
    pub weight: u64,
}

impl DataSource {
    /// The weight as it is written.
    #[must_use]
    pub fn written_weight(&self) -> String {
        let (whole, part) = (self.weight / MILLION, self.weight % MILLION);
        if part == 0 {
            return whole.to_string();
        }
        let part = format!("{part:06}");
        format!("{whole}.{}", part.trim_end_matches('0'))
    }
}

/// A weight of 1 in millionths.
pub(super) const MILLION: u64 = 1_000_000;

words! {
    /// How weights are kept where sources have not the sizes for them.
    #[derive(Default)]
    Mixing {
        /// Every row is there at least once; rows of scarce sources come again.
        #[default]
        Repeat = "repeat",
        /// No row is there twice; of plentiful sources some stay out.
        Subsample = "subsample",
        /// Every row is there once, sources behind each other; weights say nothing.
        Concatenate = "concatenate",
    }
}

words! {
    /// What becomes of preference data: samples that say of answers which are better and which worse.
    #[derive(Default)]
    Preference {
        /// Such data is refused by name.
        #[default]
        Refuse = "refuse",
        /// The better answers are learned, the worse ones are left out.
        Chosen = "chosen",
    }
}

words! {
    /// What the files are read as.
    #[derive(Default)]
    DataForm {
        /// Each file is read in the form that it has: conversations, questions with answers, or tokens.
        #[default]
        Auto = "auto",
        /// Every file is plain text without speakers, and all of it is learned.
        Text = "text",
    }
}

words! {
    /// What text files are encoded in.
    #[derive(Default)]
    TextEncoding {
        /// UTF-8, with or without a byte order mark.
        #[default]
        Utf8 = "utf-8",
        /// UTF-16, the lower byte first, as Windows and Excel write it.
        Utf16Le = "utf-16le",
        /// UTF-16, the higher byte first.
        Utf16Be = "utf-16be",
        /// GB18030, which holds GBK and GB2312: Chinese Windows and Excel.
        Gb18030 = "gb18030",
        /// Big5, for traditional characters.
        Big5 = "big5",
        /// Shift-JIS as Windows writes it.
        ShiftJis = "shift_jis",
        /// EUC-JP.
        EucJp = "euc-jp",
        /// EUC-KR as Windows writes it.
        EucKr = "euc-kr",
        /// Windows-1252, which holds Latin-1: Western Europe.
        Windows1252 = "windows-1252",
        /// Windows-1250: Central Europe.
        Windows1250 = "windows-1250",
        /// Windows-1251: Cyrillic.
        Windows1251 = "windows-1251",
    }
}

impl TextEncoding {
    /// The word that `data_encoding` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.word()
    }
}

/// One entry of `columns` or `roles`, written `PART=NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The part of a sample, or the role, by this program's own name.
    pub part: String,
    /// The column or role by the name that the data files use.
    pub name: String,
}

impl Named {
    /// Whether a name in lower case fits this one, in which `*` stands for any characters.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let pattern = self.name.to_lowercase();
        let mut parts = pattern.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut last = None;
        for part in parts {
            if let Some(middle) = last.replace(part) {
                match rest.find(middle) {
                    Some(at) => rest = &rest[at + middle.len()..],
                    None => return false,
                }
            }
        }
        last.map_or(rest.is_empty(), |end: &str| rest.ends_with(end))
    }
}

/// Parts in `columns`.
pub(super) const PARTS: &[&str] = &[
    "question",
    "answer",
    "input",
    "system",
    "history",
    "messages",
    "role",
    "content",
    "tools",
    "input_ids",
    "labels",
    "attention_mask",
];
/// Parts in `roles`.
pub(super) const ROLES: &[&str] = &["user", "assistant", "system", "tool"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_of_a_name() {
        let fits = |pattern: &str, name: &str| {
            let (part, pattern) = ("user".to_owned(), pattern.to_owned());
            Named {
                part,
                name: pattern,
            }
            .fits(name)
        };
        assert!(fits("Q*", "q12") && fits("*医生", "王医生") && fits("用户", "用户"));
        assert!(fits("a*b*c", "axxbyyc") && fits("*", "") && fits("**", "x"));
        assert!(!fits("Q*", "aq1") && !fits("*医生", "医生助理") && !fits("用户", "用户1"));
        assert!(!fits("a*b*b", "ab") && !fits("ab*ba", "aba"));
    }
}
