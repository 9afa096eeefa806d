//! Files as people have them, and what is said of each: encodings, separators, damage, links, splits.
//!
//! Every remedy that is a setting or a command is tried here on the input that caused it.

use std::fs;
use std::process::Command;

use coordinator::data::{Kind, diagnose};
use shared::config::TextEncoding;
use shared::error::{Code, ExitCode};

use crate::house::{DIALOGUE, House};

fn refused(house: &House, code: Code) -> String {
    let error = house.prepare().unwrap_err();
    assert_eq!((error.code, error.exit_code()), (code, ExitCode::Data));
    house.shown(&error)
}

fn encoded(text: &str, to: &str) -> Vec<u8> {
    match to {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        other => {
            let encoding = encoding_rs::Encoding::for_label(other.as_bytes()).unwrap();
            let (bytes, _, lost) = encoding.encode(text);
            assert!(!lost, "{other}");
            bytes.into_owned()
        }
    }
}

/// The commands that an error advises, each with what it reads into `NEW_FILE`.
fn converted(house: &House, said: &str) -> Option<Vec<u8>> {
    let line = said.lines().find(|line| line.contains("iconv -f"))?;
    let command = line.split("or iconv").nth(1)?.split(" > NEW_FILE").next()?;
    let command =
        format!("iconv{command}").replace("HOUSE", &house.folder.path().display().to_string());
    let output = Command::new("sh").arg("-c").arg(command).output().unwrap();
    assert!(output.status.success(), "{said}");
    Some(output.stdout)
}

#[test]
fn a_file_in_another_encoding_is_refused_with_the_one_that_fits_and_both_remedies_read_it() {
    let chinese = "问题,回答\n合同没有约定违约金怎么办？,可以请求赔偿实际损失。\n利息上限是多少？,一年期利率的四倍。\n";
    let traditional =
        "问题,回答\n房東不退押金怎麼辦？,可以請求返還。\n".replace("问题,回答", "question,answer");
    let german = "question,answer\nWie lange läuft der Mietvertrag?,Über die vereinbarte Zeit; die Kündigungsfrist beträgt drei Monate.\n";
    let english = "question,answer\nIs a deposit refundable?,Yes.\n";
    for (text, to, encoding) in [
        (chinese, "gb18030", TextEncoding::Gb18030),
        (&traditional, "big5", TextEncoding::Big5),
        (german, "windows-1252", TextEncoding::Windows1252),
        (chinese, "utf-16le", TextEncoding::Utf16Le),
        (chinese, "utf-16be", TextEncoding::Utf16Be),
        (english, "utf-16le", TextEncoding::Utf16Le),
    ] {
        let house = House::new("chatml").with("a.csv", encoded(text, to));
        let said = refused(&house, Code::Undecodable);
        assert!(
            said.contains(&format!("--set data_encoding={to} reads it")),
            "{said}"
        );
        assert_eq!(said.matches("fix:").count(), 2, "{said}");
        let line = text
            .lines()
            .find(|line| !line.is_ascii())
            .unwrap_or(english.lines().next().unwrap());
        assert!(
            said.contains(&line.chars().take(20).collect::<String>()),
            "{said}"
        );
        assert_eq!(converted(&house, &said).unwrap(), text.as_bytes(), "{said}");
        let house = house.set(|c| c.formats.encoding = encoding);
        let read = house.rows();
        let plain = House::new("chatml").with("a.csv", text).rows();
        assert_eq!(read, plain);
        let notices = house.prepare().unwrap().report.notices;
        assert_eq!(
            notices,
            [format!(
                "a.csv is not UTF-8; it was read as {to}, as data_encoding={to} says"
            )]
        );
    }
}

#[test]
fn every_reader_reads_another_encoding_and_a_wrong_one_is_refused() {
    let json = "[{\"question\": \"押金能退吗？\", \"answer\": \"到期应当退还。\"}]";
    let gbk = |text: &str| encoded(text, "gb18030");
    let house = House::new("chatml")
        .with("a.json", gbk(json))
        .with("a.jsonl", gbk(&json[1..json.len() - 1]))
        .with("a.txt", gbk(DIALOGUE))
        .with("b.txt", DIALOGUE)
        .set(|c| c.formats.encoding = TextEncoding::Gb18030);
    assert_eq!(house.rows().len(), 6);
    assert_eq!(house.prepare().unwrap().report.notices.len(), 3);
    let house = house.set(|c| c.formats.encoding = TextEncoding::EucJp);
    refused(&house, Code::Undecodable);
}

