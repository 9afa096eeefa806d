//! Bytes of another encoding as UTF-8, read piece by piece.
//!
//! In: bytes and their encoding. Out: the same text in UTF-8. Keeps: a byte that the encoding does not
//! have ends the reading; nothing is replaced.

use std::fmt;
use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult};
use shared::config::TextEncoding;

use super::encodings;

const BUFFER: usize = 1 << 16;

/// A byte that is none of the encoding's.
#[derive(Debug)]
pub(super) struct NotEncoded {
    pub encoding: TextEncoding,
    /// Bytes of the file before it.
    pub at: u64,
}

impl fmt::Display for NotEncoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "byte {} of the file is not {}",
            self.at + 1,
            self.encoding.name()
        )
    }
}

impl std::error::Error for NotEncoded {}

/// Reads bytes of one encoding as UTF-8.
pub(super) struct Recoded<R> {
    input: R,
    encoding: TextEncoding,
    decoder: Decoder,
    /// Bytes that are read and not decoded.
    raw: Vec<u8>,
    /// Text that is decoded and not given.
    text: String,
    given: usize,
    at: u64,
    ended: bool,
}

impl<R: Read> Recoded<R> {
    pub(super) fn new(input: R, encoding: TextEncoding) -> Self {
        Self {
            input,
            encoding,
            decoder: encodings::of(encoding).new_decoder_with_bom_removal(),
            raw: Vec::new(),
            text: String::with_capacity(BUFFER),
            given: 0,
            at: 0,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.given = 0;
        while self.text.is_empty() && !self.ended {
            if self.raw.is_empty() {
                self.raw.resize(BUFFER, 0);
                let read = self.input.read(&mut self.raw)?;
                self.raw.truncate(read);
            }
            let last = self.raw.is_empty();
            let (result, read) =
                self.decoder
                    .decode_to_string_without_replacement(&self.raw, &mut self.text, last);
            self.raw.drain(..read);
            self.at += read as u64;
            match result {
                DecoderResult::InputEmpty => self.ended = last,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(bytes, after) => {
                    let at = self.at.saturating_sub(u64::from(bytes) + u64::from(after));
                    let encoding = self.encoding;
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        NotEncoded { encoding, at },
                    ));
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Recoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.text.len() {
            self.fill()?;
        }
        let rest = &self.text.as_bytes()[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_the_same_in_every_encoding_and_a_wrong_byte_has_its_place() {
        let text = "合同没有约定违约金怎么办？\r\n可以请求赔偿。\n".repeat(9000);
        for encoding in [TextEncoding::Gb18030, TextEncoding::Big5] {
            let text = match encoding {
                TextEncoding::Big5 => "房東不退押金怎麼辦？\n".repeat(9000),
                _ => text.clone(),
            };
            let (bytes, ..) = encodings::of(encoding).encode(&text);
            let mut read = String::new();
            Recoded::new(&bytes[..], encoding)
                .read_to_string(&mut read)
                .unwrap();
            assert_eq!(read, text);
        }
        let mut utf16 = vec![0xff, 0xfe];
        utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let mut read = String::new();
        Recoded::new(&utf16[..], TextEncoding::Utf16Le)
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, text);
        let error =
            Recoded::new(&b"ab\xff\xff"[..], TextEncoding::Gb18030).read_to_end(&mut Vec::new());
        assert_eq!(
            error.unwrap_err().to_string(),
            "byte 3 of the file is not gb18030"
        );
    }
}
