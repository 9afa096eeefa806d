//! Data with one mistake each, and data without.

use shared::dataset::RowOrigin;
use shared::text::Message;

use super::*;

/// Findings about question and answer pairs, without a tokenizer: ids are the characters.
fn findings(pairs: &[(&str, &str)]) -> Vec<(Kind, Vec<Vec<u64>>)> {
    let mut checks: Vec<Box<dyn Check>> = vec![
        Box::<duplicates::Duplicates>::default(),
        Box::<near::NearDuplicates>::default(),
        Box::<contradictions::Contradictions>::default(),
        Box::<short::ShortAnswers>::default(),
        Box::<openings::Openings>::default(),
        Box::<lengths::Lengths>::default(),
        Box::<language::Languages>::default(),
        Box::<widths::Widths>::default(),
    ];
    for (index, (question, answer)) in (0..).zip(pairs) {
        let messages = [
            Message::new("user", *question),
            Message::new("assistant", *answer),
        ];
        let ids: Vec<u32> = question
            .chars()
            .chain(answer.chars())
            .map(u32::from)
            .collect();
        let seen = Seen {
            messages: &messages,
            tools: None,
            ids: &ids,
        };
        for check in &mut checks {
            check.see(index, &seen);
        }
    }
    let lines = |group: Vec<u32>| group.iter().map(|i| u64::from(*i) + 1).collect();
    let found = checks.iter().flat_map(|c| c.findings());
    found
        .map(|f| (f.kind, f.groups.into_iter().map(lines).collect()))
        .collect()
}

#[test]
fn calls_of_tools_tell_samples_apart_and_are_no_empty_answers() {
    let call = |city: &str, id: &str| {
        let mut message = Message::new("assistant", "");
        let call = serde_json::json!([{"id": id, "function": {"name": "find", "arguments": {"city": city}}}]);
        message.fields = Some([("tool_calls".to_owned(), call)].into_iter().collect());
        vec![Message::new("user", "天气？"), message]
    };
    let (other, tools) = (call("上海", "1"), serde_json::json!([{"a": 1}]));
    let (first, again) = (call("北京", "1"), call("北京", "2"));
    let key = text::folded_key;
    assert_eq!(key(&first, None), key(&again, None));
    assert_ne!(key(&first, None), key(&other, None));
    assert_ne!(key(&first, None), key(&first, Some(&tools)));
    let mut short = short::ShortAnswers::default();
    let seen = Seen {
        messages: &first,
        tools: None,
        ids: &[],
    };
    assert_eq!(seen.answer(), None);
    short.see(0, &seen);
    assert!(short.findings().is_empty());
}

/// Twelve samples with nothing to say about.
const SOUND: [(&str, &str); 12] = [
    (
        "借款没有借条怎么办？",
        "依据《民法典》，可以用转账记录和聊天记录证明借款。",
    ),
    (
        "公司拖欠工资怎么办？",
        "依据《劳动法》，可以向劳动监察部门投诉。",
    ),
    (
        "离婚后孩子归谁抚养？",
        "依据《民法典》，按照最有利于子女的原则确定。",
    ),
    (
        "邻居装修噪音太大怎么办？",
        "依据《噪声污染防治法》，可以要求物业或公安处理。",
    ),
    (
        "网购收到假货怎么办？",
        "依据《消费者权益保护法》，可以要求退一赔三。",
    ),
    (
        "房东不退押金怎么办？",
        "依据《民法典》，可以要求返还，必要时起诉。",
    ),
    (
        "被狗咬伤由谁赔偿？",
        "依据《民法典》，由动物饲养人承担侵权责任。",
    ),
    (
        "试用期可以随时辞退吗？",
        "依据《劳动合同法》，须证明不符合录用条件。",
    ),
    (
        "交通事故对方全责如何索赔？",
        "依据《道路交通安全法》，先由保险公司在限额内赔偿。",
    ),
    (
        "遗嘱必须公证吗？",
        "依据《民法典》，自书遗嘱同样有效，公证不是必须。",
    ),
    ("加班费如何计算？", "依据《劳动法》，平日为工资的一点五倍。"),
    (
        "名誉权受到侵害怎么办？",
        "依据《民法典》，可以要求停止侵害并赔礼道歉。",
    ),
];