#[test]
fn a_mark_says_what_a_file_is() {
    let mut bytes = vec![0xff, 0xfe];
    bytes.extend(encoded("问题\t回答\n甲问\t乙答\n", "utf-16le"));
    let house = House::new("chatml").with("a.tsv", &bytes);
    let said = refused(&house, Code::Undecodable);
    assert!(
        said.contains("its byte order mark says that it is UTF-16"),
        "{said}"
    );
    assert!(
        converted(&house, &said)
            .unwrap()
            .ends_with("甲问\t乙答\n".as_bytes())
    );
    let house = house.set(|c| c.formats.encoding = TextEncoding::Utf16Le);
    assert_eq!(house.rows().len(), 1);
}

#[test]
fn semicolons_are_named_and_the_remedy_reads_the_file() {
    let house = House::new("chatml").with(
        "de.csv",
        "Frage;Antwort\nWie lange ist die Frist?;Zwei Wochen.\n",
    );
    let said = refused(&house, Code::UnknownForm);
    assert!(said.contains("its cells look separated by `;`"), "{said}");
    assert!(!said.contains("csv_columns"), "{said}");
    let command = said.split("as: ").nth(1).unwrap().lines().next().unwrap();
    let command = command.replace("HOUSE", &house.folder.path().display().to_string());
    assert!(
        Command::new("sh")
            .arg("-c")
            .arg(command)
            .status()
            .unwrap()
            .success()
    );
    let named = |part: &str, name: &str| shared::config::Named {
        part: part.into(),
        name: name.into(),
    };
    let house = house
        .set(|c| c.formats.columns = vec![named("question", "Frage"), named("answer", "Antwort")]);
    assert_eq!(house.rows()[0].1, "Zwei Wochen.<|im_end|>");
}

#[test]
fn quotes_do_not_vanish_from_a_cell() {
    let text = "问题,回答\n\"定金\"和订金有何不同？,定金适用双倍返还。\n能否同时主张？,\"不能\"，只能选一个。\n";
    let house = House::new("chatml").with("q.csv", text);
    let said = refused(&house, Code::MalformedCsv);
    assert!(said.contains("q.csv:2"), "{said}");
    let mended = text
        .replace(
            "\"定金\"和订金有何不同？",
            "\"\"\"定金\"\"和订金有何不同？\"",
        )
        .replace("\"不能\"，只能选一个。", "\"\"\"不能\"\"，只能选一个。\"");
    let rows = House::new("chatml").with("q.csv", mended).rows();
    assert!(rows[0].0.contains("\"定金\"和订金"), "{rows:?}");
    assert_eq!(rows[1].1, "\"不能\"，只能选一个。<|im_end|>");
}

