//! Troubles that users of other tools had with JSON: what each input gives here.
//!
//! Numbers are those of the list of troubles they come from. What is refused is told with its place and a remedy; each
//! remedy that is a setting is tried on the input that caused it.

use shared::error::Code;

use crate::house::{House, jsonl, learned, settings};

const TOOLS: &str =
    "[{\\\"name\\\": \\\"find\\\", \\\"description\\\": \\\"x\\\", \\\"parameters\\\": {}}]";

#[test]
fn case_14_parts_of_text_are_read_and_others_refused_by_name() {
    let parts = |part: &str| {
        jsonl(&format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": [{{\"type\": \"text\", \"text\": \"定金和\"}}, {part}]}}, \
             {{\"role\": \"assistant\", \"content\": [{{\"type\": \"text\", \"text\": \"双倍返还。\"}}]}}]}}"
        ))
    };
    let read = parts("{\"type\": \"text\", \"text\": \"订金？\"}");
    assert!(read.rows()[0].0.contains("定金和订金？"));
    assert_eq!(learned(&read), ["双倍返还。|"]);
    for kind in [
        "image_url",
        "input_audio",
        "file",
        "refusal",
        "video",
        "tool_use",
        "odd",
    ] {
        let error = parts(&format!("{{\"type\": \"{kind}\", \"{kind}\": {{}}}}")).error();
        assert!(
            error.starts_with("E0306 messages[1].content[2] is a part of type"),
            "{error}"
        );
        assert!(error.contains(kind) && error.contains("fix:"), "{error}");
    }
}

