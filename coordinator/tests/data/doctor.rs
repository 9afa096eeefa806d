//! The data doctor on files: findings by file and line, samples in tokens, the report as JSON.

use std::path::{Path, PathBuf};

use crate::house::House;
use coordinator::cli::Output;
use coordinator::cli::data::{CheckArgs, ShowArgs, Source, check, show};
use coordinator::data::{Diagnosis, Kind, Wanted, diagnose, previews};
use serde_json::Value;
use shared::error::{Code, ExitCode};

const LAW: &str = "\
用户：加班费怎么算？
律师：依据《劳动法》，平日为工资的一点五倍。
用户：试用期最长多久？
律师：依据《劳动合同法》，最长不超过六个月。
用户：加班费怎么算?
律师：依据《劳动法》，平日为工资的两倍，由双方另行约定。
用户：可以退货吗？
律师：可以。
";

fn diagnosis(house: &House) -> Diagnosis {
    let (tokenizer, template) = (house.tokenizer(), house.template());
    diagnose(&house.config, &tokenizer, template.as_ref(), &mut |_| {}).unwrap()
}

fn lines(diagnosis: &Diagnosis, kind: Kind) -> Vec<Vec<u64>> {
    let finding = diagnosis.findings.iter().find(|f| f.kind == kind);
    let groups = finding.map(|f| f.places.clone()).unwrap_or_default();
    let line = |group: Vec<_>| {
        group
            .iter()
            .map(|p: &shared::dataset::RowOrigin| p.line)
            .collect()
    };
    groups.into_iter().map(line).collect()
}

#[test]
fn mistakes_are_found_with_file_and_line() {
    let house = House::new("chatml").with("law.txt", LAW);
    let found = diagnosis(&house);
    assert_eq!(lines(&found, Kind::Contradictions), [[1, 5]]);
    assert_eq!(lines(&found, Kind::OneWordAnswers), [[7]]);
    assert!(found.refused.is_none());
    let kinds: Vec<Kind> = found.findings.iter().map(|f| f.kind).collect();
    let clean = found.clean();
    // Without validation data nothing can be in both, and nobody looked.
    assert!(!kinds.contains(&Kind::Overlap) && !clean.contains(&Kind::Overlap));
    for kind in Kind::ALL.iter().filter(|k| **k != Kind::Overlap) {
        assert_ne!(kinds.contains(kind), clean.contains(kind), "{kind}");
    }
}

#[test]
fn rows_that_are_cut_and_rows_without_a_target_are_part_of_the_diagnosis() {
    let house = House::new("chatml")
        .with("law.txt", LAW)
        .set(|c| c.max_seq_length = 24);
    let found = diagnosis(&house);
    assert!(!lines(&found, Kind::CutRows).is_empty());
    let refused = found.refused.unwrap();
    assert_eq!(refused.exit_code(), ExitCode::Data, "{refused:?}");
}

#[test]
fn the_same_data_gives_the_same_diagnosis() {
    let house = House::new("chatml").with("law.txt", LAW);
    assert_eq!(diagnosis(&house).to_json(), diagnosis(&house).to_json());
}