#[test]
fn damaged_texts_are_counted_by_every_start_and_found_with_their_rows() {
    let table = "问题,回答\n利息上限？,#NAME?\n管辖法院？,#REF!\n违约金？,=B2&C2\n诉讼费？,nan\n期限？,NULL\n保证人责任？,None\n时效？,三年以内可以起诉。\n";
    let damaged = "{\"question\": \"a\\u0000b 怎么办？\", \"answer\": \"c\\u0007d\\u001b[31m红\"}\n\
                   {\"question\": \"Ã¤ndern?\", \"answer\": \"锟斤拷\"}\n\
                   {\"question\": \"好\\ufffd吗？\", \"answer\": \"很好，没有问题。\"}\n";
    let house = House::new("chatml")
        .with("excel.csv", table)
        .with("z.jsonl", damaged);
    let notices = house.prepare().unwrap().report.notices.join("\n");
    insta::assert_snapshot!(notices);
    let (tokenizer, template) = (house.tokenizer(), house.template());
    let found = diagnose(&house.config, &tokenizer, template.as_ref(), &mut |_| {}).unwrap();
    let lines = |kind: Kind| -> Vec<u64> {
        let finding = found.findings.iter().find(|f| f.kind == kind);
        finding.map_or(Vec::new(), |f| {
            f.places.iter().flatten().map(|p| p.line).collect()
        })
    };
    assert_eq!(lines(Kind::SpreadsheetErrors), [2, 3, 4]);
    assert_eq!(lines(Kind::NoValues), [5, 6, 7]);
    assert_eq!(lines(Kind::ControlCharacters), [1]);
    assert_eq!(lines(Kind::Mojibake), [2]);
    assert_eq!(lines(Kind::LostCharacters), [3]);
    let text = found.to_string();
    assert!(
        text.contains("a\\u{0}b") && text.contains("\\u{1b}[31m"),
        "{text}"
    );
    assert!(!text.contains(['\u{0}', '\u{7}', '\u{1b}']), "{text}");
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_refused_and_a_restart_is_not_advised() {
    let house = House::new("chatml").with("ok.txt", DIALOGUE);
    let link = house.config.train_data_dir.join("dangling.jsonl");
    std::os::unix::fs::symlink("gone.jsonl", &link).unwrap();
    let said = refused(&house, Code::Unreadable);
    assert!(said.contains("it points at gone.jsonl"), "{said}");
    fs::remove_file(&link).unwrap();
    fs::write(&link, "gone.jsonl\n").unwrap();
    let said = refused(&house, Code::Unreadable);
    assert!(said.contains("a link that was written as text"), "{said}");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(".", house.config.train_data_dir.join("round")).unwrap();
    let said = refused(&house, Code::Unreadable);
    assert!(said.contains("a linked folder"), "{said}");
}

#[test]
fn files_that_lie_side_by_side_are_told_apart() {
    let row = "{\"question\": \"押金能退吗？\", \"answer\": \"到期应当退还。\"}\n";
    let house = House::new("chatml")
        .with("train.jsonl", row)
        .with("validation.jsonl", row)
        .with("test.jsonl", row)
        .with("empty.jsonl", "")
        .with("blank.txt", " \n\n")
        .with("head.csv", "问题,回答\n")
        .with(
            "dataset_info.json",
            "{\"law\": {\"file_name\": \"law.json\", \"columns\": {\"prompt\": \"instruction\"}}}",
        );
    let notices = house.prepare().unwrap().report.notices.join("\n");
    let notices = notices.replace(&house.folder.path().display().to_string(), "HOUSE");
    insta::assert_snapshot!(notices);
    let (tokenizer, template) = (house.tokenizer(), house.template());
    let found = diagnose(&house.config, &tokenizer, template.as_ref(), &mut |_| {}).unwrap();
    let sure = found
        .detected
        .iter()
        .filter(|d| d.samples == 0)
        .map(|d| d.sure);
    assert_eq!(sure.collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn line_ends_of_every_system_are_read_and_none_is_in_a_text() {
    let house = House::new("chatml")
        .with("a.txt", "用户：一问？\r\n律师：一答，\r\n第二行。\r\n \r\n用户：二问？\n律师：二答。  \n\u{3000}用户：三问？\r\n\u{a0}律师：三答。\n")
        .with("mac.csv", "question,answer\r四问,四答\r五问,五答\r");
    let rows = house.rows();
    assert_eq!(rows.len(), 5);
    assert!(
        rows.iter().all(|(text, _)| !text.contains('\r')),
        "{rows:?}"
    );
}

#[test]
fn twenty_thousand_files_make_a_report_of_a_page() {
    let mut house = House::new("chatml");
    for n in 0..300 {
        house = house.with(&format!("{:02}/{n}.txt", n / 100), DIALOGUE);
    }
    let (tokenizer, template) = (house.tokenizer(), house.template());
    let found = diagnose(&house.config, &tokenizer, template.as_ref(), &mut |_| {}).unwrap();
    let text = found.to_string();
    assert!(
        text.contains("and 280 more files: dialogue, 560 samples"),
        "{text}"
    );
    assert!(text.lines().count() < 150, "{}", text.lines().count());
    assert_eq!(found.to_json()["detected"].as_array().unwrap().len(), 300);
}
