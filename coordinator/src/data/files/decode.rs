//! Bytes to text: unpacked, UTF-8, or a clear word about it.
//!
//! In: a file, `.gz` and `.zst` compressed. Out: its text without the byte order mark; line ends stay as they are.

use std::io::{self, Read};
use std::path::Path;

use shared::error::{Code, Error, Result};

use super::source_file::{PACKED, ending};

/// Reads a text file whole.
pub(crate) fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    decode(path, unpacked(path, bytes)?)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::Io, "a data file cannot be read")
        .in_file(path)
        .why(error.to_string())
}

/// The failure of reading a file or of unpacking it.
pub(crate) fn failed(path: &Path, error: &io::Error) -> Error {
    let packed = PACKED.contains(&ending(path).as_str());
    if !packed || error.raw_os_error().is_some() {
        return unreadable(path, error);
    }
    Error::new(
        Code::Unpackable,
        "a compressed data file cannot be unpacked",
    )
    .in_file(path)
    .why(error.to_string())
    .fix("copy or compress the file again; a part of it may be missing")
}

/// What a compressed file holds; any other file's bytes as they are.
fn unpacked(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let unpacked = match ending(path).as_str() {
        "gz" => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut content),
        "zst" => zstd::stream::read::Decoder::new(&bytes[..])
            .and_then(|mut decoder| decoder.read_to_end(&mut content)),
        _ => return Ok(bytes),
    };
    unpacked.map(|_| content).map_err(|e| failed(path, &e))
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<String> {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    decode_part(path, bytes, (1, 0), utf16)
}

/// The text of whole lines of a file, which begin at this line and byte.
pub(crate) fn decode_part(
    path: &Path,
    bytes: Vec<u8>,
    (first, begin): (u64, u64),
    utf16: bool,
) -> Result<String> {
    let error = match String::from_utf8(bytes) {
        Ok(text) if begin == 0 && text.starts_with('\u{feff}') => {
            return Ok(text['\u{feff}'.len_utf8()..].into());
        }
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let at = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let before = &bytes[..at];
    let line = before.iter().filter(|&&b| b == b'\n').count() as u64 + first;
    let in_line = at
        - before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |p| p + 1);
    let guess = if utf16 { "UTF-16" } else { "GB18030" };
    let byte = bytes.get(at).copied().unwrap_or_default();
    Err(Error::new(Code::Undecodable, "a data file is not UTF-8")
        .at_line(path, line)
        .why(format!(
            "byte 0x{byte:02X} at byte {} of the line, byte {} of the file",
            in_line + 1,
            begin + at as u64 + 1
        ))
        .fix(format!(
            "if it is {guess}: iconv -f {guess} -t UTF-8 FILE > NEW_FILE"
        )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text_and_line_ends_stay() {
        assert_eq!(
            decode(Path::new("f"), b"\xef\xbb\xbfa\r\nb".to_vec()).unwrap(),
            "a\r\nb"
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_with_line_and_byte() {
        let error =
            decode(Path::new("law.txt"), b"ok\n\xe7\x94\xa8 \xd3\xc3".to_vec()).unwrap_err();
        insta::assert_snapshot!(shared::error::render(&error), @r#"
        E0302 a data file is not UTF-8
          at law.txt:2
          byte 0xD3 at byte 5 of the line, byte 8 of the file
          fix: if it is GB18030: iconv -f GB18030 -t UTF-8 FILE > NEW_FILE
        "#);
        let error = decode(Path::new("law.txt"), b"\xff\xfea\0".to_vec()).unwrap_err();
        assert!(error.fix[0].contains("UTF-16"));
    }
}
