//! E0302: what a file is that is not UTF-8, and what helps.
//!
//! Keeps: the encodings that are named read the whole file and make sense of it; where the file is
//! UTF-8 but for some bytes, or no text at all, no conversion is advised.

use std::io::Read;
use std::path::Path;

use shared::error::{Code, Error};

use super::decode;
use super::encodings::{self, Fit};
use crate::data::excerpt::excerpt;

/// What the beginnings of files that are no text say.
const BINARY: &[(&[u8], &str, &str)] = &[
    (
        b"PK\x03\x04",
        "a ZIP archive, which .xlsx, .ods and .docx are too",
        "a workbook: name it .xlsx or .ods; an archive: unpack it; a letter: save it as text (UTF-8)",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "an old Office file (.xls, .doc)",
        "a workbook: name it .xls; a letter: save it as text (UTF-8)",
    ),
    (
        b"%PDF",
        "a PDF",
        "take the text out of it, as `pdftotext FILE` does",
    ),
    (
        b"\x1f\x8b",
        "packed by gzip",
        "let its name end in .gz behind the ending of what is in it",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "packed by zstd",
        "let its name end in .zst behind the ending of what is in it",
    ),
    (b"PAR1", "a Parquet file", "let its name end in .parquet"),
    (b"ARROW1", "an Arrow file", "let its name end in .arrow"),
];

/// The refusal of a file whose part in `bytes`, beginning at a line and a byte, is not UTF-8 from `at` on.
pub(super) fn refused(path: &Path, bytes: &[u8], at: usize, (first, begin): (u64, u64)) -> Error {
    let before = &bytes[..at];
    let line = before.iter().filter(|&&b| b == b'\n').count() as u64 + first;
    let start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |p| p + 1);
    let byte = bytes.get(at).copied().unwrap_or_default();
    let place = format!(
        "byte 0x{byte:02X} at byte {} of the line, byte {} of the file",
        at - start + 1,
        begin + at as u64 + 1
    );
    let error = |what: &str| Error::new(Code::Undecodable, what).at_line(path, line);
    if begin == 0 {
        if let Some((_, what, fix)) = BINARY.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
            return error("a data file is no text")
                .why(format!("it begins like {what}"))
                .fix(*fix);
        }
        if let Some(name) = marked(bytes) {
            return utf16(error("a data file is not UTF-8"), path, bytes, name);
        }
    }
    let error = error("a data file is not UTF-8");
    let whole = decode::unpacked(path).ok();
    let counts = whole
        .and_then(|input| Counts::of(input).ok())
        .unwrap_or_default();
    let fits = if counts.mostly_utf8() {
        Vec::new()
    } else {
        fits(path)
    };
    if fits.is_empty() && begin == 0 && marked_bytes(bytes) {
        return utf16(error, path, bytes, "UTF-16");
    }
    if fits.is_empty() {
        return damaged(error.why(place), bytes, at, start, &counts);
    }
    conversions(error.why(place), path, &fits)
}

fn fits(path: &Path) -> Vec<Fit> {
    let input = decode::unpacked(path).ok();
    input
        .and_then(|input| encodings::fitting(input).ok())
        .unwrap_or_default()
}

fn marked_bytes(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// The encoding that a byte order mark names.
fn marked(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        _ if marked_bytes(bytes) => Some("UTF-16"),
        _ => None,
    }
}

fn utf16(error: Error, path: &Path, bytes: &[u8], name: &str) -> Error {
    let error = error.why(format!("its byte order mark says that it is {name}"));
    let little = bytes.starts_with(&[0xff, 0xfe]);
    let error = match (name, little) {
        ("UTF-16", true) => error.fix("--set data_encoding=utf-16le reads it"),
        ("UTF-16", false) => error.fix("--set data_encoding=utf-16be reads it"),
        _ => error,
    };
    error.fix(command(path, name))
}

fn command(path: &Path, name: &str) -> String {
    let quoted = path.display().to_string().replace('\'', "'\\''");
    let unpack = match super::source_file::ending(path).as_str() {
        "gz" => format!("gzip -dc '{quoted}' | iconv -f {name} -t UTF-8 > NEW_FILE"),
        "zst" => format!("zstd -dc '{quoted}' | iconv -f {name} -t UTF-8 > NEW_FILE"),
        _ => format!("iconv -f {name} -t UTF-8 '{quoted}' > NEW_FILE"),
    };
    format!("or {unpack}, and NEW_FILE in its place")
}

/// One encoding fits, or several do.
fn conversions(mut error: Error, path: &Path, fits: &[Fit]) -> Error {
    if let [fit] = fits {
        let name = encodings::iconv(fit.encoding);
        return error
            .why(format!(
                "all of it can be read as {name}: {}",
                excerpt(&fit.line)
            ))
            .fix(format!(
                "--set data_encoding={} reads it",
                fit.encoding.name()
            ))
            .fix(command(path, name));
    }
    error = error.why("it can be read in several encodings; only one of them is right:");
    for fit in fits {
        error = error.why(format!(
            "as {}: {}",
            encodings::iconv(fit.encoding),
            excerpt(&fit.line)
        ));
    }
    for fit in fits {
        let name = encodings::iconv(fit.encoding);
        error = error.fix(format!(
            "if it is {name}: --set data_encoding={} reads it",
            fit.encoding.name()
        ));
    }
    error
}

