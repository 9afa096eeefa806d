//! What a check found, and what to do about it.

use std::fmt;

use serde::Serialize;
use shared::dataset::RowOrigin;

use crate::data::listed::listed;

/// Places shown per finding; the JSON has all.
const SHOWN: usize = 8;

/// What kind of a finding it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Validation samples that are trained on.
    Overlap,
    /// Rows longer than `max_seq_length`.
    CutRows,
    /// Samples that are there twice.
    Duplicates,
    /// Samples that say nearly the same.
    NearDuplicates,
    /// One question with unlike answers.
    Contradictions,
    /// Answers without a word.
    EmptyAnswers,
    /// Answers of one word.
    OneWordAnswers,
    /// Answers that open unlike the others.
    Openings,
    /// Samples far longer or shorter than the others.
    OddLengths,
    /// Answers in another script.
    OtherLanguage,
    /// Full-width and half-width forms of the same signs.
    MixedWidths,
    /// Text that was read in a wrong encoding.
    Mojibake,
    /// U+FFFD in the place of a character.
    LostCharacters,
    /// NUL, escape and the like.
    ControlCharacters,
    /// Errors and formulas of spreadsheets.
    SpreadsheetErrors,
    /// `nan`, `NULL`, `None`.
    NoValues,
    /// Characters that become `<unk>`.
    UnknownTokens,
    /// Characters written byte by byte.
    ByteTokens,
}

impl Kind {
    /// Every kind, in the order of a report.
    pub const ALL: &'static [Self] = &[
        Self::Overlap,
        Self::CutRows,
        Self::Duplicates,
        Self::NearDuplicates,
        Self::Contradictions,
        Self::EmptyAnswers,
        Self::OneWordAnswers,
        Self::Openings,
        Self::OddLengths,
        Self::OtherLanguage,
        Self::MixedWidths,
        Self::Mojibake,
        Self::LostCharacters,
        Self::ControlCharacters,
        Self::SpreadsheetErrors,
        Self::NoValues,
        Self::UnknownTokens,
        Self::ByteTokens,
    ];

    /// What to do about it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Overlap => {
                "take each out of one of the two: the validation loss of what was trained on says nothing"
            }
            Self::CutRows => {
                "--set max_seq_length=NUMBER, or cut the samples where they may be cut"
            }
            Self::Duplicates => "keep one of each: what is there twice is learned twice as hard",
            Self::NearDuplicates => {
                "keep the best of each, unless the difference is what shall be learned"
            }
            Self::Contradictions => {
                "decide which answer is right: the model would learn to guess between them"
            }
            Self::EmptyAnswers => "write the answer, or take the sample out",
            Self::OneWordAnswers => {
                "write a sentence, unless one word is the answer that is wanted"
            }
            Self::Openings => "let all answers open the same way, or none",
            Self::OddLengths => "look whether a sample holds several, or only a part of one",
            Self::OtherLanguage => "translate them, unless two languages are wanted",
            Self::MixedWidths => "write them the same way everywhere",
            Self::Mojibake => "export the file again as UTF-8; what is learned is not the text",
            Self::LostCharacters => {
                "take the texts from their source again: what it stands for is lost"
            }
            Self::ControlCharacters => "take them out, or export the file again",
            Self::SpreadsheetErrors => {
                "mend the cells, or take the rows out: an error would be the answer"
            }
            Self::NoValues => {
                "fill the cells in, or take the rows out, unless the word is the text"
            }
            Self::UnknownTokens => {
                "replace the characters: the model can neither read nor write them"
            }
            Self::ByteTokens => "replace rare characters where a common one says the same",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Something a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which of the things that are looked for.
    pub kind: Kind,
    /// What it is, with counts.
    pub what: String,
    /// Where; the samples of one group belong together.
    pub places: Vec<Vec<RowOrigin>>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.kind, self.what)?;
        let place = |RowOrigin { file, line }: &RowOrigin| format!("{file}:{line}");
        if self.places.iter().all(|group| group.len() == 1) {
            let all: Vec<String> = self.places.iter().flatten().map(place).collect();
            writeln!(f, "  at {}", listed(&all))?;
        } else {
            for group in self.places.iter().take(SHOWN) {
                let all: Vec<String> = group.iter().map(place).collect();
                writeln!(f, "  at {}", listed(&all))?;
            }
            if let Some(more) = self.places.len().checked_sub(SHOWN).filter(|n| *n > 0) {
                writeln!(f, "  and {more} more")?;
            }
        }
        writeln!(f, "  fix: {}", self.kind.fix())
    }
}
