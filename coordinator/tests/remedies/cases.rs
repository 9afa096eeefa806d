//! Inputs that are refused, each with the remedy that is done and how.

use shared::error::Code;

/// How a remedy is done.
pub enum Apply {
    /// The first `--set` of the remedy, with these words put in for its placeholders.
    Set(&'static [(&'static str, &'static str)]),
    /// The line in back quotes, in place of the line that is wrong.
    Line,
    /// The line in back quotes, behind the others.
    Add,
    /// What the words say, done in this file: a text and what stands there then.
    Edit(&'static str, &'static str, &'static str),
    /// What the words say, done by writing this file.
    Write(&'static str, &'static str),
    /// What the words say, done by removing this file.
    Remove(&'static str),
    /// The command behind the colon, with these words put in for its placeholders.
    Shell(&'static [(&'static str, &'static str)]),
}

use Apply::{Add, Edit, Line, Remove, Set, Shell, Write};

/// An input, and a remedy that is printed for it.
pub struct Case {
    pub code: Code,
    /// Lines of the configuration behind the required ones.
    pub config: &'static str,
    /// Files; without any there is good data.
    pub files: &'static [(&'static str, &'static [u8])],
    /// How the remedy begins.
    pub fix: &'static str,
    pub apply: Apply,
}

const fn config(code: Code, lines: &'static str, fix: &'static str, apply: Apply) -> Case {
    Case {
        code,
        config: lines,
        files: &[],
        fix,
        apply,
    }
}

const fn data(
    code: Code,
    files: &'static [(&'static str, &'static [u8])],
    fix: &'static str,
    apply: Apply,
) -> Case {
    Case {
        code,
        config: "",
        files,
        fix,
        apply,
    }
}

const fn both(
    code: Code,
    lines: &'static str,
    files: &'static [(&'static str, &'static [u8])],
    fix: &'static str,
    apply: Apply,
) -> Case {
    Case {
        code,
        config: lines,
        files,
        fix,
        apply,
    }
}

const RUN: &str = "run.yaml";
const A: &str = "data/a.jsonl";
const GOOD: &[u8] = b"{\"question\": \"a\", \"answer\": \"b\"}\n";
const TOKENS: &[u8] = b"{\"input_ids\": [5, 6, 7]}\n";
const LONG: &[u8] = b"{\"question\": \"What is a lease of a flat in a city?\", \"answer\": \"A contract about a flat, its rent and its term.\"}\n";

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // Keys.
    config(Code::UnknownKey, "lora_rnak: 16\n", "did you mean `lora_rank`?", Edit(RUN, "lora_rnak", "lora_rank")),
    config(Code::UnknownKey, "rank: 16\n", "this is called `lora_rank` here", Edit(RUN, "rank: ", "lora_rank: ")),
    config(Code::UnknownKey, "gradient_offloading: 1\n", "remove it; the nearest", Edit(RUN, "gradient_offloading: 1\n", "")),
    config(Code::UnknownKey, "5: x\n", "remove it; `coordinator schema`", Edit(RUN, "5: x\n", "")),
    config(Code::UnknownKey, "lora_rank\u{200b}: 16\n", "write `lora_rank` anew", Edit(RUN, "\u{200b}", "")),
    config(Code::Contradiction, "seed: 1\nseed: 2\n", "keep one of the two lines", Edit(RUN, "seed: 2\n", "")),
    config(Code::MissingKey, "train_data_dir: data\nbase_model: base\n", "add `output_dir: ", Add),
    // Values.
    config(Code::WrongType, "lora_rank: １６\n", "write `lora_rank: 16`", Line),
    config(Code::WrongType, "max_steps: None\n", "write `max_steps: null`", Line),
    config(Code::WrongType, "validation_dir: None\n", "write `validation_dir: null`", Line),
    both(Code::WrongType, "validation_dir: None\n", &[("data/a.jsonl", GOOD), ("None/b.jsonl", b"{\"question\": \"x\", \"answer\": \"y\"}\n")], "write `./None`", Edit(RUN, "validation_dir: None", "validation_dir: ./None")),
    config(Code::WrongType, "lora_rank: many\n", "write it as in `lora_rank: 16`", Line),
    config(Code::WrongType, "lora_rank:\n", "write a value, such as 16", Edit(RUN, "lora_rank:", "lora_rank: 16")),
    config(Code::WrongType, "bf16: yes\n", "write `true`", Edit(RUN, "yes", "true")),
    config(Code::WrongType, "shuffle: no\n", "write `false`", Edit(RUN, "no\n", "false\n")),
    config(Code::WrongType, "shuffle: 'true'\n", "write `true`, without", Edit(RUN, "'true'", "true")),
    config(Code::WrongType, "shuffle: 'false'\n", "write `false`, without", Edit(RUN, "'false'", "false")),
    config(Code::WrongType, "epochs: 010\n", "write 10: a leading zero", Edit(RUN, "010", "10")),
    config(Code::OutOfRange, "fp16: true\ninitial_loss_scale: 1000\n", "the next lower one is 512", Edit(RUN, "1000", "512")),
    config(Code::OutOfRange, "lr_scheduler_type: cosin\n", "did you mean `cosine`?", Edit(RUN, "cosin\n", "cosine\n")),
    config(Code::OutOfRange, "device: gpu\n", "write `cuda`", Edit(RUN, "gpu", "cuda")),
    config(Code::OutOfRange, "device: mps\n", "write `cpu`", Edit(RUN, "mps", "cpu")),
    config(Code::WrongType, "resume_from_checkpoint: true\n", "write `latest`", Edit(RUN, "true", "latest")),
    config(Code::NotYet, "task_type: images\n", "write `text-generation`", Edit(RUN, "images", "text-generation")),
    config(Code::WrongType, "csv_columns: [1, b]\n", "put the name in quotes", Edit(RUN, "[1,", "['1',")),
    config(Code::Contradiction, "columns: [input=a, 'input=']\n", "keep one of the two", Edit(RUN, ", 'input='", "")),
    config(Code::OutOfRange, "data_sources: [a.jsonl=none]\n", "write PATH=WEIGHT", Edit(RUN, "a.jsonl=none", "a.jsonl=3")),
    config(Code::Contradiction, "data_sources: [a.jsonl, a.jsonl=2]\n", "name each path once", Edit(RUN, ", a.jsonl=2", "")),
    config(Code::WrongType, "eval_prompts: [5]\n", "put the entry in single quotes", Edit(RUN, "[5]", "['5']")),
    config(Code::Contradiction, "eval_prompts: [a, a]\n", "take one of the two out", Edit(RUN, "[a, a]", "[a]")),
    config(Code::OutOfRange, "privacy_rules: ['=x']\n", "a name has letters", Edit(RUN, "'=x'", "'CONTRACT=HT-[0-9]{6}'")),
    config(Code::OutOfRange, "privacy_rules: ['X=a*']\n", "ask for at least one", Edit(RUN, "a*", "a+")),
    config(Code::OutOfRange, "target_modules: 're:('\n", "mend the expression", Edit(RUN, "re:(", "re:.*")),
    config(Code::OutOfRange, "privacy_rules: ['X=(?=a)b']\n", "look-around", Edit(RUN, "(?=a)b", "ab")),
    config(Code::WrongType, "privacy_rules: [5]\n", "put the rule in single quotes", Edit(RUN, "[5]", "['X=5']")),
    config(Code::Contradiction, "privacy_rules: ['X=a', 'X=b']\n", "give each rule a name", Edit(RUN, "'X=a', 'X=b'", "'X=a|b'")),
    config(Code::OutOfRange, "target_modules: 'q_proj, v_proj'\n", "write a list: [q_proj, v_proj]", Edit(RUN, "'q_proj, v_proj'", "[q_proj, v_proj]")),
    config(Code::WrongType, "lora_rank: None\n", "remove `lora_rank`", Edit(RUN, "lora_rank: None\n", "")),
    config(Code::NotYet, "train_data_dir: data\nbase_model: base\noutput_dir: s3://b/x\n", "write a path such as", Edit(RUN, "s3://b/x", "./output/law_lora")),
    both(Code::WrongType, "init_adapter: 5\n", &[(A, GOOD), ("5/x", b"")], "put the path in quotes", Edit(RUN, ": 5", ": '5'")),
    config(Code::WrongType, "--set lora_rank=None\n", "leave it out, or --set", Set(&[])),
    config(Code::WrongType, "--set max_steps=None\n", "--set max_steps=null", Set(&[])),
    config(Code::WrongType, "--set lora_rank=１６\n", "--set lora_rank=16", Set(&[])),
    config(Code::WrongType, "learning_rate: 0,0001\n", "write 0.0001: the sign", Edit(RUN, "0,0001", "0.0001")),
    config(Code::WrongType, "lora_dropout: 5%\n", "write 0.05: percent", Edit(RUN, "5%", "0.05")),
    config(Code::WrongType, "lora_rank: 16# mine\n", "write 16 and a blank", Edit(RUN, "16# mine", "16 # mine")),
    // Keys against each other.
    config(Code::Contradiction, "fp16: true\nbf16: true\n", "keep one of them", Set(&[])),
    config(Code::Contradiction, "train_on_inputs: true\nloss_on: last\n", "--set train_on_inputs=false", Set(&[])),
    config(Code::Contradiction, "train_on_inputs: true\nloss_on: last\n", "or remove `train_on_inputs`", Edit(RUN, "train_on_inputs: true\n", "")),
    config(Code::Contradiction, "group_by_length: true\nshuffle: false\n", "--set group_by_length=false", Set(&[])),
    config(Code::Contradiction, "group_by_length: true\nshuffle: false\n", "--set shuffle=true", Set(&[])),
    config(Code::Contradiction, "min_workers: 3\nmax_workers: 2\n", "--set max_workers=3", Set(&[])),
    config(Code::Contradiction, "min_workers: 3\nmax_workers: 2\n", "--set min_workers=2", Set(&[])),
    config(Code::Contradiction, "ride_through: 2\n", "--set ride_through=8", Set(&[])),
    config(Code::OutOfRange, "batch_size: 4\nmicro_batch_size: 8\n", "write at most 4", Edit(RUN, "micro_batch_size: 8", "micro_batch_size: 4")),
    both(Code::Contradiction, "parent: p\ninit_adapter: q\n", &[(A, GOOD), ("p/x", b""), ("q/x", b"")], "--set init_adapter=", Set(&[])),
    both(Code::Contradiction, "parent: p\ninit_adapter: q\n", &[(A, GOOD), ("p/x", b""), ("q/x", b"")], "--set parent=", Set(&[])),
    both(Code::Contradiction, "validation_dir: v\nvalidation_split: 0.5\n", &[(A, GOOD), ("v/b.jsonl", b"{\"question\": \"x\", \"answer\": \"y\"}\n")], "--set validation_split=0", Set(&[])),
    both(Code::Contradiction, "validation_dir: v\nvalidation_split: 0.5\n", &[(A, b"{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"c\", \"answer\": \"d\"}\n"), ("v/b.jsonl", GOOD)], "--set validation_dir=", Set(&[])),
    config(Code::Contradiction, "adapter_type: ia3\nuse_dora: true\n", "remove one of the two", Edit(RUN, "use_dora: true\n", "")),
    config(Code::Contradiction, "csv_columns: [question, answer]\ncolumns: [question=question, answer=answer]\n", "remove one of them", Edit(RUN, "csv_columns: [question, answer]\n", "")),
    // Files that are no YAML, and paths.
    config(Code::BadYaml, "lora_rank：16\n", "write `lora_rank: 16`", Line),
    config(Code::BadYaml, "\tlora_rank: 16\n", "write `lora_rank: 16`", Line),
    config(Code::BadYaml, "---\nseed: 1\n", "keep one document", Edit(RUN, "---\nseed: 1\n", "")),
    config(Code::MissingPath, "metadata_path: no/such.csv\n", "put it there, or point", Set(&[("PATH`", "null`"), ("metadata_path=null", "metadata_path=null")])),
    config(Code::BadYaml, "train_data_dir-data\n", "write one `key: value` per line, as", Write(RUN, "train_data_dir: data\nbase_model: base\noutput_dir: out\n")),
    config(Code::MissingPath, "train_data_dir: data\nbase_model: Qwen/Qwen2.5-7B-Instruct\noutput_dir: out\n", "or put it there", Set(&[("PATH`", "base`")])),
    both(Code::MissingPath, "validation_dir: $NO_SUCH_NAME/v\n", &[(A, GOOD), ("v/b.jsonl", b"{\"question\": \"x\", \"answer\": \"y\"}\n")], "write the path in full", Edit(RUN, "$NO_SUCH_NAME/v", "v")),
    config(Code::MissingPath, "validation_dir: “data”\n", "--set validation_dir=", Set(&[])),
    // Forms of data.
    data(Code::EmptyData, &[("data/.hidden", b""), ("more/a.jsonl", GOOD)], "put dialogues, JSONL", Set(&[("FOLDER", "more")])),
    data(Code::Undecodable, &[("data/a.jsonl", b"{\"question\": \"\xc4\xe3\xba\xc3\", \"answer\": \"\xba\xc3\"}\n")], "if it is GB18030", Set(&[])),
    data(Code::Undecodable, &[("data/a.jsonl", b"{\"question\": \"a\", \"answer\": \"\xd3\xc3\"}\n")], "or iconv", Shell(&[("or iconv", "iconv"), ("> NEW_FILE, and NEW_FILE in its place", "> b && mv b data/a.jsonl")])),
    data(Code::UnknownForm, &[("data/a.csv", b"question;answer\na;b\n")], "write `sep=;`", Shell(&[])),
    data(Code::NoRoles, &[("data/a.txt", "没有名字的一段话\n".as_bytes())], "begin each question", Write("data/a.txt", "用户：押金能退吗？\n律师：到期应当退还。\n")),
    data(Code::NoRoles, &[("data/a.txt", "没有名字的一段话\n".as_bytes())], "or give the data as JSONL", Edit("data/a.txt", "没有名字的一段话\n", "用户：押金能退吗？\n律师：到期应当退还。\n")),
    data(Code::MalformedJson, &[(A, b"{\"question\": \"a\", \"answer\": \"b\"},\n")], "each line of a .jsonl file is one whole", Edit(A, "},", "}")),
    data(Code::MalformedJson, &[("data/a.json", b"[{\"question\": \"a\", \"answer\": \"b\"},]")], "the file must be one array", Edit("data/a.json", "},]", "}]")),
    data(Code::UnknownForm, &[(A, b"[1, 2]\n")], "each line of a .jsonl file is one object", Edit(A, "[1, 2]", "{\"question\": \"a\", \"answer\": \"b\"}")),
    data(Code::UnknownForm, &[(A, b"{\"frage\": \"a\", \"antwort\": \"b\"}\n")], "--set 'columns=[question=frage,answer=antwort]'", Set(&[])),
    data(Code::UnknownForm, &[(A, b"{\"frage\": \"a\", \"antwort\": \"b\"}\n")], "rename the keys", Edit(A, "{\"frage\": \"a\", \"antwort\"", "{\"question\": \"a\", \"answer\"")),
    data(Code::Ambiguous, &[(A, b"{\"question\": \"a\", \"prompt\": \"c\", \"answer\": \"b\"}\n")], "--set 'columns=[question=question", Set(&[])),
    both(Code::UnknownForm, "columns: [question=frage, answer=antwort]\n", &[(A, b"{\"q\": \"a\", \"antwort\": \"b\"}\n")], "--set 'columns=[question=NAME", Set(&[("NAME", "q")])),
    both(Code::Ambiguous, "columns: [question=q, question=frage, answer=a]\n", &[(A, b"{\"q\": \"a\", \"frage\": \"c\", \"a\": \"b\"}\n")], "--set 'columns=[question=q", Set(&[])),
    data(Code::UnknownForm, &[(A, b"{\"question\": 5, \"answer\": \"b\"}\n")], "write it as a string", Edit(A, "5", "\"5\"")),
    data(Code::UnknownForm, &[(A, b"{\"instruction\": \"a\", \"output\": \"b\", \"history\": [\"x\"]}\n")], "it must be a list like [[", Edit(A, "[\"x\"]", "[[\"x\", \"y\"]]")),
    data(Code::UnknownForm, &[(A, b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"advisor\", \"content\": \"b\"}]}\n")], "--set 'roles=[assistant=advisor]'", Set(&[])),
    data(Code::UnknownForm, &[(A, b"{\"messages\": [{\"role\": \"user\", \"text\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n")], "a turn has `role` and", Edit(A, "\"text\"", "\"content\"")),
    data(Code::BadWeight, &[(A, b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\", \"weight\": 0.5}]}\n")], "write 0 or 1", Edit(A, "0.5", "1")),
    data(Code::BadWeight, &[(A, b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"weight\": 1}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n")], "take the mark out", Edit(A, ", \"weight\": 1", "")),
    data(Code::MalformedCsv, &[("data/a.csv", b"question,answer\na,\"b\nc,d\n")], "close the quote", Edit("data/a.csv", "\"b", "\"b\"")),
    data(Code::MalformedCsv, &[("data/a.csv", b"question,answer\na,b,c\n")], "a cell with `,`", Edit("data/a.csv", "a,b,c", "a,\"b,c\"")),
    data(Code::UnknownForm, &[("data/a.csv", b"frage,antwort\na,b\n")], "--set csv_columns=[", Set(&[("QUESTION_COLUMN", "frage"), ("ANSWER_COLUMN", "antwort")])),
    both(Code::NoRoles, "dialogue: blocks\n", &[("data/a.txt", "用户：押金能退吗？\n律师：能退。\n\n律师：要书面催告。\n".as_bytes())], "take the blank line out", Set(&[])),
    data(Code::NothingToLearn, &[("data/a.txt", "用户：押金能退吗？\n律师：能退。\n用户：要多久？\n".as_bytes())], "write the answer below it", Write("data/a.txt", "用户：押金能退吗？\n律师：能退。\n用户：要多久？\n律师：一个月。\n")),
    data(Code::NothingToLearn, &[("data/a.txt", "用户：押金能退吗？\n律师：\n用户：要多久？\n律师：一个月。\n".as_bytes())], "write the text after the colon", Write("data/a.txt", "用户：押金能退吗？\n律师：能退。\n用户：要多久？\n律师：一个月。\n")),
    data(Code::UnknownForm, &[(A, b"{\"tools\": \"x\", \"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n")], "write the tools as a list", Edit(A, "\"x\"", "[]")),
    data(Code::UnknownForm, &[(A, b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"tool_calls\": []}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n")], "give the message the role", Edit(A, ", \"tool_calls\": []", "")),
    data(Code::UnknownForm, &[(A, b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\", \"tool_calls\": \"f\"}]}\n")], "write each call as", Edit(A, ", \"tool_calls\": \"f\"", ", \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {}}}]")),
    data(Code::NothingToLearn, &[(A, b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\", \"weight\": 0}]}\n")], "give one of them weight 1", Edit(A, "\"weight\": 0", "\"weight\": 1")),
    both(Code::Ambiguous, "columns: [question=q, answer=a, messages=m]\n", &[(A, b"{\"q\": \"a\", \"a\": \"b\", \"m\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n")], "name the parts of one form", Edit(RUN, ", messages=m", "")),
    data(Code::NothingToLearn, &[(A, b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n")], "give each sample an answer", Edit(A, "\"content\": \"a\"}", "\"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}")),
    // Tokens.
    data(Code::BadTokens, &[(A, b"{\"input_ids\": [-1, 6], \"labels\": [-100, 6]}\n")], "a token id is", Edit(A, "[-1, 6]", "[5, 6]")),
    data(Code::BadTokens, &[(A, b"{\"input_ids\": \"5, 6\", \"labels\": [-100, 6]}\n")], "write a list of whole", Edit(A, "\"5, 6\"", "[5, 6]")),
    data(Code::BadTokens, &[(A, TOKENS)], "add `labels`", Edit(A, "7]", "7], \"labels\": [-100, 6, 7]")),
    data(Code::BadTokens, &[(A, TOKENS)], "or --set loss_on=all", Set(&[])),
    data(Code::BadTokens, &[(A, b"{\"input_ids\": [5, 6, 7], \"labels\": [6, 7]}\n")], "give one entry per token", Edit(A, "[6, 7]", "[-100, 6, 7]")),
    data(Code::BadTokens, &[(A, b"{\"input_ids\": [5, 6], \"labels\": [5, 9]}\n")], "a label is", Edit(A, "[5, 9]", "[-100, 6]")),
    both(Code::TokensNotMasked, "privacy: mask\n", &[(A, b"{\"input_ids\": [5, 6, 7], \"labels\": [5, 6, 7]}\n")], "or --set privacy=off", Set(&[])),
    // Rows.
    both(Code::TooLong, "max_seq_length: 8\noverflow: error\n", &[(A, LONG)], "--set max_seq_length=", Set(&[])),
    both(Code::NothingToLearn, "max_seq_length: 4\n", &[(A, LONG)], "--set max_seq_length=", Set(&[])),
    both(Code::TooLong, "max_seq_length: 30\noverflow: error\n", &[(A, b"{\"question\": \"a\", \"answer\": \"A contract about a flat, its rent and its term, with a notice of three months.\"}\n")], "or --set overflow=truncate", Set(&[])),
    both(Code::NothingToLearn, "max_seq_length: 24\n", &[(A, b"{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"What is a lease of a flat in a city, and how long does it last when nobody says so?\", \"answer\": \"c\"}\n")], "or --set overflow=drop", Set(&[])),
    both(Code::EmptyData, "validation_split: 0.5\n", &[(A, GOOD)], "--set validation_split=SMALLER", Set(&[("SMALLER", "0")])),
    both(Code::EmptyData, "data_sources: [a.jsonl, b.jsonl]\n", &[(A, GOOD), ("data/b.jsonl", b"")], "take it out of data_sources", Edit(RUN, ", b.jsonl", "")),
    both(Code::MissingPath, "data_sources: [b.jsonl]\n", &[(A, GOOD)], "--set data_sources=[", Set(&[("PATH=WEIGHT,...", "a.jsonl=1")])),
    both(Code::Contradiction, "data_sources: [., a.jsonl]\n", &[(A, GOOD)], "name folders that do not lie", Edit(RUN, "[., a.jsonl]", "[a.jsonl]")),
    both(Code::OutOfRange, "data_sources: [a.jsonl=1, b.jsonl=500]\n", &[(A, GOOD), ("data/b.jsonl", b"{\"question\": \"c\", \"answer\": \"d\"}\n")], "--set data_mixing=subsample", Edit(RUN, "b.jsonl=500", "b.jsonl=5")),
    // The base model.
    data(Code::BadTokens, &[(A, b"{\"input_ids\": [5, 2560], \"labels\": [5, 2560]}\n{\"input_ids\": [5, 6], \"labels\": [5, 6]}\n")], "tokenize with", Edit(A, "{\"input_ids\": [5, 2560], \"labels\": [5, 2560]}\n", "")),
    data(Code::BadTokenizer, &[(A, GOOD), ("base/chat_template.jinja", b"{% for m in messages %}{{ m.content }}{% if %}{% endfor %}")], "take the file from", Remove("base/chat_template.jinja")),
    data(Code::BadTokenizer, &[(A, GOOD), ("base/tokenizer_config.json", b"{\"eos_token\": \"<|im_end|>\"}")], "or put the model's own template", Write("base/chat_template.jinja", "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")),
    data(Code::TemplateRefused, &[(A, b"{\"system\": \"s\", \"question\": \"a\", \"answer\": \"b\"}\n"), ("base/chat_template.jinja", b"{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")], "make the conversation what", Edit(A, "\"system\": \"s\", ", "")),
    data(Code::BadTokenizer, &[(A, b"{\"input_ids\": [5, 2560], \"labels\": [5, 2560]}\n{\"input_ids\": [5, 6], \"labels\": [5, 6]}\n"), ("base/special_tokens_map.json", b"{}"), ("base/tokenizer_config.json", b"{\"eos_token\": \"<|im_end|>\", \"added_tokens_decoder\": {\"2560\": {\"content\": \"<case>\", \"special\": true}}}")], "take \"<case>\" out", Edit(A, "{\"input_ids\": [5, 2560], \"labels\": [5, 2560]}\n", "")),
    data(Code::NoStopToken, &[(A, LONG), ("base/chat_template.jinja", b"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}")], "write it there, such as {{ eos_token }}", Edit("base/chat_template.jinja", "{{ m.content }}\n", "{{ m.content }}{{ eos_token }}\n")),
];
