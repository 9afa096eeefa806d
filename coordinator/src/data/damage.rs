//! Texts that were damaged before they came here, as far as one can see.
//!
//! In: a text. Out: which kinds of damage are in it. Text in a wrong encoding is told by reading its
//! characters back as bytes: what then is UTF-8, or Chinese, was that before. Keeps: accents, quotes and
//! rare characters of a right text are none. Not here: what is done about it (`rows`, `doctor`).

use std::fmt;
use std::sync::OnceLock;

use encoding_rs::{BIG5, Encoding, GBK, WINDOWS_1251, WINDOWS_1252};
use serde::{Deserialize, Serialize};

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Damage {
    /// Written in one encoding and read in another.
    Mojibake,
    /// U+FFFD, which stands for what could not be decoded.
    Replacements,
    /// NUL, bell, escape and the like.
    Controls,
    /// An error of a spreadsheet, or a formula in the place of its result.
    SpreadsheetErrors,
    /// A cell without a value as a program writes it: `nan`, `NULL`, `None`.
    NoValues,
}

impl Damage {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Mojibake,
        Self::Replacements,
        Self::Controls,
        Self::SpreadsheetErrors,
        Self::NoValues,
    ];

    /// What is in the samples.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Mojibake => "text that was read in a wrong encoding, such as `Ã¤` or `锟斤拷`",
            Self::Replacements => "U+FFFD, which stands for a lost character",
            Self::Controls => "control characters, such as NUL or escape",
            Self::SpreadsheetErrors => {
                "an error or a formula of a spreadsheet for a text, such as #NAME?"
            }
            Self::NoValues => "`nan`, `NULL` or `None` for a text",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damages(u8);

impl Damages {
    /// Those of a text.
    pub(crate) fn of(text: &str) -> Self {
        let mut found = Self::default();
        let mut note = |damage: Damage, there: bool| found.0 |= damage.bit() * u8::from(there);
        note(Damage::Replacements, text.contains('\u{fffd}'));
        note(Damage::Controls, text.chars().any(is_control));
        note(Damage::SpreadsheetErrors, is_spreadsheet_error(text));
        note(Damage::NoValues, is_no_value(text));
        note(Damage::Mojibake, !text.is_ascii() && is_mojibake(text));
        found
    }

    /// All of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, damage: Damage) -> bool {
        self.0 & damage.bit() != 0
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}')
}

/// Errors as spreadsheets write them, in a text or for it; a formula; a column that was too narrow.
fn is_spreadsheet_error(text: &str) -> bool {
    const ERRORS: &[&str] = &[
        "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#N/A", "#NUM!", "#NULL!", "#SPILL!", "#CALC!",
    ];
    let whole = text.trim();
    let narrow = whole.len() >= 3 && whole.bytes().all(|b| b == b'#');
    text.contains('#') && ERRORS.iter().any(|error| text.contains(error))
        || narrow
        || is_formula(whole)
}

/// `=B2&C2`, `=SUM(A1:A9)`, `=VLOOKUP(...)`.
fn is_formula(text: &str) -> bool {
    let Some(formula) = text
        .strip_prefix('=')
        .filter(|f| f.is_ascii() && !f.contains(['\n', '=']))
    else {
        return false;
    };
    let letters = formula
        .trim_start_matches('$')
        .bytes()
        .take_while(u8::is_ascii_uppercase)
        .count();
    let rest = formula.trim_start_matches('$')[letters..].trim_start_matches('$');
    let cell = letters > 0 && letters <= 3 && rest.starts_with(|c: char| c.is_ascii_digit());
    cell || letters > 1 && rest.starts_with('(') && formula.ends_with(')')
}

fn is_no_value(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "nan",
        "null",
        "none",
        "n/a",
        "nil",
        "undefined",
        "<na>",
        "nat",
    ];
    let text = text.trim();
    text.len() <= 9 && NAMES.iter().any(|name| text.eq_ignore_ascii_case(name))
}