#[test]
fn validation_samples_that_are_trained_on_are_found_in_both_places() {
    let house = House::new("chatml").with("law.txt", LAW);
    let validation = house.folder.path().join("validation");
    std::fs::create_dir(&validation).unwrap();
    let of_validation = |text: &str| std::fs::write(validation.join("law.txt"), text).unwrap();
    of_validation(
        "用户：工伤怎么认定？\n律师：依据《工伤保险条例》，向人力资源部门申请。\n\
         用户：可以退货吗？\n律师：可以。\n\
         用户：试用期最长多久?\n律师：依据《劳动合同法》,最长不超过六个月。\n",
    );
    let house = house.set(|c| c.validation_dir = Some(validation.clone()));
    let found = diagnosis(&house);
    let overlap = &found.findings[0];
    assert_eq!(overlap.kind, Kind::Overlap);
    insta::assert_snapshot!(overlap.to_string(), @r"
    overlap: 2 of 3 validation samples stand in the training data too: 1 token for token, 1 but for case, width, white space and punctuation
      at law.txt:7, validation_dir/law.txt:3
      at law.txt:3, validation_dir/law.txt:5
      fix: take each out of one of the two: the validation loss of what was trained on says nothing
    ");
    assert!(!found.clean().contains(&Kind::Overlap));
    let written = found.to_json();
    assert_eq!(written["findings"][0]["kind"], "overlap");
    assert_eq!(written["validation"]["samples"], 3);
    let said = found.to_string();
    assert!(
        said.contains("validation: law.txt: dialogue, 3 samples"),
        "{said}"
    );

    // The same question with another answer is nothing to find, and rows are compared as cut.
    of_validation("用户：可以退货吗？\n律师：可以，但是要在七天之内。\n");
    let apart = diagnosis(&house);
    assert!(lines(&apart, Kind::Overlap).is_empty());
    assert!(apart.clean().contains(&Kind::Overlap));
    let cut = diagnosis(&house.set(|c| c.max_seq_length = 66));
    assert_eq!(lines(&cut, Kind::Overlap), [[7, 1]]);
}

#[test]
fn a_sample_is_found_by_any_of_its_lines() {
    let house = House::new("chatml").with("law.txt", LAW);
    let (tokenizer, template) = (house.tokenizer(), house.template());
    let at = |line, count| {
        let wanted = Wanted {
            file: None,
            line,
            count,
        };
        previews(&house.config, &tokenizer, template.as_ref(), &wanted)
    };
    let first = |line| at(line, 1).unwrap()[0].origin.line;
    assert_eq!(
        [first(None), first(Some(3)), first(Some(4)), first(Some(99))],
        [1, 3, 3, 7]
    );
    assert_eq!(at(Some(5), 9).unwrap().len(), 2);
}

#[test]
fn a_line_without_a_sample_is_refused_with_what_there_is() {
    let house = House::new("chatml")
        .with("law.txt", format!("\n\n{LAW}"))
        .with("more.txt", LAW);
    let (tokenizer, template) = (house.tokenizer(), house.template());
    let refused = |file: Option<&str>, line| {
        let wanted = Wanted {
            file: file.map(str::to_owned),
            line: Some(line),
            count: 1,
        };
        let error = previews(&house.config, &tokenizer, template.as_ref(), &wanted).unwrap_err();
        assert_eq!(error.code, Code::Usage);
        shared::error::render(&error)
    };
    insta::assert_snapshot!(refused(None, 3), @r"
    E0109 line 3 of which file? the data has 2
      files: law.txt, more.txt
      fix: --file NAME, as one of these is spelled
    ");
    insta::assert_snapshot!(refused(Some("law.txt"), 1), @r"
    E0109 there is no sample at law.txt:1
      its first sample begins in line 3
      fix: --file NAME --line NUMBER of a line that belongs to a sample
    ");
    insta::assert_snapshot!(refused(Some("low.txt"), 1), @r"
    E0109 there is no sample at low.txt:1
      files with samples: law.txt, more.txt
      fix: --file NAME --line NUMBER of a line that belongs to a sample
    ");
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn quickstart() -> Source {
    Source {
        config: "configs/quickstart.yaml".into(),
        set: Vec::new(),
    }
}

#[test]
fn check_writes_the_whole_report() {
    let folder = tempfile::tempdir().unwrap();
    let report: PathBuf = folder.path().join("data_report.json");
    let args = CheckArgs {
        source: quickstart(),
        report: report.clone(),
        output: Output::Text,
    };
    let diagnosis = check::run(&args, root(), &mut |_| {}).unwrap();
    let written: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(written, diagnosis.to_json());
    assert_eq!(written["report"]["samples"], 205);
    insta::assert_snapshot!(diagnosis.to_string(), @r"
    train.txt: dialogue, 95 % sure: 用户 and 律师 are known names
      1: assistant: 依据《劳动法》，工资应当按月足额支付，可以向劳动监察部门投诉或者申请劳动仲裁。 | behind user: 公司拖欠工资怎么办？
      4: assistant: 依据《劳动合同法》，用工满一个月未签书面合同的，可以要求每月支付二倍工资。 | behind user: 入职三个月还没有签劳动合同，我能要求什么？
      7: assistant: 依据《劳动合同法》，一年以上不满三年的合同，试用期不得超过二个月。 | behind user: 劳动合同签两年，试用期可以约定半年吗？
    train.txt: dialogue, 205 samples
      roles: 用户 asks (205 turns), 律师 answers (205 turns)
    205 samples, 11609 tokens, 5867 of them learned
    longest: train.txt:103 with 70 of 256 tokens

    openings: 203 of 205 answers open with `依据《`, and 2 do not
      at train.txt:142, train.txt:241
      fix: let all answers open the same way, or none

    looked for and not found: cut-rows, duplicates, near-duplicates, contradictions, empty-answers, one-word-answers, odd-lengths, other-language, mixed-widths, mojibake, lost-characters, control-characters, spreadsheet-errors, no-values, unknown-tokens, byte-tokens
    a run can start with this data
    ");
}

#[test]
fn show_marks_what_is_learned() {
    let args = ShowArgs {
        source: quickstart(),
        file: None,
        line: Some(4),
        count: 1,
        ids: false,
        output: Output::Text,
    };
    let shown = show::run(&args, root()).unwrap();
    insta::assert_snapshot!(shown.to_text(false, false).unwrap(), @r"
    train.txt:4  61 tokens, 29 learned
    <|im_start|>user
    入职三个月还没有签劳动合同，我能要求什么？<|im_end|>
    <|im_start|>assistant
    ⟦依据《劳动合同法》，用工满一个月未签书面合同的，可以要求每月支付二倍工资。<|im_end|>⟧
    ");
    let ids = shown.to_text(true, false).unwrap();
    let learned: Vec<&str> = ids.lines().filter(|l| l.contains('⟦')).collect();
    assert_eq!(learned.len(), 29);
    insta::assert_snapshot!(learned[..3].join("\n"), @r#"
    31      581  ⟦"依"⟧
    32      543  ⟦"据"⟧
    33      414  ⟦"《"⟧
    "#);
    let json = &shown.to_json()[0];
    let tokens = json["tokens"].as_array().unwrap();
    assert_eq!(tokens.iter().filter(|t| t["learned"] == true).count(), 29);
}
