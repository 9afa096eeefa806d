//! Which encoding a file has that is not UTF-8, as far as its bytes tell.
//!
//! In: the bytes of the file, unpacked. Out: the encodings in which all of it can be read and makes
//! sense, the best first, each with the line in question as it would be read. Keeps: an encoding that
//! merely decodes is never named as the one; where two make sense, both are named. Not here: reading
//! in it (`recoded`).

use std::io::Read;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, DecoderResult, Encoding};
use shared::config::TextEncoding;

use super::plausible::plausible;

/// Bytes that are looked at, of a very long file the first.
const LOOKED_AT: u64 = 64 << 20;
/// Bytes of the text that is judged: its lines that are not plain ASCII.
const JUDGED: usize = 1 << 16;
/// A reading that is so much worse than the best is none.
const RIVAL: f64 = 0.65;
/// What is less plausible than this is not text.
const TEXT: f64 = 0.45;
/// The detector's own guess weighs so much more.
const GUESSED: f64 = 1.25;

/// An encoding that fits, and the first line that shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    pub encoding: TextEncoding,
    /// The first line that is not plain ASCII.
    pub line: String,
    score: f64,
}

/// The decoder of an encoding.
pub(super) fn of(encoding: TextEncoding) -> &'static Encoding {
    match encoding {
        TextEncoding::Utf8 => encoding_rs::UTF_8,
        TextEncoding::Utf16Le => encoding_rs::UTF_16LE,
        TextEncoding::Utf16Be => encoding_rs::UTF_16BE,
        TextEncoding::Gb18030 => encoding_rs::GB18030,
        TextEncoding::Big5 => encoding_rs::BIG5,
        TextEncoding::ShiftJis => encoding_rs::SHIFT_JIS,
        TextEncoding::EucJp => encoding_rs::EUC_JP,
        TextEncoding::EucKr => encoding_rs::EUC_KR,
        TextEncoding::Windows1252 => encoding_rs::WINDOWS_1252,
        TextEncoding::Windows1250 => encoding_rs::WINDOWS_1250,
        TextEncoding::Windows1251 => encoding_rs::WINDOWS_1251,
    }
}

/// What `iconv` calls it; of those that Windows extended, Windows' own.
pub(super) fn iconv(encoding: TextEncoding) -> &'static str {
    match encoding {
        TextEncoding::Utf8 => "UTF-8",
        TextEncoding::Utf16Le => "UTF-16LE",
        TextEncoding::Utf16Be => "UTF-16BE",
        TextEncoding::Gb18030 => "GB18030",
        TextEncoding::Big5 => "BIG5-HKSCS",
        TextEncoding::ShiftJis => "CP932",
        TextEncoding::EucJp => "EUC-JP",
        TextEncoding::EucKr => "CP949",
        TextEncoding::Windows1252 => "WINDOWS-1252",
        TextEncoding::Windows1250 => "WINDOWS-1250",
        TextEncoding::Windows1251 => "WINDOWS-1251",
    }
}

/// Whether the beginning of a file is UTF-16 without a mark: nearly every second byte is NUL.
pub(super) fn looks_like_utf16(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(4096)];
    let at = |odd: usize| {
        bytes
            .iter()
            .skip(odd)
            .step_by(2)
            .filter(|&&b| b == 0)
            .count()
    };
    let (even, odd) = (at(0), at(1));
    let (most, least) = (even.max(odd), even.min(odd));
    bytes.len() >= 4 && most * 8 >= bytes.len() && least * 16 <= most
}

/// A reading on its way through the file.
struct Reading {
    encoding: TextEncoding,
    decoder: Decoder,
    failed: bool,
    /// The unfinished last line.
    line: String,
    /// Lines that are not plain ASCII.
    judged: String,
    first: Option<String>,
}

impl Reading {
    fn new(encoding: TextEncoding) -> Self {
        Self {
            encoding,
            decoder: of(encoding).new_decoder_without_bom_handling(),
            failed: false,
            line: String::new(),
            judged: String::new(),
            first: None,
        }
    }

    fn is_utf16(&self) -> bool {
        matches!(self.encoding, TextEncoding::Utf16Le | TextEncoding::Utf16Be)
    }

    fn take(&mut self, mut bytes: &[u8], last: bool) {
        let mut text = String::with_capacity(8192);
        while !self.failed {
            let (result, read) = self
                .decoder
                .decode_to_string_without_replacement(bytes, &mut text, last);
            bytes = &bytes[read..];
            self.judge(&text);
            text.clear();
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => self.failed = true,
            }
        }
        if last {
            let line = std::mem::take(&mut self.line);
            self.end_line(&line);
        }
    }

    fn judge(&mut self, text: &str) {
        if self.judged.len() >= JUDGED {
            return;
        }
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') || self.line.len() > JUDGED {
                let line = std::mem::take(&mut self.line);
                self.end_line(&line);
            }
        }
    }

    fn end_line(&mut self, line: &str) {
        if line.is_ascii() && !self.is_utf16() {
            return;
        }
        let line = line.trim_start_matches('\u{feff}');
        self.judged.push_str(line);
        if self.first.is_none() && !line.trim().is_empty() {
            self.first = Some(line.trim().to_owned());
        }
    }

    fn fit(self, guessed: &Encoding) -> Option<Fit> {
        let mut score = plausible(&self.judged, self.is_utf16());
        if of(self.encoding) == guessed {
            score *= GUESSED;
        }
        let line = self.first.filter(|_| !self.failed && score >= TEXT)?;
        Some(Fit {
            encoding: self.encoding,
            line,
            score,
        })
    }
}

