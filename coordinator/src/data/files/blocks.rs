//! A text file in blocks of whole lines.
//!
//! In: a file, `.gz` and `.zst` compressed. Out: blocks of about [`BLOCK`] bytes, each ending with a
//! line end or the file, with the place of its first line. Keeps: no more than a block and a read is
//! in memory, so the bound is the longest line.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use shared::config::TextEncoding;
use shared::error::Result;

use super::decode;
use super::source_file::SourceFile;

/// Bytes of a block. Part of the version of interrupted preparations.
pub(crate) const BLOCK: usize = 1 << 18;

/// Some whole lines of a file, not yet decoded.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub file: Arc<SourceFile>,
    pub bytes: Vec<u8>,
    /// Number of the first line, from 1.
    pub line: u64,
    /// Bytes of the unpacked file before the block.
    pub at: u64,
}

impl Block {
    /// Its text without the byte order mark.
    pub(crate) fn text(&mut self) -> Result<String> {
        let bytes = std::mem::take(&mut self.bytes);
        decode::decode_part(&self.file.path, bytes, (self.line, self.at))
    }
}

/// Reads a file block by block.
pub(crate) struct BlockReader {
    file: Arc<SourceFile>,
    input: Box<dyn Read + Send>,
    recoded: Option<TextEncoding>,
    rest: Vec<u8>,
    line: u64,
    at: u64,
    ended: bool,
}

impl BlockReader {
    /// Opens a file; `taken` counts the bytes that are read from the disk.
    pub(crate) fn open(
        file: &Arc<SourceFile>,
        encoding: TextEncoding,
        taken: &Arc<AtomicU64>,
    ) -> Result<Self> {
        let (input, recoded) = decode::input(&file.path, encoding, taken)?;
        Ok(Self {
            file: Arc::clone(file),
            input,
            recoded,
            rest: Vec::new(),
            line: 1,
            at: 0,
            ended: false,
        })
    }

    /// What is to be said of the file.
    pub(crate) fn notices(&self) -> Vec<String> {
        let name = &self.file.name;
        let recoded = self.recoded.map(|encoding| decode::notice(name, encoding));
        recoded.into_iter().collect()
    }

    /// The next block, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Block>> {
        if self.ended {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.rest);
        loop {
            let from = bytes.len();
            let read = self
                .input
                .by_ref()
                .take(BLOCK as u64)
                .read_to_end(&mut bytes);
            let read = read.map_err(|e| decode::failed(&self.file.path, &e))?;
            if read == 0 {
                self.ended = true;
                break;
            }
            if let Some(end) = bytes[from..].iter().rposition(|&b| b == b'\n') {
                self.rest = bytes.split_off(from + end + 1);
                break;
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let block = Block {
            file: Arc::clone(&self.file),
            line: self.line,
            at: self.at,
            bytes,
        };
        self.at += block.bytes.len() as u64;
        self.line += block.bytes.iter().filter(|&&b| b == b'\n').count() as u64;
        Ok(Some(block))
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &SourceFile {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::Ordering;

    use super::*;

    fn blocks(name: &str, bytes: &[u8]) -> Vec<Block> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let file = Arc::new(SourceFile::single(&path));
        let taken = Arc::new(AtomicU64::new(0));
        let mut reader = BlockReader::open(&file, TextEncoding::Utf8, &taken).unwrap();
        let mut blocks = Vec::new();
        while let Some(block) = reader.next().unwrap() {
            blocks.push(block);
        }
        assert_eq!(taken.load(Ordering::Relaxed), bytes.len() as u64);
        blocks
    }

    #[test]
    fn blocks_are_whole_lines_and_make_up_the_file_packed_or_not() {
        let mut text = String::new();
        for n in 0..40_000_usize {
            text.push_str(&"x法".repeat(n % 23));
            text.push_str(if n % 3 == 0 { "\r\n" } else { "\n" });
        }
        text.push_str(&"long".repeat(BLOCK));
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        let zst = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
        let files = [
            ("a.jsonl", text.clone().into_bytes()),
            ("a.jsonl.gz", gz.finish().unwrap()),
            ("a.jsonl.zst", zst),
        ];
        for (name, bytes) in files {
            let blocks = blocks(name, &bytes);
            assert!(blocks.len() > 4);
            let mut all = Vec::new();
            for block in blocks {
                assert_eq!(block.at, all.len() as u64);
                let before = all.iter().filter(|&&b| b == b'\n').count();
                assert_eq!(block.line, before as u64 + 1);
                assert!(all.is_empty() || all.ends_with(b"\n"));
                all.extend(block.bytes);
            }
            assert_eq!(all, text.as_bytes());
        }
    }

    #[test]
    fn an_empty_file_has_no_block() {
        assert!(blocks("a.jsonl", b"").is_empty());
    }
}
