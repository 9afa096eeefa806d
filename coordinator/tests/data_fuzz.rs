//! Files nobody meant to write: whatever is in them, the data room answers, and does not panic.
//!
//! Seeded mutations of real files through every reader. `FUZZ_SECONDS=600` runs longer, `FUZZ_SEED=N`
//! elsewhere. What ever made a reader panic lies in `data/corpus` and is read again by every run.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]
#![allow(clippy::panic, reason = "a test fails by panicking")]

#[path = "data/house.rs"]
mod house;

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coordinator::data::{DataConfig, prepare};
use house::{DIALOGUE, House};
use shared::config::{LossOn, Named, TextEncoding};

/// Mutated files of a short run.
const SHORT: u64 = 3000;

/// No file of a few hundred bytes takes this long. Only the library's reader of Parquet may: a header
/// that speaks of a list of 2^31 empty elements is counted to its end before it is refused.
const LONG: Duration = Duration::from_secs(5);

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Pieces that mean something to some reader.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\t",
    b"\0",
    b";",
    b"'",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xe7",
    b"null",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"PAR1",
    b"\"messages\":[",
    b"\"role\":",
    b"\"history\":",
    b"\"input_ids\":[",
    b"\"labels\":",
    b"\"attention_mask\":[0,1",
    b"\"tools\":[{",
    b"\"tool_calls\":[",
    b"\"weight\":",
    b"-100",
    b"18446744073709551616",
    b"question,answer\n",
    b"sep=;\n",
    b"\xd3\xc3",
    b"ARROW1",
    b"PK\x03\x04",
    "：".as_bytes(),
    "用户：".as_bytes(),
    "律师：\n".as_bytes(),
    "　".as_bytes(),
    b"\x28\xb5\x2f\xfd",
    b"\x1f\x8b",
    b"\xff\xff\xff\x7f",
    b"<|im_end|>",
    b"{{",
    b"{%",
];

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(24)).min(bytes.len());
        match dice.below(8) {
            0 => {
                bytes.splice(at..at, dice.pick(PIECES).iter().copied());
            }
            1 => {
                bytes.drain(at..end);
            }
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes.truncate(at),
            4 => {
                let from = dice.below(other.len() + 1);
                let part = &other[from..(from + dice.below(64)).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
            _ => {
                let bit = dice.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }
}

/// Names with their endings, and what is in them.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let pairs = "{\"question\": \"加班费怎么算？\", \"answer\": \"依据《劳动法》。\"}\n";
    let lists = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n{\"instruction\": \"a\", \"input\": \"b\", \"output\": \"c\", \"history\": [[\"d\", \"e\"]]}\n{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}]}\n";
    let array = format!("[{},\n{}]", pairs.trim(), pairs.trim());
    let table = "id,问题,回答\r\n1,\" 借款，\r\n\"\"怎么\"\"办？\",答\r\n\r\n2,b , c\r\n";
    let mut seeds: Vec<(String, Vec<u8>)> = [
        ("a.txt", DIALOGUE),
        ("a.jsonl", pairs),
        ("b.jsonl", lists),
        ("a.json", &array),
        ("a.csv", table),
        ("a.tsv", "question\tanswer\na\tb\n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(lists.as_bytes()).unwrap();
    seeds.push(("a.jsonl.gz".into(), encoder.finish().unwrap()));
    seeds.push((
        "a.csv.zst".into(),
        zstd::encode_all(table.as_bytes(), 3).unwrap(),
    ));
    seeds.extend(
        [files("parquet"), files("formats")]
            .concat()
            .into_iter()
            .filter(|(name, _)| !name.ends_with(".py"))
            .filter(|(name, _)| {
                let binary = [".parquet", ".arrow", ".xlsx", ".ods", "gbk.csv"];
                binary.iter().any(|ending| name.ends_with(ending))
            }),
    );
    seeds
}

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = data().join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (name(path), fs::read(path).unwrap()))
        .collect()
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Reads one file as a run's whole data; what the data room says is a refusal with a remedy.
struct Reader {
    house: House,
    tokenizer: shared::text::TextTokenizer,
    template: Option<shared::text::ChatTemplate>,
    /// The same run with names of its own for fields and roles.
    named: DataConfig,
}

impl Reader {
    fn new() -> Self {
        let house = House::new("chatml");
        let (tokenizer, template) = (house.tokenizer(), house.template());
        let named = |pairs: &[(&str, &str)]| {
            let one = |(part, name): &(&str, &str)| Named {
                part: (*part).to_owned(),
                name: (*name).to_owned(),
            };
            pairs.iter().map(one).collect()
        };
        let mut other = house.config.clone();
        other.loss_on = LossOn::All;
        other.formats.encoding = TextEncoding::Gb18030;
        other.formats.sheets = vec!["2026".into()];
        other.formats.columns = named(&[("role", "who"), ("content", "said"), ("input", "labels")]);
        other.formats.roles =
            named(&[("user", "律师"), ("assistant", "用户"), ("assistant", "丁")]);
        Self {
            house,
            tokenizer,
            template,
            named: other,
        }
    }

    /// Whether it was accepted.
    fn read(&self, name: &str, bytes: &[u8]) -> Result<bool, String> {
        let path = self.house.config.train_data_dir.join(name);
        fs::write(&path, bytes).unwrap();
        let read = || {
            let (tokenizer, template) = (&self.tokenizer, self.template.as_ref());
            let other = prepare(&self.named, tokenizer, template);
            prepare(&self.house.config, tokenizer, template).or(other)
        };
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(read));
        if began.elapsed() > LONG && !name.ends_with(".parquet") {
            return Err(format!(
                "a file of {} bytes takes {:?}",
                bytes.len(),
                began.elapsed()
            ));
        }
        fs::remove_file(&path).unwrap();
        match outcome {
            Err(_) => Err("it panics".into()),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if error.fix.is_empty() || error.place.is_none() => Err(format!(
                "no place or no remedy: {}",
                shared::error::render(&error)
            )),
            Ok(Err(_)) => Ok(false),
        }
    }
}

#[test]
fn what_once_made_a_reader_panic_does_not_any_more() {
    let reader = Reader::new();
    for (name, bytes) in files("corpus") {
        if let Err(why) = reader.read(&name, &bytes) {
            panic!("{name}: {why}");
        }
    }
}

#[test]
fn whatever_is_in_a_file_is_answered() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seconds = number("FUZZ_SECONDS").map(Duration::from_secs);
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let (mut dice, reader, seeds) = (Dice(seed), Reader::new(), seeds());
    for (name, bytes) in &seeds {
        reader
            .read(name, bytes)
            .unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    let began = Instant::now();
    let (mut read, mut accepted) = (0, 0);
    while seconds.map_or(read < SHORT, |limit| began.elapsed() < limit) {
        let (name, bytes) = dice.pick(&seeds).clone();
        let other = dice.pick(&seeds).1.clone();
        let mut bytes = bytes;
        mutate(&mut dice, &mut bytes, &other);
        match reader.read(&name, &bytes) {
            Ok(whole) => accepted += u64::from(whole),
            Err(why) => {
                let kept = data().join("corpus").join(format!("{seed}-{read}-{name}"));
                fs::write(&kept, &bytes).unwrap();
                panic!("{}: {why}", kept.display());
            }
        }
        read += 1;
    }
    println!("{read} files, {accepted} accepted, the others refused with place and remedy");
    assert!(
        accepted > 0 && accepted < read,
        "{accepted} of {read} accepted"
    );
}