fn is_mojibake(text: &str) -> bool {
    if text.contains("锟斤拷") {
        return true;
    }
    let western = |c: char| matches!(u32::from(c), 0x80..=0x24f | 0x2010..=0x2122 | 0x2c6 | 0x2dc);
    let cyrillic = |c: char| western(c) || matches!(u32::from(c), 0x400..=0x4ff);
    let run = |is: &dyn Fn(char) -> bool, found: &dyn Fn(&str) -> bool| {
        text.split(|c: char| !is(c))
            .any(|run| run.chars().nth(1).is_some() && found(run))
    };
    run(&western, &|run| {
        was_utf8(run, WINDOWS_1252) || was_chinese(run)
    }) || text.chars().any(|c| matches!(c, 'Р' | 'С' | 'Ð' | 'Ñ'))
        && run(&cyrillic, &|run| was_utf8(run, WINDOWS_1251))
        || was_utf8_read_as_gbk(text)
}

/// Whether the bytes of the characters hold characters of UTF-8, of a script that one writes.
fn was_utf8(run: &str, read_as: &'static Encoding) -> bool {
    let Some(bytes) = bytes_of(run, read_as) else {
        return false;
    };
    let cyrillic = read_as == WINDOWS_1251;
    let real = |c: &char| match u32::from(*c) {
        0xa0..=0xff => !cyrillic,
        0x391..=0x4ff
        | 0x2010..=0x2122
        | 0x3000..=0x30ff
        | 0x4e00..=0x9fff
        | 0xac00..=0xd7af
        | 0xff01..=0xff5e
        | 0xfffd => true,
        _ => false,
    };
    let found: usize = bytes
        .utf8_chunks()
        .map(|part| part.valid().chars().filter(real).count())
        .sum();
    // Two letters of Cyrillic may be what two bytes mean by chance, more are not.
    found > if cyrillic { 2 } else { 0 }
}

/// Whether a long run of accented letters is Chinese in GBK or Big5.
fn was_chinese(run: &str) -> bool {
    let Some(bytes) = bytes_of(run, WINDOWS_1252).filter(|b| b.len() >= 4 && b.len() % 2 == 0)
    else {
        return false;
    };
    let usual = |bytes: &[u8]| matches!(bytes, [0xb0..=0xd7, 0xa1..=0xfe] | [0xa1..=0xa3, _]);
    let traditional = |bytes: &[u8]| matches!(bytes, [0xa4..=0xc6, _] | [0xa1..=0xa3, _]);
    let share = |fits: &dyn Fn(&[u8]) -> bool, encoding: &'static Encoding| {
        let read = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
        read.is_some()
            && bytes.chunks(2).filter(|pair| fits(pair)).count() * 4 >= bytes.len() / 2 * 3
    };
    share(&usual, GBK) || share(&traditional, BIG5)
}

fn bytes_of(run: &str, encoding: &'static Encoding) -> Option<Vec<u8>> {
    let (bytes, _, unknown) = encoding.encode(run);
    (!unknown).then(|| bytes.into_owned())
}

/// Characters that a UTF-8 character of Chinese begins with when it is read as GBK.
fn openings() -> &'static [u64; 328] {
    static SET: OnceLock<[u64; 328]> = OnceLock::new();
    SET.get_or_init(|| {
        let mut set = [0; 328];
        for lead in 0xe4..=0xe9_u8 {
            for next in 0x80..=0xbf_u8 {
                let bytes = [lead, next];
                let (text, _) = GBK.decode_without_bom_handling(&bytes);
                let code = text
                    .chars()
                    .next()
                    .map_or(0, u32::from)
                    .wrapping_sub(0x4e00) as usize;
                if let Some(bits) = set.get_mut(code / 64) {
                    *bits |= 1 << (code % 64);
                }
            }
        }
        set
    })
}