/// No encoding fits: damaged UTF-8, several encodings in one file, or no text.
fn damaged(error: Error, bytes: &[u8], at: usize, start: usize, counts: &Counts) -> Error {
    let end = bytes[at..]
        .iter()
        .position(|&b| b == b'\n')
        .map_or(bytes.len(), |p| at + p);
    let around = &bytes[start.max(at.saturating_sub(40))..end.min(at + 40)];
    let shown: String = around
        .utf8_chunks()
        .map(|part| {
            let bytes = part.invalid().iter().map(|b| format!("\\x{b:02X}"));
            format!(
                "{}{}",
                part.valid().escape_debug(),
                bytes.collect::<String>()
            )
        })
        .collect();
    let error = error.why(format!("near: {shown}"));
    if counts.cut {
        return error
            .why("the file ends inside a character: its end is missing")
            .fix("copy the file again whole");
    }
    if counts.characters > 0 {
        return error
            .why(format!(
                "{} characters of the file are UTF-8, {} bytes are not: it was put together from several \
                 encodings, or is damaged",
                counts.characters, counts.wrong
            ))
            .fix("write this place again as UTF-8; converting the whole file would ruin the rest");
    }
    error
        .why("none of the encodings that are known here makes sense of it")
        .fix("save it as UTF-8 with the program that wrote it; leave out what is no text")
}

/// How much of a file is UTF-8.
#[derive(Default)]
struct Counts {
    /// Characters of several bytes.
    characters: u64,
    /// Bytes that belong to none.
    wrong: u64,
    /// Among the characters, those of three bytes and more.
    wide: u64,
    /// The only wrong bytes are the beginning of a character at the end.
    cut: bool,
}

impl Counts {
    fn of(mut input: impl Read) -> std::io::Result<Self> {
        let mut counts = Self::default();
        let mut bytes = Vec::new();
        loop {
            let read = input.by_ref().take(1 << 20).read_to_end(&mut bytes)?;
            let mut rest = 0;
            let last = read == 0;
            while let Err(error) = std::str::from_utf8(&bytes[rest..]) {
                let valid = rest + error.valid_up_to();
                counts.count(&bytes[rest..valid]);
                match error.error_len() {
                    Some(wrong) => {
                        counts.wrong += wrong as u64;
                        rest = valid + wrong;
                    }
                    None if last => {
                        counts.cut = counts.wrong == 0;
                        counts.wrong += (bytes.len() - valid) as u64;
                        return Ok(counts);
                    }
                    None => {
                        rest = valid;
                        break;
                    }
                }
            }
            if std::str::from_utf8(&bytes[rest..]).is_ok() {
                counts.count(&bytes[rest..]);
                rest = bytes.len();
            }
            bytes.drain(..rest);
            if last {
                return Ok(counts);
            }
        }
    }

    fn count(&mut self, valid: &[u8]) {
        let from = |least: u8| valid.iter().filter(|b| **b >= least).count() as u64;
        self.characters += from(0xc0);
        self.wide += from(0xe0);
    }

    /// In a text of other encodings few pairs of bytes are characters of UTF-8, and hardly any three.
    fn mostly_utf8(&self) -> bool {
        let wide = self.wide > 0 && self.wide * 2 >= self.wrong;
        self.cut || wide || self.characters > self.wrong
    }
}

#[cfg(test)]
mod tests {
    use shared::error::render;

    use super::super::decode::text;
    use shared::config::TextEncoding;

    fn refused(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = text(&path, TextEncoding::Utf8, &std::sync::Arc::default())
            .err()
            .unwrap();
        render(&error).replace(&folder.path().display().to_string(), "HOUSE")
    }

    #[test]
    fn a_text_of_utf8_with_a_few_wrong_bytes_is_never_converted() {
        let said = refused(
            "few.txt",
            b"\xe7\x94\xa8\xe6\x88\xb7: hi\nlawyer: \xff\xfe\n",
        );
        assert!(
            said.contains("converting the whole file would ruin the rest"),
            "{said}"
        );
        assert!(!said.contains("iconv"), "{said}");
    }

    #[test]
    fn each_kind_of_file_is_told_what_helps() {
        let (german, ..) =
            encoding_rs::WINDOWS_1252.encode("a\nWie lange läuft er? Über ein Jahr.\n");
        insta::assert_snapshot!(refused("de.txt", &german));
        insta::assert_snapshot!(refused("mixed.txt", b"ok\n\xe7\x94\xa8 \xd3\xc3"));
        insta::assert_snapshot!(refused(
            "cut.txt",
            "用户：问\n律师：答".as_bytes().split_last().unwrap().1
        ));
        insta::assert_snapshot!(refused("a.csv", b"PK\x03\x04\x14\x00\x06\x00\xff"));
        insta::assert_snapshot!(refused("a.csv", b"\xff\xfea\0"));
        insta::assert_snapshot!(refused("a.csv", b"a\0b\0c\0\n\0"));
    }
}
