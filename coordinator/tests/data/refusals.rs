//! What the data room refuses, and what it says about rows it cuts or wonders about.

use std::fs;

use coordinator::data::Prepared;
use shared::config::{Dialogue, LossOn, Overflow};
use shared::error::Code;

use crate::house::{DIALOGUE, House};

#[test]
fn truncated_rows_are_cut_and_listed_with_what_they_lose() {
    let house = House::new("llama3")
        .with("a.txt", DIALOGUE)
        .set(|c| c.max_seq_length = 77);
    let Prepared { writer, report, .. } = house.prepare().unwrap();
    assert_eq!(writer.rows(), 2);
    insta::assert_snapshot!(report.to_string(), @r#"
    a.txt: dialogue, 2 samples
      roles: 用户 asks (2 turns), 律师 answers (2 turns)
    2 samples, 154 tokens, 17 of them learned
    longest: a.txt:1 with 81 of 77 tokens
    2 rows are longer than max_seq_length=77 and were cut, 5 target tokens lost: a.txt:1 (81 tokens, 4 targets lost), a.txt:3 (78 tokens, 1 targets lost)
    note: the chat template (tokenizer_config.json) writes today's date; it is told a fixed one, 2024-07-26, so that the same data gives the same tokens
    "#);
    let dropped = house.set(|c| c.overflow = Overflow::Drop);
    insta::assert_snapshot!(dropped.error(), @r#"
    E0301 every sample is longer than max_seq_length
      at HOUSE/data
      `overflow: drop` left out all 2 of them
      fix: --set max_seq_length=NUMBER or --set overflow=truncate
    "#);
    let refused = dropped.set(|c| c.overflow = Overflow::Error);
    insta::assert_snapshot!(refused.error(), @r#"
    E0308 2 rows are longer than max_seq_length=77
      at HOUSE/data
      a.txt:1 (81 tokens, 12 targets lost), a.txt:3 (78 tokens, 10 targets lost)
      fix: --set max_seq_length=81 keeps all of them whole
      fix: or --set overflow=truncate, or --set overflow=drop
    "#);
}

#[test]
fn a_row_left_without_a_target_is_always_an_error() {
    let many: String = (0..25)
        .map(|i| format!("用户：问{i}\n律师：答{i}\n"))
        .collect();
    let house = House::new("llama3")
        .with("a.txt", many)
        .set(|c| c.max_seq_length = 20);
    let error = house.prepare().unwrap_err();
    assert_eq!(error.code, Code::NothingToLearn);
    assert_eq!(
        error.why.iter().filter(|w| w.contains("a.txt:")).count(),
        20
    );
    let house = House::new("llama3")
        .with("a.txt", DIALOGUE)
        .set(|c| c.max_seq_length = 20);
    insta::assert_snapshot!(house.error(), @r#"
    E0317 2 rows have no token to learn from
      at HOUSE/data
      a.txt:1 has 81 tokens
      a.txt:3 has 78 tokens
      the first max_seq_length=20 tokens are all question
      fix: --set max_seq_length=81 keeps these rows whole
      fix: or --set overflow=drop leaves out all rows that are too long
    "#);
    let house = House::new("llama3").with(
        "a.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
    );
    insta::assert_snapshot!(house.error(), @r#"
    E0317 a row has no token to learn from
      at HOUSE/data
      a.jsonl:1 has 46 tokens
      fix: give each sample an answer, or --set train_on_inputs=true
    "#);
}

#[test]
fn no_data_at_all_is_an_error() {
    insta::assert_snapshot!(House::new("llama3").with("a.docx", "x").error(), @r#"
    E0301 there is no sample in the training data
      at HOUSE/data
      looked for files ending in .txt, .jsonl, .json, .csv, .tsv, .xlsx, .xlsm, .xls, .ods, .parquet, .arrow
      not read: a.docx
      fix: a.docx: save them as plain text (.txt, UTF-8), with who speaks before each line
      fix: put dialogues, JSONL, CSV, Excel or Parquet files there, or --set train_data_dir=FOLDER
    "#);
    insta::assert_snapshot!(House::new("llama3").with("a.txt", "\n\n").error(), @r#"
    E0301 there is no sample in the training data
      at HOUSE/data
      looked for files ending in .txt, .jsonl, .json, .csv, .tsv, .xlsx, .xlsm, .xls, .ods, .parquet, .arrow
      fix: put dialogues, JSONL, CSV, Excel or Parquet files there, or --set train_data_dir=FOLDER
    "#);
    let gone = House::new("llama3").set(|c| c.train_data_dir.push("gone"));
    insta::assert_snapshot!(gone.error(), @r#"
    E0108 train_data_dir cannot be read
      at HOUSE/data/gone
      No such file or directory (os error 2)
      fix: --set train_data_dir=FOLDER with the training files
    "#);
}

#[test]
fn a_template_that_changes_its_mind_about_the_beginning_is_refused() {
    let house = House::new("chatml")
        .with("a.txt", DIALOGUE)
        .set(|c| c.dialogue = Dialogue::Blocks);
    let source =
        "{{ messages|length }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}";
    fs::write(house.config.base_model.join("chat_template.jinja"), source).unwrap();
    insta::assert_snapshot!(house.error(), @r#"
    E0307 the chat template renders a conversation's beginning differently from the whole
      at HOUSE/data/a.txt:1
      the messages before the answer (message 4), with add_generation_prompt=true, are no prefix of the text with the answer
      they part at byte 0: "3试用期多久？<|im_end|>最长六个月。<|im_end|>押金退吗？<|im_end|>" there, "4试用期多久？<|im_end|>最长六个月。<|im_end|>押金退吗？<|im_end|>应当退还。<|im_en…" with the answer
      so where the answer begins cannot be told, and what to mask neither
      template: HOUSE/base/chat_template.jinja
      fix: put a template of the model that only adds at the end, such as its training form, into the folder as chat_template.jinja
    "#);
    let house = house.set(|c| c.loss_on = LossOn::All);
    assert_eq!(house.prepare().unwrap().writer.rows(), 1);
}

/// A house whose base model has this template.
fn under(template: &str, data: &str) -> House {
    let house = House::new("chatml").with("a.jsonl", data);
    fs::write(
        house.config.base_model.join("chat_template.jinja"),
        template,
    )
    .unwrap();
    house
}

#[test]
fn a_template_that_leaves_text_out_or_reads_the_clock_is_noticed() {
    let source = "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}{% if false %}{{ strftime_now('%Y') }}{% endif %}";
    let data = "{\"instruction\": \"a\", \"output\": \"b\", \"system\": \"lost\"}\n{\"instruction\": \" \", \"output\": \"b\"}";
    let house = under(source, data);
    insta::assert_snapshot!(house.prepare().unwrap().report.notices.join("\n"), @r#"
    1 samples have a turn without a text: a.jsonl:2
    1 samples have text that the chat template (chat_template.jinja) leaves out or changes: a.jsonl:1 (system)
    the chat template (chat_template.jinja) writes today's date; it is told a fixed one, 2024-07-26, so that the same data gives the same tokens
    "#);
}

#[test]
fn an_answer_whose_end_is_not_learned_is_refused() {
    let data = "{\"instruction\": \"a\", \"output\": \"b\"}\n";
    let open = "{% for m in messages %}<|im_start|>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}";
    insta::assert_snapshot!(under(open, data).error(), @r#"
    E0313 an answer's end is not learned, so the model would not stop
      at HOUSE/base/chat_template.jinja
      samples: a.jsonl:1
      the chat template writes no special token of the tokenizer after an answer
      fix: write it there, such as {{ eos_token }}, in the folder's chat_template.jinja
      fix: or make the token that the template writes special in tokenizer_config.json
    "#);
    let all = under(open, data).set(|c| c.loss_on = LossOn::All);
    assert_eq!(all.prepare().unwrap_err().code, Code::NoStopToken);
    let outside = "{% for m in messages %}<|im_start|>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}";
    insta::assert_snapshot!(under(outside, &data.repeat(2)).error(), @r#"
    E0313 in 2 samples an answer's end is not learned, so the model would not stop
      at HOUSE/base/chat_template.jinja
      samples: a.jsonl:1, a.jsonl:2
      a {% generation %} block of the chat template ends before a special token
      fix: put the token that ends an answer inside the block, such as {{ eos_token }}
    "#);
    let unasked = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}";
    let whole = under(open, unasked).set(|c| c.loss_on = LossOn::All);
    assert_eq!(whole.prepare().unwrap().writer.rows(), 1);
}

#[test]
fn blocks_that_fit_no_answer_are_refused_only_where_answers_differ() {
    let once = "{% for m in messages %}<|im_start|>{% if m.role == 'assistant' and loop.last %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}";
    let turns = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"d\"}]}";
    let house = under(once, turns);
    assert_eq!(house.rows()[0].1, "d<|im_end|>");
    insta::assert_snapshot!(house.set(|c| c.loss_on = LossOn::Last).error(), @r#"
    E0307 which answer a {% generation %} block of the chat template belongs to cannot be told
      at HOUSE/data/a.jsonl:1
      it marks 1 blocks in a conversation with 2 answers, and not all answers are learned
      template: HOUSE/base/chat_template.jinja
      fix: write one block around each answer in the template, or take the tags out of it
      fix: or --set loss_on=response and no `weight` in the data
    "#);
    let trimmed = "{% for m in messages %}{% set text %}{% generation %} {{ m.content }}<|im_end|>{% endgeneration %}{% endset %}{{ text | trim }}{% endfor %}";
    insta::assert_snapshot!(under(trimmed, turns).error(), @r#"
    E0307 what the chat template marks as answers cannot be told
      at HOUSE/data/a.jsonl:1
      the template goes on working on the text of a {% generation %} block after its end
      template: HOUSE/base/chat_template.jinja
      fix: write such a block around what is written out, or take the tags out
    "#);
}

#[test]
fn without_a_chat_template_conversations_are_refused() {
    let house = House::new("chatml").with("a.txt", DIALOGUE);
    fs::remove_file(house.config.base_model.join("chat_template.jinja")).unwrap();
    insta::assert_snapshot!(house.error(), @r#"
    E0204 the base model has no chat template
      at HOUSE/base
      looked for chat_template.jinja and for `chat_template` in tokenizer_config.json
      conversations cannot be turned into the model's text without it; none is guessed
      fix: use the chat or instruct variant of the base model
      fix: or put the model's own template into the folder as chat_template.jinja
    "#);
}