#[test]
fn case_15_a_key_that_stands_twice_is_refused_with_line_and_key() {
    let twice = "{\"question\": \"谁出？\", \"answer\": \"原告。\", \"answer\": \"被告。\"}\n";
    let house = jsonl(&format!(
        "{{\"question\": \"a\", \"answer\": \"b\"}}\n{twice}"
    ));
    insta::assert_snapshot!(house.error(), @r#"
    E0304 a line is not JSON
      at HOUSE/data/a.jsonl:2:38
       2 | {"question": "谁出？", "answer": "原告。", "answer": "被告。"}
         |                                            ^
      `answer` stands twice in one object
      fix: keep one `answer`: which of the two is meant nobody can know
    "#);
    let deep = "[\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"},\n{\"role\": \"assistant\", \"content\": \"b\",\n\"content\": \"c\"}]}\n]";
    let array = House::new("chatml")
        .with("a.json", deep)
        .prepare()
        .unwrap_err();
    let line = array.place.as_ref().and_then(|place| place.line);
    assert_eq!((array.code, line), (Code::MalformedJson, Some(4)));
}

#[test]
fn case_16_half_a_character_is_named_and_its_remedy_helps() {
    let text = "{\"question\": \"谢谢\\ud83d\", \"answer\": \"不客气\"}\n";
    insta::assert_snapshot!(jsonl(text).error(), @r#"
    E0304 a line is not JSON
      at HOUSE/data/a.jsonl:1:17
       1 | {"question": "谢谢\ud83d", "answer": "不客气"}
         |                   ^
      `\ud83d` is half a character: an emoji or a rare character is written as two such escapes, and the other one is missing
      fix: take `\ud83d` out, or write \ufffd (U+FFFD, a lost character) in its place
      fix: where the file is made, cut texts between characters and not between UTF-16 units
    "#);
    for half in [
        "\\ud83d",
        "\\uDE00",
        "\\ud83d\\ud83d\\ude00",
        "\\ud83d\\u0041",
        "\\ud83dx",
        "\\\\\\ud83d\\n",
    ] {
        let house = jsonl(&format!(
            "{{\"question\": \"{half}\", \"answer\": \"b\"}}\n"
        ));
        assert!(
            house.error().contains("is half a character"),
            "{half}: {}",
            house.error()
        );
    }
    for mended in ["", "\\ufffd"] {
        assert_eq!(
            learned(&jsonl(&text.replace("\\ud83d", mended))),
            ["不客气|"]
        );
    }
    let whole = jsonl("{\"question\": \"\\ud83d\\ude00 \\\\ud83d\", \"answer\": \"b\"}\n");
    assert!(whole.rows()[0].0.contains("😀 \\ud83d"));
}

#[test]
fn case_17_empty_answers_are_refused_in_every_form_at_once() {
    let house = jsonl("{\"messages\": [{\"role\": \"user\", \"content\": \"你好\"}, {\"role\": \"assistant\", \"content\": \"\"}]}\n{\"question\": \"丢了？\", \"answer\": \"   \"}\n{\"question\": \"能补吗？\", \"answer\": \"可以。\"}\n")
        .with("b.csv", "问题,回答\n合同丢了,\n能补签吗,可以\n");
    insta::assert_snapshot!(house.error(), @r"
    E0317 3 samples have an empty answer
      at HOUSE/data
      samples: a.jsonl:1, a.jsonl:2, b.csv:2
      a model that learns it learns to say nothing
      fix: write the answers, or take the samples out
      fix: in a list of turns, `weight: 0` leaves an answer out of what is learned
    ");
    let marked = jsonl(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"\", \"weight\": 0}, {\"role\": \"user\", \"content\": \"b\"}, {\"role\": \"assistant\", \"content\": \"c\"}]}",
    );
    assert_eq!(learned(&marked), ["c|"]);
}

#[test]
fn case_18_a_thought_that_the_template_leaves_out_is_told() {
    let house = jsonl(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"利息？\"}, {\"role\": \"assistant\", \"reasoning_content\": \"三万乘六厘。\", \"content\": \"五千四。\"}]}\n{\"question\": \"a\", \"answer\": \"b\", \"thinking\": \"c d\"}\n",
    );
    let notices = house.prepare().unwrap().report.notices.join("\n");
    assert!(
        notices.contains("thought") && notices.contains("a.jsonl:1, a.jsonl:2"),
        "{notices}"
    );
}

#[test]
fn cases_20_21_68_tools_as_text_are_read_and_never_dropped_in_silence() {
    let turns = "{\"from\": \"human\", \"value\": \"查\"}, {\"from\": \"function_call\", \"value\": \"{\\\"name\\\": \\\"find\\\", \\\"arguments\\\": {\\\"no\\\": \\\"12\\\"}}\"}, {\"from\": \"observation\", \"value\": \"open\"}, {\"from\": \"gpt\", \"value\": \"在审。\"}";
    let called = jsonl(&format!(
        "{{\"conversations\": [{turns}], \"tools\": \"{TOOLS}\"}}"
    ));
    // This template has no form for tools: an empty answer would be learned.
    let without_tools = |house: House| {
        let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        std::fs::write(
            house.config.base_model.join("chat_template.jinja"),
            template,
        )
        .unwrap();
        house
    };
    let error = without_tools(called).error();
    assert!(
        error.contains("the calls of") && error.contains("a.jsonl:1"),
        "{error}"
    );
    for key in ["conversations", "messages"] {
        let named = without_tools(jsonl(&format!(
            "{{\"{key}\": [{{\"role\": \"user\", \"content\": \"查\"}}, {{\"role\": \"assistant\", \"content\": \"在审。\"}}], \"tools\": \"{TOOLS}\"}}"
        )));
        let notices = named.prepare().unwrap().report.notices.join("\n");
        assert!(
            notices.contains("name tools that the chat template") && notices.contains("a.jsonl:1"),
            "{notices}"
        );
    }
    for odd in ["\\\"find\\\"", "{}", "[1]", "find"] {
        let house = jsonl(&format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"查\"}}], \"tools\": \"{odd}\"}}"
        ));
        assert!(
            house
                .error()
                .starts_with("E0306 `tools` is no list of objects"),
            "{}",
            house.error()
        );
    }
    let text = jsonl(
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"查\"}, {\"from\": \"function_call\", \"value\": \"find 12\"}]}",
    );
    assert!(
        text.error()
            .contains("conversations[2].value is no call of a tool"),
        "{}",
        text.error()
    );
}

#[test]
fn case_25_byte_order_marks_between_lines_are_skipped_and_others_named() {
    let marks = jsonl(
        "\u{feff}{\"question\": \"甲\", \"answer\": \"乙\"}\n\u{feff}{\"question\": \"丙\", \"answer\": \"丁\"}\n\u{feff}\n",
    );
    assert_eq!(learned(&marks), ["乙|", "丁|"]);
    let array = House::new("chatml").with("a.json", "[{\"question\": \"甲\", \"answer\": \"乙\"},\n\u{feff}{\"question\": \"丙\", \"answer\": \"丁\"}]");
    assert_eq!(learned(&array), ["乙|", "丁|"]);
    let hidden = jsonl("{\"question\": \"甲\",\u{200b} \"answer\": \"乙\"}\n");
    assert!(hidden.error().contains("U+200B"), "{}", hidden.error());
    let joined = jsonl(
        "{\"question\": \"甲\", \"answer\": \"乙\"}\u{feff}{\"question\": \"丙\", \"answer\": \"丁\"}\n",
    );
    assert!(joined.error().contains("U+FEFF"), "{}", joined.error());
}

#[test]
fn case_28_answers_that_are_no_texts_are_refused_in_one_go() {
    let house = jsonl(
        "{\"question\": \"几天？\", \"answer\": 15}\n{\"question\": \"哪些？\", \"answer\": [\"甲\", \"乙\"]}\n{\"question\": \"结构？\", \"answer\": {\"a\": null}}\n{\"question\": \"无？\", \"answer\": null}\n",
    );
    let error = house.prepare().unwrap_err();
    let all = std::iter::once(&error).chain(&error.also);
    let told = all.map(|e| (e.place.as_ref().unwrap().line.unwrap(), e.why[0].as_str()));
    let told: Vec<(u64, &str)> = told.collect();
    let values = [
        "it is 15",
        "it is [\"甲\",\"乙\"]",
        "it is {\"a\":null}",
        "it is null",
    ];
    assert_eq!(told, (1..).zip(values).collect::<Vec<(u64, &str)>>());
}

#[test]
fn case_29_an_odd_order_is_rendered_as_it_is_written() {
    let house = jsonl(
        "{\"conversations\": [{\"from\": \"gpt\", \"value\": \"您好。\"}, {\"from\": \"human\", \"value\": \"问个事\"}, {\"from\": \"human\", \"value\": \"关于继承\"}, {\"from\": \"system\", \"value\": \"要短。\"}, {\"from\": \"gpt\", \"value\": \"请说。\"}, {\"from\": \"human\", \"value\": \"谢谢\"}]}",
    );
    let (text, learned) = house.rows().remove(0);
    let places: Vec<usize> = ["您好。", "问个事", "关于继承", "要短。", "请说。", "谢谢"]
        .iter()
        .map(|said| text.find(said).unwrap())
        .collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(learned.replace("<|im_end|>", "|"), "您好。|请说。|");
}

#[test]
fn case_69_developer_and_function_are_read_or_refused_with_what_reads_them() {
    let house = jsonl(
        "{\"messages\": [{\"role\": \"developer\", \"content\": \"短答\"}, {\"role\": \"user\", \"content\": \"押金？\"}, {\"role\": \"assistant\", \"content\": \"应退。\"}]}",
    );
    insta::assert_snapshot!(house.error(), @r"
    E0307 the chat template does not know the role `developer`
      at HOUSE/data/a.jsonl:1
      it would be written as a role that the base model was never taught
      template: HOUSE/base/chat_template.jinja
      fix: --set 'roles=[system=developer]' reads it as `system`
    ");
    let remedy = settings(&house);
    let house = house.configured(&[&remedy[0]]);
    assert_eq!(learned(&house), ["应退。|"]);
    assert!(
        house.rows()[0].0.contains("system\n短答"),
        "{:?}",
        house.rows()
    );
}

#[test]
fn case_81_the_setting_that_reads_other_names_is_printed_and_works() {
    let turns = "{\"messages\": [{\"role\": \"用户\", \"content\": \"押金？\"}, {\"role\": \"律师\", \"content\": \"应退。\"}]}";
    let remedies = settings(&jsonl(turns));
    assert_eq!(
        remedies,
        [
            "roles=[user=用户,assistant=律师]",
            "roles=[user=律师,assistant=用户]"
        ]
    );
    assert_eq!(
        learned(&jsonl(turns).configured(&[&remedies[0]])),
        ["应退。|"]
    );
    let one = "{\"messages\": [{\"role\": \"user\", \"content\": \"押金？\"}, {\"role\": \"お客様係\", \"content\": \"应退。\"}]}";
    let remedies = settings(&jsonl(one));
    assert_eq!(remedies, ["roles=[assistant=お客様係]"]);
    assert_eq!(
        learned(&jsonl(one).configured(&[&remedies[0]])),
        ["应退。|"]
    );
}

#[test]
fn case_49_arguments_that_the_template_escapes_are_told() {
    let house = jsonl(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"查\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"find\", \"arguments\": \"{\\\"no\\\": \\\"12\\\"}\"}}]}]}",
    );
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    std::fs::write(
        house.config.base_model.join("chat_template.jinja"),
        template,
    )
    .unwrap();
    let notices = house.prepare().unwrap().report.notices.join("\n");
    assert!(
        notices.contains("`arguments` of a call") && notices.contains("a.jsonl:1"),
        "{notices}"
    );
}

#[test]
fn texts_about_pictures_are_refused_and_plain_text_is_named() {
    let picture = jsonl(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"<image>这是什么？\"}, {\"role\": \"assistant\", \"content\": \"合同。\"}], \"images\": [\"a.png\"]}",
    );
    assert!(
        picture.error().contains("more than texts"),
        "{}",
        picture.error()
    );
    let plain = jsonl("{\"text\": \"第一条\", \"source\": \"民法典\"}");
    assert!(
        plain
            .error()
            .starts_with("E0306 a sample is plain text, in `text`"),
        "{}",
        plain.error()
    );
    assert!(!plain.error().contains("columns=["), "{}", plain.error());
}