/// The encodings that fit, the best first; several where it cannot be told which.
pub(super) fn fitting(mut input: impl Read) -> std::io::Result<Vec<Fit>> {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut readings: Vec<Reading> = CANDIDATES.iter().copied().map(Reading::new).collect();
    let mut input = input.by_ref().take(LOOKED_AT);
    let (mut buffer, mut rest, mut zeros) = (vec![0; 1 << 16], LOOKED_AT, false);
    loop {
        let read = input.read(&mut buffer)?;
        let bytes = &buffer[..read];
        rest -= read as u64;
        zeros |= bytes.contains(&0);
        detector.feed(bytes, read == 0);
        // Where looking ends before the file does, a character may be cut in two.
        let last = read == 0 && rest > 0;
        readings
            .iter_mut()
            .filter(|r| !r.failed)
            .for_each(|r| r.take(bytes, last));
        if read == 0 {
            break;
        }
    }
    let guessed = detector.guess(None, Utf8Detection::Deny);
    let single =
        |e: TextEncoding| matches!(e, TextEncoding::Windows1250 | TextEncoding::Windows1251);
    let mut fits: Vec<Fit> = readings
        .into_iter()
        // Text has a line end or a blank, which in UTF-16 has a zero, and nowhere else.
        .filter(|reading| reading.is_utf16() == zeros)
        // Single bytes decode in all of these: of the rarer ones only the detector's word counts.
        .filter(|reading| !single(reading.encoding) || of(reading.encoding) == guessed)
        .filter_map(|reading| reading.fit(guessed))
        .collect();
    fits.sort_by(|a, b| b.score.total_cmp(&a.score));
    let best = fits.first().map_or(0.0, |fit| fit.score);
    fits.retain(|fit| fit.score >= best * RIVAL);
    Ok(fits)
}

const CANDIDATES: &[TextEncoding] = &[
    TextEncoding::Utf16Le,
    TextEncoding::Utf16Be,
    TextEncoding::Gb18030,
    TextEncoding::Big5,
    TextEncoding::ShiftJis,
    TextEncoding::EucJp,
    TextEncoding::EucKr,
    TextEncoding::Windows1252,
    TextEncoding::Windows1250,
    TextEncoding::Windows1251,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8]) -> Vec<&'static str> {
        let fits = fitting(bytes).unwrap();
        fits.iter().map(|fit| fit.encoding.name()).collect()
    }

    #[test]
    fn every_encoding_is_found_in_a_short_file_of_its_language() {
        use TextEncoding as E;
        let chinese = "question,answer\n合同没有约定违约金怎么办？,可以要求赔偿实际损失。\n";
        let traditional = "question,answer\n房東不退押金怎麼辦？,可以請求返還。\n";
        let japanese = "question,answer\n敷金は返してもらえますか？,契約書を確認してください。\n";
        let korean = "question,answer\n보증금을 돌려받을 수 있나요?,계약서를 확인하십시오.\n";
        let german = "question,answer\nWie lange läuft der Mietvertrag?,Über die vereinbarte Zeit; die Kündigungsfrist beträgt drei Monate.\n";
        let french =
            "question,answer\nLe dépôt de garantie est-il dû ?,Oui, il est exigé à la signature.\n";
        let russian = "question,answer\nМожно ли вернуть залог?,Да, по договору аренды.\n";
        for (encoding, text) in [
            (E::Gb18030, chinese),
            (E::Big5, traditional),
            (E::ShiftJis, japanese),
            (E::EucJp, japanese),
            (E::EucKr, korean),
            (E::Windows1252, german),
            (E::Windows1252, french),
            (E::Windows1251, russian),
        ] {
            let (bytes, _, lost) = of(encoding).encode(text);
            assert!(!lost);
            let found = names(&bytes);
            assert_eq!(found.first(), Some(&encoding.name()), "{found:?}");
        }
        for text in [chinese, german, "question,answer\nmay I?,yes\n"] {
            let low: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let high: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            assert_eq!(names(&low), ["utf-16le"], "{text}");
            assert_eq!(names(&high), ["utf-16be"], "{text}");
            assert!(looks_like_utf16(&low) || !text.is_ascii());
        }
    }

    #[test]
    fn german_is_never_said_to_be_chinese_nor_bytes_of_a_picture_text() {
        let text = "Wie hoch ist die Gebühr für die Prüfung?";
        let (bytes, ..) = encoding_rs::WINDOWS_1252.encode(text);
        assert_eq!(names(&bytes), ["windows-1252"]);
        let noise: Vec<u8> = (0..4000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        assert!(names(&noise).is_empty(), "{:?}", names(&noise));
    }
}