fn with(more: &[(&'static str, &'static str)]) -> Vec<(Kind, Vec<Vec<u64>>)> {
    findings(&[&SOUND[..], more].concat())
}

#[test]
fn sound_data_gives_no_finding() {
    assert_eq!(with(&[]), []);
}

#[test]
fn what_is_there_twice_is_found_whatever_its_width_and_spaces() {
    let again = (
        "借款没有借条怎么办?  ",
        "依据《民法典》，可以用转账记录和聊天记录证明借款 。",
    );
    let found = with(&[again]);
    assert!(
        found.contains(&(Kind::Duplicates, vec![vec![1, 13]])),
        "{found:?}"
    );
    assert!(
        !found.iter().any(|f| f.0 == Kind::NearDuplicates),
        "{found:?}"
    );
}

#[test]
fn what_says_nearly_the_same_is_found() {
    let near = (
        "公司拖欠工资怎么办呢？",
        "依据《劳动法》，可以向劳动监察部门投诉。",
    );
    assert_eq!(with(&[near]), [(Kind::NearDuplicates, vec![vec![2, 13]])]);
}

#[test]
fn a_question_with_two_answers_is_found() {
    let other = (
        "加班费如何计算",
        "依据《劳动法》，平日为工资的两倍，由双方约定为准。",
    );
    assert_eq!(with(&[other]), [(Kind::Contradictions, vec![vec![11, 13]])]);
}

#[test]
fn answers_of_no_word_and_of_one_are_found() {
    let found = with(&[("可以退货吗？", "可以。"), ("什么是要约邀请？", "……")]);
    assert!(
        found.contains(&(Kind::EmptyAnswers, vec![vec![14]])),
        "{found:?}"
    );
    assert!(
        found.contains(&(Kind::OneWordAnswers, vec![vec![13]])),
        "{found:?}"
    );
}

#[test]
fn an_answer_that_opens_otherwise_is_found() {
    let other = (
        "合同丢失了还有效吗？",
        "这个合同仍然有效，可以用其他证据证明。",
    );
    assert_eq!(with(&[other]), [(Kind::Openings, vec![vec![13]])]);
}

#[test]
fn an_answer_in_another_language_is_found() {
    let other = (
        "工伤如何认定？",
        "An injury at work is recognised by the local labour office.",
    );
    let found = with(&[other]);
    assert!(
        found.contains(&(Kind::OtherLanguage, vec![vec![13]])),
        "{found:?}"
    );
}

#[test]
fn two_widths_of_a_sign_are_found() {
    let other = ("起诉需要哪些材料?", "依据《民事诉讼法》,需要起诉状和证据。");
    assert_eq!(with(&[other]), [(Kind::MixedWidths, vec![vec![13]])]);
}

#[test]
fn a_sample_far_longer_than_the_others_is_found() {
    let long = "依据《民法典》，".to_owned() + &"各方应当按照约定全面履行自己的义务。".repeat(20);
    let questions: Vec<String> = (0..12)
        .map(|n| format!("第{n}种情形下应当如何处理？"))
        .collect();
    let answers: Vec<String> = (0..12)
        .map(|n| format!("依据《民法典》，第{n}种情形由当事人协商后处理。"))
        .collect();
    let mut pairs: Vec<(&str, &str)> = SOUND.to_vec();
    pairs.extend(
        questions
            .iter()
            .map(String::as_str)
            .zip(answers.iter().map(String::as_str)),
    );
    pairs.push(("合同怎样履行？", &long));
    let found = findings(&pairs);
    assert!(
        found.contains(&(Kind::OddLengths, vec![vec![25]])),
        "{found:?}"
    );
}

#[test]
fn a_diagnosis_reads_well() {
    let place = |line| RowOrigin {
        file: "law.txt".into(),
        line,
    };
    let finding = Finding {
        kind: Kind::Duplicates,
        what: "1 sample repeats an earlier one".into(),
        places: vec![vec![place(3), place(9)]],
    };
    insta::assert_snapshot!(finding.to_string(), @r"
    duplicates: 1 sample repeats an earlier one
      at law.txt:3, law.txt:9
      fix: keep one of each: what is there twice is learned twice as hard
    ");
}
