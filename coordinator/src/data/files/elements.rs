//! A JSON file that is one array, element by element.
//!
//! In: a file, unpacked. Out: batches of objects, each on one line with the number of the line it begins
//! in. Keeps: an element is in memory and no more than a batch; nothing is parsed here, and what is no
//! array of objects is left to who reads the file whole and says why.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use shared::config::TextEncoding;
use shared::error::Result;

use super::decode;
use super::source_file::SourceFile;

const BUFFER: usize = 1 << 18;
/// Bytes of a batch, but for its last element.
const BATCH: usize = 1 << 18;

/// Some elements of an array.
#[derive(Clone, Debug)]
pub(crate) struct Elements {
    pub file: Arc<SourceFile>,
    /// Each with the line it begins in; line ends between its parts are blanks.
    pub objects: Vec<(u64, String)>,
}

/// What the reader met.
pub(crate) enum Met {
    Elements(Elements),
    End,
    /// The file is no array of objects from here on.
    NoArray,
}

/// Reads an array of objects.
pub(crate) struct ElementReader {
    file: Arc<SourceFile>,
    input: Box<dyn Read + Send>,
    recoded: Option<TextEncoding>,
    buffer: Vec<u8>,
    at: usize,
    line: u64,
    begun: bool,
    ended: bool,
}

impl ElementReader {
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
            buffer: Vec::new(),
            at: 0,
            line: 1,
            begun: false,
            ended: false,
        })
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// What is to be said of the file.
    pub(crate) fn notices(&self) -> Vec<String> {
        let name = &self.file.name;
        let recoded = self.recoded.map(|encoding| decode::notice(name, encoding));
        recoded.into_iter().collect()
    }

    /// The next elements.
    pub(crate) fn next(&mut self) -> Result<Met> {
        let (mut objects, mut size) = (Vec::new(), 0);
        while size < BATCH && !self.ended {
            match self.element()? {
                None if self.ended => break,
                None => return Ok(Met::NoArray),
                Some((line, object)) => {
                    size += object.len();
                    objects.push((line, object));
                }
            }
        }
        if objects.is_empty() {
            return Ok(Met::End);
        }
        let file = Arc::clone(&self.file);
        Ok(Met::Elements(Elements { file, objects }))
    }

    /// The next element; `None` at the array's end, and where there is none.
    fn element(&mut self) -> Result<Option<(u64, String)>> {
        let mut first = self.blank()?;
        if !self.begun {
            if first != Some(b'[') {
                return Ok(None);
            }
            self.begun = true;
            self.at += 1;
            first = self.blank()?;
            if first == Some(b']') {
                return self.end();
            }
        } else if first == Some(b',') {
            self.at += 1;
            first = self.blank()?;
        } else if first == Some(b']') {
            return self.end();
        } else {
            return Ok(None);
        }
        if first != Some(b'{') {
            return Ok(None);
        }
        let line = self.line;
        let object = self.object()?;
        Ok(object
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(|object| (line, object)))
    }

    /// Behind the last element only white space may stand.
    fn end(&mut self) -> Result<Option<(u64, String)>> {
        self.at += 1;
        self.ended = self.blank()?.is_none();
        Ok(None)
    }

    /// An object from its opening bracket to its closing one, on one line.
    fn object(&mut self) -> Result<Option<Vec<u8>>> {
        let mut object = Vec::new();
        let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
        while let Some(byte) = self.peek()? {
            self.at += 1;
            self.line += u64::from(byte == b'\n');
            match byte {
                b'\n' | b'\r' if quoted => return Ok(None),
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => depth += 1,
                b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
            object.push(if matches!(byte, b'\n' | b'\r') {
                b' '
            } else {
                byte
            });
            if depth == 0 {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// The next byte that is no white space and no byte order mark.
    fn blank(&mut self) -> Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) => {
                    self.line += u64::from(byte == b'\n');
                    self.at += 1;
                }
                // A byte order mark, which stands where files were put together.
                Some(0xef) => {
                    self.at += 1;
                    for byte in [0xbb, 0xbf] {
                        if self.peek()? != Some(byte) {
                            return Ok(Some(0xef));
                        }
                        self.at += 1;
                    }
                }
                other => return Ok(other),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        if self.at == self.buffer.len() {
            let first = !self.begun && self.line == 1 && self.buffer.is_empty();
            self.buffer.resize(BUFFER, 0);
            let read = self.input.read(&mut self.buffer);
            let read = read.map_err(|e| decode::failed(&self.file.path, &e))?;
            self.buffer.truncate(read);
            self.at = 0;
            if first && self.buffer.starts_with("\u{feff}".as_bytes()) {
                self.at = 3;
                return self.peek();
            }
        }
        Ok(self.buffer.get(self.at).copied())
    }
}

/// Whether a file begins as an array does.
pub(crate) fn is_array(file: &SourceFile, encoding: TextEncoding) -> Result<bool> {
    let (mut input, _) = decode::input(&file.path, encoding, &Arc::default())?;
    let mut bytes = Vec::new();
    let read = input.by_ref().take(4096).read_to_end(&mut bytes);
    read.map_err(|e| decode::failed(&file.path, &e))?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let first = bytes
        .iter()
        .find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    Ok(first == Some(&b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The objects with their lines, and whether it was an array to its end.
    fn read(text: &str) -> (Vec<(u64, String)>, bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, text).unwrap();
        let file = Arc::new(SourceFile::single(&path));
        assert_eq!(
            is_array(&file, TextEncoding::Utf8).unwrap(),
            text.trim_start_matches('\u{feff}')
                .trim_start()
                .starts_with('[')
        );
        let mut reader = ElementReader::open(&file, TextEncoding::Utf8, &Arc::default()).unwrap();
        let mut all = Vec::new();
        loop {
            match reader.next().unwrap() {
                Met::Elements(elements) => all.extend(elements.objects),
                Met::End => return (all, true),
                Met::NoArray => return (all, false),
            }
        }
    }

    #[test]
    fn elements_stand_on_one_line_and_know_where_they_began() {
        let (found, whole) =
            read("\u{feff} [\n{\"a\": \"}]\\\"{\"},\n\n{\"b\":\n [1, {\"c\": 2}]}\n]\n");
        let found: Vec<_> = found
            .iter()
            .map(|(line, text)| (*line, text.as_str()))
            .collect();
        assert!(whole);
        assert_eq!(
            found,
            [
                (2, "{\"a\": \"}]\\\"{\"}"),
                (4, "{\"b\":  [1, {\"c\": 2}]}")
            ]
        );
        assert_eq!(read("[]").0.len(), 0);
        assert!(read("[ ] \n").1);
        let many = format!("[{}]", vec!["{\"法\": \"x\"}"; 100_000].join(",\n"));
        let (found, whole) = read(&many);
        assert!(whole && found.len() == 100_000);
        assert_eq!(found[99_999].0, 100_000);
    }

    #[test]
    fn what_is_no_array_of_objects_is_left_to_others() {
        for text in [
            "",
            "[",
            "[1]",
            "[{}",
            "[{},]",
            "[{} {}]",
            "[{}] x",
            "{}",
            "[{\"a\n\": 1}]",
            "[{]",
        ] {
            assert!(!read(text).1 || text.is_empty(), "{text}");
        }
    }
}
