//! Files in forms of other tools: Parquet as pyarrow writes it, compressed texts.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::house::{DIALOGUE, House};
use coordinator::data::Form;

fn parquet(name: &str) -> House {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parquet");
    let bytes = fs::read(fixtures.join(format!("{name}.parquet"))).unwrap();
    House::new("chatml").with("law.parquet", bytes)
}

/// Texts of the samples, without what the template writes.
fn texts(house: &House) -> Vec<String> {
    let said = |(text, _): (String, String)| {
        let text = text.split("user\n").nth(1).unwrap().to_owned();
        let text = text.replace("<|im_end|>\n<|im_start|>assistant\n", " => ");
        text.replace("<|im_end|>\n", "")
    };
    house.rows().into_iter().map(said).collect()
}

const PAIRS: [&str; 3] = [
    "加班费怎么算？ => 依据《劳动法》。",
    "试用期多久？ => 最长六个月。",
    "押金退吗？ => 应当退还。",
];

#[test]
fn parquet_is_read_however_it_is_compressed() {
    for compression in ["none", "snappy", "gzip", "zstd"] {
        let house = parquet(&format!("pairs_{compression}"));
        assert_eq!(texts(&house), PAIRS, "{compression}");
        assert_eq!(house.prepare().unwrap().report.files[0].form, Form::Pairs);
    }
    assert_eq!(texts(&parquet("messages")), PAIRS);
}

#[test]
fn row_groups_nulls_and_further_columns_are_understood() {
    let house = parquet("alpaca_groups");
    let texts = texts(&house);
    assert_eq!(texts[..2], PAIRS[..2]);
    assert_eq!(texts[2], "押金退吗？\n一千元 => 应当退还。");
    let report = house.prepare().unwrap().report;
    assert_eq!(
        (report.files[0].form, &report.files[0].unused[..]),
        (Form::Alpaca, &["id".to_owned()][..])
    );
}

#[test]
fn configured_columns_name_those_of_parquet_too() {
    let named = ("frage".to_owned(), "antwort".to_owned());
    let house = parquet("other_names").set(|c| c.csv_columns = Some(named));
    assert_eq!(texts(&house), PAIRS);
    let missing = ("frage".to_owned(), "answer".to_owned());
    let house = parquet("other_names").set(|c| c.csv_columns = Some(missing));
    insta::assert_snapshot!(house.error(), @r#"
    E0306 the table's columns are not known
      at HOUSE/data/law.parquet:1
      its columns: frage, antwort (`csv_columns` names `answer`, which is not among them)
      known: question: prompt, question, instruction, query, 问题, 提问, 咨询, 用户, 客户, 问, 指令; answer: response, answer, output, completion, 回答, 答案, 解答, 回复, 律师, 答, 输出
      fix: --set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names them
    "#);
}

#[test]
fn parquet_that_cannot_be_read_is_refused_with_its_row() {
    for name in ["bytes", "a_null", "unknown", "empty", "torn", "broken_page"] {
        insta::assert_snapshot!(format!("parquet_{name}"), parquet(name).error());
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_read_like_what_is_in_them() {
    let plain = House::new("chatml").with("a.txt", DIALOGUE);
    let expected = texts(&plain);
    let csv = "问题,回答\n试用期多久？,最长六个月。\n";
    // Two members, as `cat a.gz b.gz` makes them.
    let (first, second) = DIALOGUE.split_at(DIALOGUE.find('\n').unwrap());
    let members = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    let zst = zstd::encode_all(csv.as_bytes(), 3).unwrap();
    let house = House::new("chatml")
        .with("a.txt.gz", members)
        .with("b.csv.zst", zst);
    let found = texts(&house);
    assert_eq!(found[..expected.len()], expected[..]);
    assert_eq!(found[expected.len()..], PAIRS[1..2]);
    let report = house.prepare().unwrap().report;
    assert_eq!(report.files[0].file, "a.txt.gz");
}

#[test]
fn a_compressed_file_that_is_cut_is_refused() {
    let whole = gzip(DIALOGUE.as_bytes());
    let cut = House::new("chatml").with("a.txt.gz", &whole[..whole.len() - 9]);
    insta::assert_snapshot!(cut.error(), @r#"
    E0309 a compressed data file cannot be unpacked
      at HOUSE/data/a.txt.gz
      incomplete deflate stream
      fix: copy or compress the file again; a part of it may be missing
    "#);
    let no_zstd = House::new("chatml").with("a.jsonl.zst", "{}");
    insta::assert_snapshot!(no_zstd.error(), @r#"
    E0309 a compressed data file cannot be unpacked
      at HOUSE/data/a.jsonl.zst
      Unknown frame descriptor
      fix: copy or compress the file again; a part of it may be missing
    "#);
    let inside = gzip(b"{\"question\": \"a\", \"answer\": }\n");
    let inside = House::new("chatml").with("a.jsonl.gz", inside);
    insta::assert_snapshot!(inside.error(), @r#"
    E0304 a line is not JSON
      at HOUSE/data/a.jsonl.gz:1:29
       1 | {"question": "a", "answer": }
         |                             ^
      expected value
      fix: each line of a .jsonl file is one whole object; a .json file may be one array of them
    "#);
}
