//! Fields that say what is not to be learned, and which of two answers is better: obeyed, or refused with their place.

use shared::error::Code;

use crate::house::{House, jsonl, learned, settings};

#[test]
fn case_19_marks_of_a_turn_are_obeyed_or_refused_with_their_place() {
    let turns = |form: &str, mark: &str| {
        let (who, what, user, model) = match form {
            "messages" => ("role", "content", "user", "assistant"),
            _ => ("from", "value", "human", "gpt"),
        };
        jsonl(&format!(
            "{{\"{form}\": [{{\"{who}\": \"{user}\", \"{what}\": \"a\"}}, {{\"{who}\": \"{model}\", \"{what}\": \"WRONG\", {mark}}}, \
             {{\"{who}\": \"{user}\", \"{what}\": \"b\"}}, {{\"{who}\": \"{model}\", \"{what}\": \"right\"}}]}}"
        ))
    };
    for form in ["messages", "conversations"] {
        for not in [
            "\"train\": false",
            "\"training\": 0",
            "\"loss\": false",
            "\"weight\": 0",
            "\"weight\": 0.0",
            "\"loss_weight\": 0",
            "\"loss_mask\": 0",
            "\"masked\": true",
            "\"Train\": \"False\"",
            "\"lossWeight\": 0",
            "\"do_not_train\": true",
            "\"ignore\": 1",
            "\"trainable\": false",
        ] {
            let house = turns(form, not);
            assert_eq!(learned(&house), ["right|"], "{form} {not}");
            assert!(
                house.prepare().unwrap().report.files[0].unused.is_empty(),
                "{not}"
            );
        }
        for yes in [
            "\"train\": true",
            "\"loss\": 1",
            "\"weight\": 1",
            "\"masked\": false",
            "\"loss\": null",
        ] {
            assert_eq!(learned(&turns(form, yes)), ["WRONG|right|"], "{form} {yes}");
        }
        for odd in [
            "\"weight\": 0.5",
            "\"train\": \"no\"",
            "\"loss\": []",
            "\"mask\": true",
            "\"mask\": 0",
            "\"train_detail\": [{\"begin_offset\": 0, \"end_offset\": 1, \"train\": false}]",
            "\"train\": true, \"weight\": 0",
        ] {
            let error = turns(form, odd).prepare().unwrap_err();
            let line = error.place.as_ref().and_then(|place| place.line);
            assert_eq!((error.code, line), (Code::BadWeight, Some(1)), "{odd}");
            assert!(
                !error.fix.is_empty() && error.what.contains("[2]."),
                "{error:?}"
            );
        }
    }
}

#[test]
fn case_19_marks_of_a_whole_sample_leave_it_out_and_are_counted() {
    let house = jsonl("{\"question\": \"a\", \"answer\": \"WRONG\", \"train\": false}\n{\"question\": \"a\", \"answer\": \"right\", \"train\": true}\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"WRONG\"}], \"weight\": 0}\n")
        .with("b.csv", "question,answer,loss\na,WRONG,False\nb,right,1\n");
    assert_eq!(learned(&house), ["right|", "right|"]);
    let report = house.prepare().unwrap().report.to_string();
    assert!(report.contains("left out, marked as not to be learned: 2 samples: a.jsonl:1 (`train`), a.jsonl:3 (`weight`)"), "{report}");
    assert!(
        report.contains("left out, marked as not to be learned: 1 samples: b.csv:2 (`loss`)"),
        "{report}"
    );
    let odd = jsonl("{\"question\": \"a\", \"answer\": \"b\", \"weight\": 0.5}");
    assert_eq!(odd.prepare().unwrap_err().code, Code::BadWeight);
    let none = jsonl("{\"question\": \"a\", \"answer\": \"b\", \"weight\": 0}");
    assert!(
        none.error()
            .contains("1 samples say of themselves that they are not to be learned: a.jsonl:1"),
        "{}",
        none.error()
    );
}

#[test]
fn marks_of_prompts_are_kept_where_prompts_are_not_learned() {
    let text = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"train\": false}, {\"role\": \"assistant\", \"content\": \"b\"}]}";
    assert_eq!(learned(&jsonl(text)), ["b|"]);
    let all = jsonl(text).configured(&["loss_on=all"]);
    assert_eq!(settings(&all), ["loss_on=response"]);
    assert_eq!(learned(&all.configured(&["loss_on=response"])), ["b|"]);
    let asks = jsonl(&text.replace("false", "true"));
    assert_eq!(asks.prepare().unwrap_err().code, Code::BadWeight);
}

