//! Personal data: what is found of what was planted, and what is left alone.

mod draw;
mod labelled;
mod near;
mod planted;

use std::collections::BTreeMap;

use coordinator::data::privacy::{Kind, Masker, Privacy};
use shared::config::{PrivacyConfig, PrivacyKind, PrivacyRule};

const SEED: u64 = 20_240_726;

#[derive(Default)]
struct Score {
    planted: usize,
    found: usize,
    right: usize,
    wrong: usize,
}

fn everything() -> Privacy {
    Privacy::new(&PrivacyConfig {
        kinds: Some(PrivacyKind::ALL.to_vec()),
        ..PrivacyConfig::default()
    })
    .unwrap()
}

fn defaults() -> Privacy {
    Privacy::new(&PrivacyConfig::default()).unwrap()
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Known(kind) => kind.placeholder(),
        Kind::Rule(_) => "RULE",
    }
}

/// Counts what is found; `show` prints what is missed or wrong.
fn measure(
    sentences: Vec<planted::Planted>,
    near: &[String],
    show: bool,
) -> BTreeMap<&'static str, Score> {
    let (all, usual) = (everything(), defaults());
    let mut scores: BTreeMap<&'static str, Score> = BTreeMap::new();
    for planted::Planted { text, value, kind } in sentences {
        let privacy = if kind == PrivacyKind::Amounts {
            &all
        } else {
            &usual
        };
        let start = text.find(&value).unwrap();
        let end = start + value.len();
        let findings = privacy.scan(&text);
        let covers = |f: &coordinator::data::privacy::Finding| {
            f.kind == Kind::Known(kind) && f.span.start <= start && end <= f.span.end
        };
        let found = findings.iter().any(covers);
        let score = scores.entry(kind.placeholder()).or_default();
        score.planted += 1;
        score.found += usize::from(found);
        if show && !found {
            println!("missed {}: {text}", kind.placeholder());
        }
        for finding in findings {
            let touches = finding.span.start < end && start < finding.span.end;
            let right = touches && finding.kind == Kind::Known(kind);
            let score = scores.entry(word(finding.kind)).or_default();
            score.right += usize::from(right);
            score.wrong += usize::from(!right);
            if show && !right {
                println!(
                    "wrong {} in planted {}: {}",
                    word(finding.kind),
                    text,
                    &text[finding.span]
                );
            }
        }
    }
    for text in near {
        for finding in usual.scan(text) {
            scores.entry(word(finding.kind)).or_default().wrong += 1;
            if show {
                println!(
                    "wrong {}: {text}: {}",
                    word(finding.kind),
                    &text[finding.span]
                );
            }
        }
    }
    scores
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

/// Prints the table of some sentences; the sum of all kinds.
fn print_table(title: &str, scores: &BTreeMap<&'static str, Score>) -> Score {
    println!(
        "{title}\n| Kind | planted | found | recall | wrong | precision |\n|---|---|---|---|---|---|"
    );
    let mut all = Score::default();
    let line = |kind: &str, score: &Score| {
        let Score {
            planted,
            found,
            right,
            wrong,
        } = score;
        println!(
            "| {kind} | {planted} | {found} | {:.3} | {wrong} | {:.3} |",
            share(*found, *planted),
            share(*right, right + wrong)
        );
    };
    for (kind, score) in scores {
        line(kind, score);
        all.planted += score.planted;
        all.found += score.found;
        all.right += score.right;
        all.wrong += score.wrong;
    }
    line("all", &all);
    all
}

#[test]
fn what_was_planted_is_found_and_near_misses_are_left_alone() {
    let show = std::env::var_os("SHOW").is_some();
    let near = near::near(SEED);
    let scores = measure(planted::planted(SEED), &near, show);
    let all = print_table(&format!("planted, and {} near misses", near.len()), &scores);
    assert!(all.planted >= 500 && near.len() >= 500, "{}", all.planted);
    for kind in ["ID", "CARD"] {
        let score = &scores[kind];
        assert!(share(score.found, score.planted) >= 0.99, "{kind}");
    }
    assert!(share(all.found, all.planted) >= 0.95);
    assert!(share(all.right, all.right + all.wrong) >= 0.95);
}

/// Names without a word beside them are among these: the documents say that they are not found.
#[test]
fn what_was_written_after_the_rules_is_mostly_found() {
    let show = std::env::var_os("SHOW").is_some();
    let scores = measure(planted::unseen(SEED), &[], show);
    let all = print_table("unseen", &scores);
    for (kind, score) in &scores {
        assert!(
            *kind == "NAME" || share(score.found, score.planted) >= 0.8,
            "{kind}"
        );
    }
    assert!(share(all.right, all.right + all.wrong) >= 0.95);
}

#[test]
fn the_shipped_legal_questions_hold_no_personal_data() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/law_train/train.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let privacy = defaults();
    let wrong: Vec<&str> = text
        .lines()
        .filter(|line| !privacy.scan(line).is_empty())
        .collect();
    assert!(text.lines().count() > 400 && wrong.is_empty(), "{wrong:?}");
}

