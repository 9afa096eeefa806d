//! Dialogues as people have them: what is read, what is told, and what is refused with both readings.

use coordinator::data::Prepared;

use crate::house::House;

/// A house with this dialogue and these roles.
fn house(text: &str, roles: &[(&str, &str)]) -> House {
    let named = |(part, name): &(&str, &str)| shared::config::Named {
        part: (*part).into(),
        name: (*name).into(),
    };
    let roles: Vec<_> = roles.iter().map(named).collect();
    House::new("chatml")
        .with("a.txt", text)
        .set(|config| config.formats.roles = roles)
}

/// Question and answer of each sample.
fn pairs(house: &House) -> Vec<(String, String)> {
    let part = |text: &str, who: &str| {
        let (_, behind) = text.split_once(&format!("<|im_start|>{who}\n")).unwrap();
        behind.split("<|im_end|>").next().unwrap().to_owned()
    };
    let rows = house.rows();
    let pair = |(text, learned): &(String, String)| {
        let answer = learned.trim_end().trim_end_matches("<|im_end|>").to_owned();
        assert_eq!(part(text, "assistant"), answer);
        (part(text, "user"), answer)
    };
    rows.iter().map(pair).collect()
}

fn read(text: &str) -> Vec<(String, String)> {
    pairs(&house(text, &[]))
}

fn notices(house: &House) -> String {
    let Prepared { report, .. } = house.prepare().unwrap();
    report.notices.join("\n")
}

fn pair(question: &str, answer: &str) -> (String, String) {
    (question.into(), answer.into())
}

#[test]
fn several_names_ask_and_a_form_in_an_answer_asks_nothing() {
    let two = "用户：押金不退怎么办？\n律师：书面催要。\n\n客户：假货赔几倍？\n律师：退一赔三。\n";
    assert_eq!(
        read(two),
        [
            pair("押金不退怎么办？", "书面催要。"),
            pair("假货赔几倍？", "退一赔三。")
        ]
    );
    let form = "用户：委托书怎么写？\n律师：照这个格式：\n委托人：张某某\n受托人：李某某\n委托人：\n年　月　日\n\n\
                用户：要公证吗？\n律师：一般不用。\n";
    let found = house(form, &[]);
    let answer = "照这个格式：\n委托人：张某某\n受托人：李某某\n委托人：\n年　月　日";
    assert_eq!(
        pairs(&found),
        [
            pair("委托书怎么写？", answer),
            pair("要公证吗？", "一般不用。")
        ]
    );
    assert!(notices(&found).contains("2 lines that begin with `委托人` are text"));
}