#[test]
fn cases_22b_22c_preference_data_is_refused_by_name_and_chosen_where_that_is_set() {
    for (text, better) in [
        (
            "{\"prompt\": \"能私了吗？\", \"chosen\": \"可以协商。\", \"rejected\": \"随便。\"}",
            "可以协商。|",
        ),
        (
            "{\"question\": \"a\", \"accepted\": \"good\", \"rejected\": \"bad\"}",
            "good|",
        ),
        (
            "{\"query\": \"a\", \"response\": \"good\", \"rejected_response\": \"bad\"}",
            "good|",
        ),
        (
            "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"good\"}], \"rejected_messages\": [{\"role\": \"assistant\", \"content\": \"bad\"}]}",
            "good|",
        ),
        (
            "{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}, {\"from\": \"human\", \"value\": \"c\"}], \"chosen\": {\"from\": \"gpt\", \"value\": \"good\"}, \"rejected\": {\"from\": \"gpt\", \"value\": \"bad\"}}",
            "good|",
        ),
    ] {
        let house = jsonl(text);
        let error = house.prepare().unwrap_err();
        assert_eq!(error.code, Code::Preference, "{text}");
        assert_eq!(settings(&house), ["preference=chosen"], "{error:?}");
        assert_eq!(
            learned(&house.configured(&["preference=chosen"])),
            [better],
            "{text}"
        );
    }
    let table = House::new("chatml").with("a.csv", "prompt,chosen,rejected\na,good,bad\n");
    assert_eq!(table.prepare().unwrap_err().code, Code::Preference);
    assert_eq!(settings(&table), ["preference=chosen"]);
    assert_eq!(
        learned(&table.configured(&["preference=chosen"])),
        ["good|"]
    );
    let named = jsonl("{\"prompt\": \"a\", \"chosen\": \"good\", \"rejected\": \"bad\"}")
        .configured(&["columns=[question=prompt,answer=chosen]"]);
    assert_eq!(learned(&named), ["good|"]);
    let ranked = jsonl("{\"instruction\": \"a\", \"output\": [\"good\", \"bad\"]}");
    assert!(
        ranked.error().contains("are preference data"),
        "{}",
        ranked.error()
    );
    let alone = jsonl(
        "{\"chosen\": \"Human: a Assistant: good\", \"rejected\": \"Human: a Assistant: bad\"}",
    );
    assert!(settings(&alone).is_empty(), "{}", alone.error());
    assert_eq!(
        alone
            .configured(&["preference=chosen"])
            .prepare()
            .unwrap_err()
            .code,
        Code::Preference
    );
}

#[test]
fn labels_that_call_an_answer_bad_are_refused_or_leave_the_sample_out() {
    for bad in [
        "\"label\": false",
        "\"kto_tag\": false",
        "\"label\": 0",
        "\"accepted\": false",
        "\"rejected\": true",
    ] {
        let text = format!(
            "{{\"prompt\": \"a\", \"completion\": \"WRONG\", {bad}}}\n{{\"prompt\": \"a\", \"completion\": \"right\"}}\n"
        );
        let house = jsonl(&text);
        assert_eq!(house.prepare().unwrap_err().code, Code::Preference, "{bad}");
        let house = house.configured(&["preference=chosen"]);
        assert_eq!(learned(&house), ["right|"], "{bad}");
        assert_eq!(house.prepare().unwrap().report.files[0].left_out, 1);
    }
    // A class is no label of this kind.
    let class = jsonl("{\"question\": \"a\", \"answer\": \"b\", \"label\": \"contract\"}");
    assert_eq!(class.prepare().unwrap().report.files[0].unused, ["label"]);
    let table = House::new("chatml").with(
        "a.csv",
        "question,answer,label\na,WRONG,False\nb,right,True\n",
    );
    assert_eq!(table.prepare().unwrap_err().code, Code::Preference);
    assert_eq!(
        learned(&table.configured(&["preference=chosen"])),
        ["right|"]
    );
}

#[test]
fn keys_that_are_not_used_are_told_with_how_many_samples_have_them() {
    let house = jsonl(
        "{\"id\": 1, \"question\": \"a\", \"answer\": \"b\"}\n{\"id\": 2, \"question\": \"c\", \"answer\": \"d\", \"note\": \"e\"}\n{\"id\": 3, \"question\": \"c\", \"answer\": \"d\", \"note\": null}\n",
    );
    let report = house.prepare().unwrap().report.to_string();
    assert!(
        report.contains("not used: id, note (in 1 of 3 samples)"),
        "{report}"
    );
}

#[test]
fn marks_of_rows_that_point_at_files_leave_them_out_too() {
    let house = House::new("chatml")
        .with("a.txt", "right")
        .with("b.txt", "WRONG")
        .metadata(
            "rows.csv",
            "question,file,train\na,a.txt,true\na,b.txt,false\n",
        );
    assert_eq!(learned(&house), ["right|"]);
    let report = house.prepare().unwrap().report.to_string();
    assert!(
        report.contains("1 samples: rows.csv:3 (`train`)"),
        "{report}"
    );
}

#[test]
fn what_is_called_worse_or_is_numbered_is_never_proposed() {
    let named = jsonl("{\"question\": \"a\", \"good_answer\": \"good\", \"bad_answer\": \"bad\"}");
    assert_eq!(settings(&named), ["preference=chosen"]);
    assert_eq!(
        learned(&named.configured(&["preference=chosen"])),
        ["good|"]
    );
    for text in [
        "{\"prompt\": \"a\", \"response_0\": \"x\", \"response_1\": \"y\", \"better_response_id\": 0}",
        "{\"prompt\": \"a\", \"response_a\": \"x\", \"response_b\": \"y\"}",
        "{\"prompt\": \"a\", \"wrong\": \"x\"}",
    ] {
        let house = jsonl(text);
        assert_eq!(
            house.prepare().unwrap_err().code,
            Code::UnknownForm,
            "{text}"
        );
        assert!(settings(&house).is_empty(), "{}", house.error());
    }
    let turn = jsonl(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\", \"label\": false}]}",
    );
    assert!(
        turn.error()
            .starts_with("E0312 messages[2].label calls a turn bad"),
        "{}",
        turn.error()
    );
}