#[test]
fn masking_twice_changes_nothing_more_and_no_value_survives() {
    let privacy = everything();
    let mut draw = draw::Draw(7);
    let (planted, near) = (planted::planted(7), near::near(7));
    for _ in 0..600 {
        let mut text = String::new();
        for _ in 0..1 + draw.below(4) {
            text.push_str(&planted[draw.below(planted.len())].text);
            text.push_str(draw.one(&["", "，", "。", "\n", " ", "、"]));
            text.push_str(&near[draw.below(near.len())]);
        }
        let findings = privacy.scan(&text);
        let masked = Masker::new(&privacy).mask(&text).into_owned();
        assert_eq!(Masker::new(&privacy).mask(&masked), masked, "{text}");
        for finding in findings {
            let value = &text[finding.span.clone()];
            let whole = |(at, _): (usize, &str)| {
                let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
                let (before, after) = (&masked[..at], &masked[at + value.len()..]);
                !part(before.chars().next_back()) && !part(after.chars().next())
            };
            assert!(
                !masked.match_indices(value).any(whole),
                "{value} in {masked}"
            );
        }
    }
}

#[test]
fn the_same_value_gets_the_same_placeholder_however_it_is_written() {
    let privacy = defaults();
    let mut masker = Masker::new(&privacy);
    masker.reserve("见[PHONE_3]");
    let masked = masker
        .mask(
            "手机138 0013 8000，另一个是１３８００１３８０００，座机010-62345678。[PHONE_3]不变。",
        )
        .into_owned();
    assert_eq!(
        masked,
        "手机[PHONE_4]，另一个是[PHONE_4]，座机[PHONE_5]。[PHONE_3]不变。"
    );
    assert_eq!(masker.mask("打+86 138-0013-8000"), "打[PHONE_4]");
}

#[test]
fn a_name_found_once_is_masked_in_the_whole_sample() {
    let privacy = defaults();
    let found = privacy.scan_all(&[
        "原告李秀英诉称，被告殴打她。",
        "李秀英可以申请人身安全保护令。",
    ]);
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(found[1][0].span, 0.."李秀英".len());
}

/// The verb behind a name is no part of it, and the name is masked in every text of the sample.
#[test]
fn a_name_ends_where_the_verb_begins_and_is_masked_elsewhere_too() {
    let cases = [
        (
            "原告王小明起诉被告赵铁柱，王小明要求还款。",
            "原告[NAME_1]起诉被告[NAME_2]，[NAME_1]要求还款。",
        ),
        ("被告赵铁柱辩称没有借款。", "被告[NAME_1]辩称没有借款。"),
        (
            "被告王明辩称没有借款，王明未到庭。",
            "被告[NAME_1]辩称没有借款，[NAME_1]未到庭。",
        ),
        (
            "原告李娟诉称，李娟与张勇相识多年。",
            "原告[NAME_1]诉称，[NAME_1]与[NAME_2]相识多年。",
        ),
        ("欧阳志强起诉司马玉", "[NAME_1]起诉[NAME_2]"),
        (
            "张医生您好，王女士让小李转告老王。",
            "[NAME_1]医生您好，[NAME_2]女士让[NAME_3]转告[NAME_4]。",
        ),
        (
            "patient John Smith was signed by Mary Khan",
            "patient [NAME_1] was signed by [NAME_2]",
        ),
    ];
    let privacy = defaults();
    for (text, masked) in cases {
        assert_eq!(Masker::new(&privacy).mask(text), masked);
    }
    let found = privacy.scan_all(&["原告王小明起诉被告赵铁柱。", "问：赵铁柱本人在吗？"]);
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}

/// Words that begin with a family name, as they stand in contracts, records and letters.
#[test]
fn words_that_begin_like_a_name_stay() {
    let privacy = defaults();
    for text in [
        "高血压患者的标准在江苏省是一样的，方式不限。",
        "任何一方不同意，于是双方和解，合同成立。",
        "白细胞偏高，常见原因是感染；材料齐全即可张贴。",
        "和医生商量后，向经理汇报，由项目经理签字。",
        "小白兔和老江湖都是常用词，施工单位应当注意安全。",
        "Grant County Court is closed on May Day, says Premium Support.",
        "Crohn's disease and Bell's palsy; Henry Ford Hospital; Wells Fargo.",
    ] {
        let found = privacy.scan(text);
        let words: Vec<&str> = found
            .into_iter()
            .map(|finding| &text[finding.span])
            .collect();
        assert!(words.is_empty(), "{text}: {words:?}");
    }
}

#[test]
fn rules_of_the_user_count_first_and_see_full_width_digits() {
    let rule = PrivacyRule {
        name: "CONTRACT".into(),
        pattern: "HT-[0-9]{6}".into(),
    };
    let privacy = Privacy::new(&PrivacyConfig {
        kinds: Some(vec![PrivacyKind::Emails]),
        rules: vec![rule],
        ..PrivacyConfig::default()
    })
    .unwrap();
    let masked = Masker::new(&privacy)
        .mask("合同HT-２０２４０１，HT-202401，电话13800138000")
        .into_owned();
    assert_eq!(masked, "合同[CONTRACT_1]，[CONTRACT_1]，电话13800138000");
}
