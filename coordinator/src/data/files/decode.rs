//! Bytes to text: unpacked, UTF-8, or a clear word about it.
//!
//! In: a file, `.gz` and `.zst` compressed, and the encoding of files that are not UTF-8. Out: its text
//! without the byte order mark; line ends stay as they are.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::config::TextEncoding;
use shared::error::{Code, Error, Result};

use super::encodings;
use super::recoded::{NotEncoded, Recoded};
use super::source_file::{PACKED, ending};
use super::undecodable;

const BUFFER: usize = 1 << 20;

/// A text file, and the encoding it was read in where that is not UTF-8.
pub(crate) struct Text {
    pub text: String,
    pub recoded: Option<TextEncoding>,
}

/// Reads a text file whole; `taken` counts the bytes that are read from the disk.
pub(crate) fn text(path: &Path, encoding: TextEncoding, taken: &Arc<AtomicU64>) -> Result<Text> {
    let (mut input, recoded) = input(path, encoding, taken)?;
    let mut bytes = Vec::new();
    input
        .read_to_end(&mut bytes)
        .map_err(|e| failed(path, &e))?;
    let text = decode_part(path, bytes, (1, 0))?;
    Ok(Text { text, recoded })
}

/// The bytes of a file, unpacked, and as UTF-8 where they are not and `encoding` says what they are.
pub(crate) fn input(
    path: &Path,
    encoding: TextEncoding,
    taken: &Arc<AtomicU64>,
) -> Result<(Box<dyn Read + Send>, Option<TextEncoding>)> {
    let recoded = match encoding {
        TextEncoding::Utf8 => None,
        other => (!is_utf8(unpacked(path)?).map_err(|e| failed(path, &e))?).then_some(other),
    };
    let file = File::open(path).map_err(|e| failed(path, &e))?;
    let taken = Arc::clone(taken);
    let input = unpack(path, Counted { file, taken })?;
    Ok(match recoded {
        Some(encoding) => (Box::new(Recoded::new(input, encoding)), recoded),
        None => (input, None),
    })
}

/// A file whose bytes are counted as they are read.
struct Counted {
    file: File,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.taken.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What is said of a file that was read in another encoding.
pub(crate) fn notice(name: &str, encoding: TextEncoding) -> String {
    format!(
        "{name} is not UTF-8; it was read as {0}, as data_encoding={0} says",
        encoding.name()
    )
}

/// The bytes of a file, unpacked.
pub(crate) fn unpacked(path: &Path) -> Result<Box<dyn Read + Send>> {
    let disk = File::open(path).map_err(|e| failed(path, &e))?;
    unpack(path, disk)
}

fn unpack<R: Read + Send + 'static>(path: &Path, disk: R) -> Result<Box<dyn Read + Send>> {
    let disk = BufReader::with_capacity(BUFFER, disk);
    Ok(match ending(path).as_str() {
        "gz" => Box::new(flate2::bufread::MultiGzDecoder::new(disk)),
        "zst" => {
            Box::new(zstd::stream::read::Decoder::with_buffer(disk).map_err(|e| failed(path, &e))?)
        }
        _ => Box::new(disk),
    })
}

/// The failure of reading a file or of unpacking it.
pub(crate) fn failed(path: &Path, error: &io::Error) -> Error {
    if let Some(wrong) = error.get_ref().and_then(|e| e.downcast_ref::<NotEncoded>()) {
        return Error::new(
            Code::Undecodable,
            "a data file is neither UTF-8 nor what data_encoding says",
        )
        .in_file(path)
        .why(wrong.to_string())
        .fix("--set data_encoding=utf-8 says what it looks like");
    }
    let packed = PACKED.contains(&ending(path).as_str());
    if !packed || error.raw_os_error().is_some() {
        let lasting = matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
        );
        let code = if lasting { Code::Unreadable } else { Code::Io };
        return Error::new(code, "a data file cannot be read")
            .in_file(path)
            .why(error.to_string());
    }
    Error::new(
        Code::Unpackable,
        "a compressed data file cannot be unpacked",
    )
    .in_file(path)
    .why(error.to_string())
    .fix("copy or compress the file again; a part of it may be missing")
}

/// Whether all of it is UTF-8, and no UTF-16 that happens to be.
fn is_utf8(mut input: impl Read) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let mut first = true;
    loop {
        let read = input.by_ref().take(BUFFER as u64).read_to_end(&mut bytes)?;
        if first && encodings::looks_like_utf16(&bytes) {
            return Ok(false);
        }
        first = false;
        match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.clear(),
            // A character may go on in the next part.
            Err(e) if e.error_len().is_none() && read > 0 => {
                bytes.drain(..e.valid_up_to());
            }
            Err(_) => return Ok(false),
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// The text of whole lines of a file, which begin at this line and byte.
pub(crate) fn decode_part(
    path: &Path,
    bytes: Vec<u8>,
    (first, begin): (u64, u64),
) -> Result<String> {
    if begin == 0 && encodings::looks_like_utf16(&bytes) {
        return Err(undecodable::refused(path, &bytes, 0, (first, begin)));
    }
    match String::from_utf8(bytes) {
        Ok(text) if begin == 0 && text.starts_with('\u{feff}') => {
            Ok(text['\u{feff}'.len_utf8()..].into())
        }
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(undecodable::refused(
                path,
                error.as_bytes(),
                at,
                (first, begin),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text_and_line_ends_stay() {
        assert_eq!(
            decode_part(Path::new("f"), b"\xef\xbb\xbfa\r\nb".to_vec(), (1, 0)).unwrap(),
            "a\r\nb"
        );
    }

    #[test]
    fn a_file_is_read_in_the_encoding_that_is_said_unless_it_is_utf8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            text(&path, TextEncoding::Gb18030, &Arc::default()).unwrap()
        };
        let read = of("用户：问\n".as_bytes());
        assert_eq!((read.text.as_str(), read.recoded), ("用户：问\n", None));
        let (bytes, ..) = encoding_rs::GB18030.encode("用户：问\n");
        let read = of(&bytes);
        assert_eq!(
            (read.text.as_str(), read.recoded),
            ("用户：问\n", Some(TextEncoding::Gb18030))
        );
        let long = "法".repeat(BUFFER);
        assert_eq!(of(long.as_bytes()).recoded, None);
    }
}