#[test]
fn a_name_that_may_ask_or_be_a_line_of_a_form_stops_with_both_readings() {
    let text = "用户：委托书怎么写？\n律师：照这个格式：\n委托人：张某某\n律师：李某某\n用户：谢谢？\n律师：不客气。\n";
    insta::assert_snapshot!(house(text, &[]).error(), @r"
    E0310 who asks and who answers can be read in two ways
      at HOUSE/data/a.txt:3
       3 | 委托人：张某某
      50 % sure: `委托人` may ask here, or be a line of the answer before it
      if `委托人` asks: learns 「李某某」 behind 「张某某」
      if `委托人` is text: learns 「照这个格式： 委托人：张某某 李某某」 behind 「委托书怎么写？」
      fix: if `委托人` asks: --set 'roles=[user=用户,user=委托人,assistant=律师]'
      fix: if `委托人` is text: --set 'roles=[user=用户,assistant=律师]'
    ");
    let asks = house(
        text,
        &[("user", "用户"), ("user", "委托人"), ("assistant", "律师")],
    );
    assert_eq!(pairs(&asks).len(), 3);
    let form = house(text, &[("user", "用户"), ("assistant", "律师")]);
    assert_eq!(pairs(&form)[0].1, "照这个格式：\n委托人：张某某\n李某某");
}

#[test]
fn names_that_nobody_knows_are_never_guessed() {
    insta::assert_snapshot!(house("阿明：押金退吗？\n阿强：应当退。\n", &[]).error(), @r"
    E0310 who asks and who answers can be read in two ways
      at HOUSE/data/a.txt:1
       1 | 阿明：押金退吗？
      50 % sure: nobody knows for which side 阿明 and 阿强 speak
      if 阿明 asks and 阿强 answers: learns 「应当退。」 behind 「押金退吗？」
      if 阿强 asks and 阿明 answers: the question 「应当退。」 has no answer
      fix: if 阿明 asks and 阿强 answers: --set 'roles=[user=阿明,assistant=阿强]'
      fix: if 阿强 asks and 阿明 answers: --set 'roles=[user=阿强,assistant=阿明]'
    ");
    let one = house(
        "用户：押金退吗？\n阿强：应当退。\n用户：多久退？\n阿强：三十天。\n",
        &[],
    );
    assert!(
        one.error()
            .contains("80 % sure: 用户 is a known name, 阿强 is not"),
        "{}",
        one.error()
    );
    let told = house(
        "阿明：押金退吗？\n阿强：应当退。\n",
        &[("user", "阿明"), ("assistant", "阿强")],
    );
    assert_eq!(pairs(&told), [pair("押金退吗？", "应当退。")]);
}

#[test]
fn whoever_speaks_first_does_not_decide() {
    let visit = "医生：您好，哪里不舒服？\n患者：咳嗽两周。\n医生：做个胸片。\n";
    let found = house(visit, &[]);
    assert_eq!(pairs(&found), [pair("咳嗽两周。", "做个胸片。")]);
    assert!(notices(&found).contains(
        "医生 speaks before the first question of a conversation; that is left out: lines 1"
    ));
    let blocks = house("医生：您好。\n患者：咳嗽。\n医生：做胸片。\n\n医生：请坐。\n患者：膝盖疼。\n医生：拍片。\n", &[])
        .set(|config| config.dialogue = shared::config::Dialogue::Blocks);
    assert_eq!(
        pairs(&blocks),
        [pair("咳嗽。", "做胸片。"), pair("膝盖疼。", "拍片。")]
    );
}

#[test]
fn quoted_parties_and_records_stay_in_the_turn_they_stand_in() {
    let contract = "用户：审查这一条：\n甲方：三日内付款。\n乙方：三日内发货。\n律师：付款期限太短。\n\n\
                    用户：再看：\n甲方：五日内付款。\n乙方：五日内发货。\n律师：合理。\n";
    assert_eq!(
        read(contract),
        [
            pair(
                "审查这一条：\n甲方：三日内付款。\n乙方：三日内发货。",
                "付款期限太短。"
            ),
            pair("再看：\n甲方：五日内付款。\n乙方：五日内发货。", "合理。"),
        ]
    );
    let record = "患者：\n主诉：头痛三天\n现病史：无外伤史\n医生：先量血压。\n";
    assert_eq!(
        read(record),
        [pair("主诉：头痛三天\n现病史：无外伤史", "先量血压。")]
    );
}

#[test]
fn several_who_answer_are_joined_with_their_names() {
    let ward = "患者：伤口发红？\n李医生：换药并复查。\n王医生：同意。\n患者：能洗澡吗？\n赵医生：拆线后再洗。\n王医生：对。\n";
    assert_eq!(
        read(ward),
        [
            pair("伤口发红？", "换药并复查。\n王医生：同意。"),
            pair("能洗澡吗？", "拆线后再洗。\n王医生：对。"),
        ]
    );
}

#[test]
fn somebody_else_in_an_answer_stops_a_run() {
    for (line, why) in [
        ("小李：那我怎么办？", "asks something"),
        ("张三：我也遇到过。", "may be somebody else"),
        ("法官：休庭。", "speaks for neither side"),
        ("书记员：核对身份。", "speaks for neither side"),
        (
            "阳光：我也是。\n律师：都一样。",
            "the answering side speaks again",
        ),
        ("用户\t那我怎么办？", "without a colon"),
        ("用户| 那我怎么办？", "without a colon"),
        ("用户 14:32\n那我怎么办？", "without a colon"),
        ("Customer 14:32\nand me?", "time stamp"),
    ] {
        let text =
            format!("用户：押金退吗？\n律师：应当退。\n{line}\n用户：多久？\n律师：三十天。\n");
        let error = house(&text, &[]).error();
        assert!(
            error.starts_with("E0310") && error.contains(why),
            "{line}: {error}"
        );
        let told = house(&text, &[("user", "用户"), ("assistant", "律师")]);
        assert_eq!(pairs(&told).len(), 2, "{line}");
    }
    for line in [
        "注意：带身份证。",
        "建议：尽快起诉。",
        "第一步：收集证据。",
        "原告：张某，男。",
        "10:30 开庭",
    ] {
        let text =
            format!("用户：押金退吗？\n律师：应当退。\n{line}\n用户：多久？\n律师：三十天。\n");
        assert_eq!(
            read(&text)[0],
            pair("押金退吗？", &format!("应当退。\n{line}")),
            "{line}"
        );
    }
}

#[test]
fn decorated_names_and_lines_with_what_nobody_sees_are_read() {
    let expected = [pair("一？", "二。"), pair("三？", "四。")];
    for text in [
        "用户：一？\n律师：二。\n**用户**：三？\n**律师：** 四。\n",
        "【用户】：一？\n【律师】：二。\n【用户】三？\n【律师】四。\n",
        "用户：一？\n律师：二。\n\u{200b}用户：三？\n\u{feff}律师：四。\n",
        "用户：一？\n律师：二。\n用\u{200b}户：三？\n律师：四。\n",
        "用户：一？\n律师：二。\n用户∶三？\n律师﹕四。\n",
        "1. 用户：一？\n律师：二。\n2、用户：三？\n律师：四。\n",
        "用户：一？\u{2028}律师：二。\u{b}用户：三？\u{85}律师：四。\n",
        "用户：一？\r律师：二。\r用户：三？\r律师：四。\r",
        "### 用户\n一？\n### 律师\n二。\n### 用户\n三？\n### 律师\n四。\n",
        "Q1：一？\nA1：二。\nQ2：三？\nA2：四。\n",
        "用 户：一？\n律 师：二。\nＵｓｅｒ：三？\n律师：四。\n",
        "[2024/3/5 14:30:12] 用户: 一？\n[2024/3/5 14:31:05] 律师: 二。\n[2024/3/5 14:32:40] 用户: 三？\n[2024/3/5 14:33:10] 律师: 四。\n",
        "王小明 2024-03-05 14:30:12\n一？\n\n陈律师 2024-03-05 14:31:05\n二。\n\n王小明 2024-03-05 14:32:40\n三？\n\n陈律师 2024-03-05 14:33:10\n四。\n",
        "聊天记录\n\n2024-03-05 14:30:12 王小明(12345678)\n一？\n2024-03-05 14:31:05 客服小李\n二。\n2024-03-05 14:32:40 王小明(12345678)\n三？\n2024-03-05 14:33:10 客服小李\n四。\n2024-03-05 14:34:10 王小明(12345678)\n谢谢\n",
    ] {
        let named = house(text, &[]);
        let named = match text.contains("客服小李") {
            true => named.set(|c| {
                let role = |part: &str, name: &str| shared::config::Named {
                    part: part.into(),
                    name: name.into(),
                };
                c.formats.roles = vec![role("user", "王小明"), role("assistant", "客服*")];
            }),
            false => named,
        };
        assert_eq!(pairs(&named), expected, "{text:?}");
    }
    let seen = notices(&house(
        "用户：一？\n律师：二。\n\u{200b}用户：三？\n律师：四。\n",
        &[],
    ));
    assert!(
        seen.contains("U+200B, which nobody sees, was taken off the ends of lines 3"),
        "{seen}"
    );
}

#[test]
fn a_time_is_no_name_and_its_minutes_are_no_text() {
    let short = "李 14:30\n没盖章有效吗？\n周 14:31\n签字就有效。\n李 14:35\n电子签名算吗？\n周 14:36\n同效。\n";
    let error = house(short, &[]).error();
    assert!(error.contains("roles=[user=李,assistant=周]"), "{error}");
    let told = house(short, &[("user", "李"), ("assistant", "周")]);
    assert_eq!(
        pairs(&told),
        [
            pair("没盖章有效吗？", "签字就有效。"),
            pair("电子签名算吗？", "同效。")
        ]
    );
}

#[test]
fn code_and_paragraphs_are_learned_as_they_are_written() {
    let text = "用户：写一个函数\n律师：可以：\n\n```python\ndef f(days):\n    if days <= 0:\n        return 0\n```\n\n- 一\n    - 二\n\n用户：上限？\n律师：百分之三十。\n";
    let answer = "可以：\n\n```python\ndef f(days):\n    if days <= 0:\n        return 0\n```\n\n- 一\n    - 二";
    assert_eq!(read(text)[0], pair("写一个函数", answer));
    let yaml = "用户：配置？\n律师：看：\n```\nuser: root\n律师：x\n```\n用户：好？\n律师：好。\n";
    let error = house(yaml, &[]).error();
    assert!(
        error.starts_with("E0310") && error.contains("fence"),
        "{error}"
    );
}

#[test]
fn configured_names_are_read_by_number_and_by_pattern() {
    let faq = "Q1：时效多久？\nA1：一年。\nQ2：收费吗？\nA2：不收。\n";
    let expected = [pair("时效多久？", "一年。"), pair("收费吗？", "不收。")];
    assert_eq!(
        pairs(&house(faq, &[("user", "Q1"), ("assistant", "A1")])),
        expected
    );
    assert_eq!(
        pairs(&house(faq, &[("user", "Q*"), ("assistant", "A*")])),
        expected
    );
    let group = "用户1：时效多久？\n用户2：一年。\n用户3：收费吗？\n用户2：不收。\n";
    let error = house(group, &[("user", "用户1"), ("assistant", "用户2")]).error();
    assert!(error.contains("does not say who `用户3` is"), "{error}");
    let told = house(
        group,
        &[("user", "用户1"), ("user", "用户3"), ("assistant", "用户2")],
    );
    assert_eq!(pairs(&told), expected);
}

#[test]
fn blocks_of_several_questions_are_told() {
    let text = "用户：想离婚怎么办？\n律师：协议或者起诉。\n用户：那要多久？\n律师：三十天。\n\n用户：工伤怎么认定？\n律师：向人社局申请。\n";
    let told = notices(&house(text, &[]));
    assert!(
        told.contains("1 of 2 blocks between blank lines hold several questions"),
        "{told}"
    );
    assert!(told.contains("--set dialogue=blocks"), "{told}");
}

#[test]
fn instructions_before_a_conversation_are_its_system_prompt() {
    let rows = house(
        "系统：你是律师。\n用户：一？\n律师：二。\n用户：三？\n律师：四。\n",
        &[],
    )
    .rows();
    assert!(
        rows[0].0.contains("你是律师。") && !rows[1].0.contains("你是律师。"),
        "{rows:?}"
    );
    let late = house("用户：一？\n律师：二。\n系统：你是律师。\n", &[]).error();
    assert!(
        late.starts_with("E0303 instructions stand before no question"),
        "{late}"
    );
}

#[test]
fn opening_words_of_the_next_conversation_belong_to_no_answer() {
    let text = "Doctor: What is the problem?\nPatient: I have a cough.\nDoctor: Take honey.\n\n\
                Doctor: What brings you here?\nPatient: Back pain.\nDoctor: Stay active.\n";
    let found = house(text, &[]);
    let expected = [
        pair("I have a cough.", "Take honey."),
        pair("Back pain.", "Stay active."),
    ];
    assert_eq!(pairs(&found), expected);
    assert!(notices(&found).contains("that is left out: lines 1, 5"));
}

#[test]
fn numbers_and_stamps_of_chat_programs_are_no_part_of_an_answer() {
    let hotline = "[10:01] 客户: 卡锁了\n[10:02] 坐席: 几号卡\n[10:03] 8021: 尾号4412的也锁了\n[10:04] 坐席: 已解锁\n";
    let error = house(hotline, &[]).error();
    assert!(error.starts_with("E0310"), "{error}");
    let roles = [("user", "客户"), ("user", "8021"), ("assistant", "坐席")];
    assert_eq!(pairs(&house(hotline, &roles))[1].0, "尾号4412的也锁了");
    let behind = "Customer (10:01): My card is locked.\nAgent (10:02): Which one?\n";
    assert_eq!(read(behind), [pair("My card is locked.", "Which one?")]);
}

#[test]
fn a_turn_that_an_answer_has_taken_in_stops_a_run() {
    for text in [
        "客户：卡锁了\n坐席：几号卡？\n客户\n尾号4412\n坐席：已解锁。\n",
        "客户：卡锁了\n坐席：几号卡？ 客户：尾号4412\n客户：谢谢\n坐席：再见。\n",
        "Patient: My head hurts.\nDoctor: Take ibuprofen.\nDaughter: Mum, let's go.\nPatient: For how long?\nDoctor: Three days.\n",
        "用户：医生问我下面的问题怎么答？\n医生：有没有过敏史？\n助手：如实回答即可。\n用户：好？\n助手：好。\n",
    ] {
        let error = house(text, &[]).error();
        assert!(error.starts_with("E0310"), "{text}: {error}");
    }
}

#[test]
fn roles_of_one_file_are_not_asked_of_another() {
    let told = house(
        "王小明：疼。\n赵主任：拍片。\n",
        &[("user", "王小明"), ("assistant", "赵主任")],
    );
    let both = told.with("b.txt", "用户：一？\n律师：二。\n");
    assert_eq!(pairs(&both), [pair("疼。", "拍片。"), pair("一？", "二。")]);
    let told = notices(&both);
    assert!(
        told.contains("b.txt: nobody whom `roles` names speaks here"),
        "{told}"
    );
    assert!(!told.contains("a.txt: nobody"), "{told}");
}