fn was_utf8_read_as_gbk(text: &str) -> bool {
    let is_han = |c: &char| matches!(u32::from(*c), 0x4e00..=0x9fff);
    let opens = |c: &char| {
        let code = u32::from(*c).wrapping_sub(0x4e00) as usize;
        openings()
            .get(code / 64)
            .is_some_and(|bits| bits >> (code % 64) & 1 == 1)
    };
    let (han, opening) = text
        .chars()
        .filter(is_han)
        .fold((0, 0), |(han, opening), c| {
            (han + 1, opening + usize::from(opens(&c)))
        });
    // Every third byte begins a character, so about every third pair of bytes does.
    if opening < 2 || opening * 6 < han {
        return false;
    }
    text.split(|c: char| c.is_ascii()).any(|run| {
        let Some(bytes) = bytes_of(run.trim_end_matches('\u{fffd}'), GBK).filter(|b| b.len() >= 6)
        else {
            return false;
        };
        let chinese =
            |c: &char| matches!(u32::from(*c), 0x3000..=0x303f | 0x4e00..=0x9fff | 0xff01..=0xff5e);
        let found: usize = bytes
            .utf8_chunks()
            .map(|part| part.valid().chars().filter(chinese).count())
            .sum();
        found >= 2 && found * 3 * 5 >= bytes.len() * 4
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Damage> {
        let found = Damages::of(text);
        Damage::ALL
            .iter()
            .copied()
            .filter(|d| found.has(*d))
            .collect()
    }

    #[test]
    fn text_in_a_wrong_encoding_is_told_from_text_with_accents() {
        let chinese = "合同没有约定违约金，可以请求赔偿。";
        let german = "Wie lange läuft der Vertrag? „Über Gebühr“ – ja.";
        let french = "L’élève a été reçu à l’école « SOCIÉTÉ » ; ça va…";
        let russian = "Можно ли вернуть залог по договору?";
        let polish = "Zażółć gęślą jaźń";
        let traditional = "房東不退押金怎麼辦？";
        let rare = "涓涓細流，洹水安陽，淇縣浚縣，洛浜之南";
        for text in [
            chinese,
            german,
            french,
            russian,
            polish,
            traditional,
            "naïve Ünver ÄÖÜ",
            "定金：５００元",
            rare,
        ] {
            assert_eq!(kinds(text), [], "{text}");
        }
        let read = |text: &str, written: &'static Encoding, read: &'static Encoding| {
            let (bytes, _, lost) = written.encode(text);
            assert!(!lost);
            read.decode_without_bom_handling(&bytes).0.into_owned()
        };
        let utf8 = encoding_rs::UTF_8;
        for wrong in [
            read(chinese, utf8, WINDOWS_1252),
            read(chinese, utf8, GBK)
                .trim_end_matches('\u{fffd}')
                .to_owned(),
            read(german, utf8, WINDOWS_1252),
            read(french, utf8, WINDOWS_1252),
            read(russian, utf8, WINDOWS_1252),
            read(russian, utf8, WINDOWS_1251),
            read(chinese, GBK, WINDOWS_1252),
            read(traditional, BIG5, WINDOWS_1252),
            "问题锟斤拷".to_owned(),
            "Ã¤".to_owned(),
        ] {
            let found: Vec<Damage> = kinds(&wrong)
                .into_iter()
                .filter(|d| *d == Damage::Mojibake)
                .collect();
            assert_eq!(found, [Damage::Mojibake], "{wrong}");
        }
    }

    #[test]
    fn errors_of_programs_are_told_from_texts_that_mention_them() {
        for text in [
            "#NAME?",
            " #REF! ",
            "合计 #VALUE! 元",
            "=B2&C2",
            "=SUM(A1:A9)",
            "########",
            "#N/A",
        ] {
            assert_eq!(kinds(text), [Damage::SpreadsheetErrors], "{text}");
        }
        for text in ["nan", "NULL", "None", "n/a"] {
            assert_eq!(kinds(text), [Damage::NoValues], "{text}");
        }
        for text in [
            "=",
            "= 5",
            "==",
            "# 标题",
            "None of these.",
            "A1=B2",
            "=> 是",
            "第#3号",
            "=x",
        ] {
            assert_eq!(kinds(text), [], "{text}");
        }
        assert_eq!(kinds("a\u{0}b\u{1b}[31m"), [Damage::Controls]);
        assert_eq!(kinds("a\tb\r\nc"), []);
        assert_eq!(kinds("问\u{fffd}题"), [Damage::Replacements]);
    }
}
