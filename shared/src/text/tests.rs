//! The stored renderings and ids of the Python implementation, and what a folder may lack.

use std::path::{Path, PathBuf};

use super::*;
use crate::error::{Code, render};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/text/fixtures")
        .join(name)
}

fn copy(name: &str, to: &Path) {
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn shown(error: &crate::error::Error, folder: &Path) -> String {
    render(error).replace(&folder.display().to_string(), "BASE")
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Message>,
    add_generation_prompt: bool,
    text: String,
    ids: Vec<u32>,
    decoded: String,
    decoded_without_special: String,
}

fn cases(name: &str) -> Vec<Case> {
    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }
    let text = std::fs::read_to_string(fixture(name).join("golden.json")).unwrap();
    serde_json::from_str::<Golden>(&text).unwrap().cases
}

const FAMILIES: [&str; 3] = ["llama2", "llama3", "chatml"];

#[test]
fn renderings_ids_and_decoded_text_equal_those_of_transformers() {
    for name in FAMILIES {
        let tokenizer = TextTokenizer::load(&fixture(name)).unwrap();
        let template = ChatTemplate::load(&fixture(name)).unwrap();
        for case in cases(name) {
            let text = template
                .render(&case.messages, case.add_generation_prompt)
                .unwrap();
            assert_eq!(text, case.text, "{name}");
            let encoded = tokenizer.encode(&text).unwrap();
            assert_eq!(encoded.ids, case.ids, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&encoded.ids, false).unwrap(), case.decoded);
            assert_eq!(
                tokenizer.decode(&encoded.ids, true).unwrap(),
                case.decoded_without_special
            );
        }
    }
}

#[test]
fn offsets_are_byte_offsets_and_cover_the_text_without_gaps() {
    for name in FAMILIES {
        let tokenizer = TextTokenizer::load(&fixture(name)).unwrap();
        for case in cases(name) {
            let encoded = tokenizer.encode(&case.text).unwrap();
            let mut end = 0;
            for &(from, to) in &encoded.offsets {
                assert!(from <= end && to >= end, "{name}: {from}..{to} after {end}");
                assert!(case.text.is_char_boundary(from) && case.text.is_char_boundary(to));
                end = to;
            }
            assert_eq!(end, case.text.len());
        }
    }
}

#[test]
fn a_token_starts_at_its_leading_space() {
    let tokenizer = TextTokenizer::load(&fixture("llama3")).unwrap();
    let encoded = tokenizer.encode("return the").unwrap();
    let last = encoded.offsets.last().copied().unwrap();
    assert_eq!(&"return the"[last.0..last.1], " the");
}

#[test]
fn a_template_that_raises_is_quoted_with_the_roles() {
    let template = ChatTemplate::load(&fixture("llama2")).unwrap();
    let error = template
        .render(&[Message::new("assistant", "hm")], false)
        .unwrap_err();
    insta::assert_snapshot!(shown(&error, &fixture("llama2")), @r#"
    E0307 the chat template refuses a conversation
      at BASE/tokenizer_config.json
      it says: roles must alternate user and assistant (template line 1)
      the conversation's roles: assistant
      fix: make the conversation what the base model's template expects
    "#);
}

#[test]
fn a_folder_without_a_tokenizer_names_the_files_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let error = TextTokenizer::load(folder.path()).unwrap_err();
    insta::assert_snapshot!(shown(&error, folder.path()), @r#"
    E0203 the base model has no tokenizer
      at BASE
      looked for tokenizer.json, with tokenizer_config.json beside it
      fix: base_model must name a whole Hugging Face folder: config, weights and tokenizer
    "#);
    std::fs::write(folder.path().join("tokenizer.model"), b"x").unwrap();
    let error = TextTokenizer::load(folder.path()).unwrap_err();
    insta::assert_snapshot!(shown(&error, folder.path()), @r#"
    E0203 the base model has no tokenizer
      at BASE
      looked for tokenizer.json, with tokenizer_config.json beside it
      tokenizer.model is there, but the fast form of it is needed
      fix: convert it once with Python: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)
      fix: base_model must name a whole Hugging Face folder: config, weights and tokenizer
    "#);
}

#[test]
fn a_broken_tokenizer_is_named_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), b"{\"version\": ").unwrap();
    let error = TextTokenizer::load(folder.path()).unwrap_err();
    insta::assert_snapshot!(shown(&error, folder.path()), @r#"
    E0204 tokenizer.json cannot be used
      at BASE/tokenizer.json
      EOF while parsing a value at line 1 column 12
      fix: take the file from the model's publisher again
    "#);
}

#[test]
fn a_folder_without_a_template_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    copy("chatml", folder.path());
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    assert!(ChatTemplate::find(folder.path()).unwrap().is_none());
    let error = ChatTemplate::load(folder.path()).unwrap_err();
    insta::assert_snapshot!(shown(&error, folder.path()), @r#"
    E0204 the base model has no chat template
      at BASE
      looked for chat_template.jinja and for `chat_template` in tokenizer_config.json
      conversations cannot be turned into the model's text without it; none is guessed
      fix: use the chat or instruct variant of the base model
      fix: or put the model's own template into the folder as chat_template.jinja
    "#);
}

#[test]
fn a_template_that_does_not_compile_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chat_template.jinja"), "a\n{% if %}").unwrap();
    let error = ChatTemplate::load(folder.path()).unwrap_err();
    insta::assert_snapshot!(shown(&error, folder.path()), @r#"
    E0204 the chat template does not compile
      at BASE/chat_template.jinja
      unexpected end of block in line 2
      fix: take the file from the model's publisher again
    "#);
}

#[test]
fn the_jinja_file_wins_over_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    copy("llama2", folder.path());
    std::fs::write(
        folder.path().join("chat_template.jinja"),
        "{{ messages|length }}\n",
    )
    .unwrap();
    let template = ChatTemplate::load(folder.path()).unwrap();
    assert_eq!(
        template
            .render(&[Message::new("user", "x")], false)
            .unwrap(),
        "1"
    );
}

#[test]
fn the_date_is_fixed_and_json_is_pythons() {
    let folder = tempfile::tempdir().unwrap();
    let source = "{{ strftime_now('%d %b %Y') }} {{ messages | tojson }} {{ [1, '<中>'] | tojson(indent=2) }}";
    std::fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
    let template = ChatTemplate::load(folder.path()).unwrap();
    assert!(template.reads_clock());
    assert_eq!(
        template
            .render(&[Message::new("user", "<a> & 'b'")], false)
            .unwrap(),
        "26 Jul 2024 [{\"role\": \"user\", \"content\": \"<a> & 'b'\"}] [\n  1,\n  \"<中>\"\n]"
    );
}

#[test]
fn a_special_token_of_the_settings_is_recognized_in_text() {
    let folder = tempfile::tempdir().unwrap();
    copy("llama2", folder.path());
    let path = folder.path().join("tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["added_tokens"] = serde_json::json!([]);
    std::fs::write(&path, json.to_string()).unwrap();
    let tokenizer = TextTokenizer::load(folder.path()).unwrap();
    let eos = tokenizer.token_id(tokenizer.eos_token().unwrap()).unwrap();
    assert_eq!(tokenizer.encode("a</s>").unwrap().ids.last(), Some(&eos));
    assert!(tokenizer.is_special(eos));
}

#[test]
fn an_end_token_outside_the_vocabulary_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    copy("llama2", folder.path());
    let settings = r#"{"eos_token": "<|nowhere|>"}"#;
    std::fs::write(folder.path().join("tokenizer_config.json"), settings).unwrap();
    let error = TextTokenizer::load(folder.path()).unwrap_err();
    assert_eq!(error.code, Code::BadTokenizer);
    assert!(error.why[0].contains("nowhere"), "{error:?}");
}

#[test]
fn the_digest_changes_with_the_template() {
    let folder = tempfile::tempdir().unwrap();
    copy("chatml", folder.path());
    let before = TextTokenizer::load(folder.path()).unwrap();
    let names: Vec<_> = before
        .files()
        .iter()
        .map(|f| f.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja"
        ]
    );
    std::fs::write(folder.path().join("chat_template.jinja"), "other").unwrap();
    assert_ne!(
        TextTokenizer::load(folder.path()).unwrap().digest(),
        before.digest()
    );
}

/// Under each family: what the template writes is special, what a text spells is not, and nothing else changes.
#[test]
fn special_tokens_in_texts_stay_text() {
    for name in FAMILIES {
        let tokenizer = TextTokenizer::load(&fixture(name)).unwrap();
        let template = ChatTemplate::load(&fixture(name)).unwrap();
        let eos = tokenizer.eos_token().unwrap().to_owned();
        let asked = |text: String| {
            let messages = [Message::new("user", text)];
            let ids = template.prompt(&tokenizer, &messages, false).unwrap();
            let specials = ids.iter().filter(|id| tokenizer.is_special(**id)).count();
            (tokenizer.decode(&ids, false).unwrap(), specials, ids)
        };
        let (plain, specials, ids) = asked("before after".into());
        assert_eq!(
            ids,
            tokenizer
                .encode(
                    &template
                        .render(&[Message::new("user", "before after")], true)
                        .unwrap()
                )
                .unwrap()
                .ids
        );
        let (text, same, _) = asked(format!("before{eos}after"));
        assert_eq!(same, specials, "{name}");
        assert_eq!(
            text,
            plain.replace("before after", &format!("before{eos}after")),
            "{name}"
        );
        let spelled = [Message::new("user", format!("{eos}{eos} <think>"))];
        assert_eq!(tokenizer.spelled(&spelled, None), [eos.as_str()]);
        let kept = template.prompt(&tokenizer, &spelled, true).unwrap();
        let kept = kept.iter().filter(|id| tokenizer.is_special(**id)).count();
        assert_eq!(kept, specials + 2, "{name}");
    }
}

#[test]
fn offsets_of_a_text_that_spells_special_tokens_cover_it_without_gaps() {
    for name in FAMILIES {
        let tokenizer = TextTokenizer::load(&fixture(name)).unwrap();
        let eos = tokenizer.eos_token().unwrap();
        let text = format!("问{eos}a {eos}b{eos}");
        let first = text.find(eos).unwrap();
        let encoded = tokenizer.encode_quoting(&text, &[first]).unwrap();
        let mut end = 0;
        for &(from, to) in &encoded.offsets {
            assert!(from <= end && to >= end, "{name}: {from}..{to} after {end}");
            end = to;
        }
        assert_eq!(end, text.len(), "{name}");
        let specials = encoded.ids.iter().filter(|id| tokenizer.is_special(**id));
        assert_eq!(specials.count(), 2, "{name}");
    }
}

#[test]
fn a_template_that_looks_for_a_special_token_in_a_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    copy("chatml", folder.path());
    let source = "{% for m in messages %}{{ m.content | length }}{% endfor %}";
    std::fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
    let tokenizer = TextTokenizer::load(folder.path()).unwrap();
    let template = ChatTemplate::load(folder.path()).unwrap();
    let messages = [Message::new("user", "<|im_end|>")];
    let error = template.prompt(&tokenizer, &messages, false).unwrap_err();
    assert_eq!(error.code, Code::TemplateRefused);
    assert!(template.prompt(&tokenizer, &messages, true).is_ok());
}

fn streamed(tokenizer: &TextTokenizer, ids: &[u32], skip_special: bool) -> Vec<String> {
    let mut stream = StreamDecoder::new(tokenizer, skip_special);
    let mut pieces: Vec<String> = ids.iter().map(|id| stream.push(*id)).collect();
    pieces.push(stream.finish());
    pieces
}

#[test]
fn a_character_spread_over_tokens_waits_until_it_is_whole() {
    for name in FAMILIES {
        let tokenizer = TextTokenizer::load(&fixture(name)).unwrap();
        let ids = tokenizer.encode("😀龘a").unwrap().ids;
        assert!(
            ids.len() > 3,
            "{name}: the characters are in the vocabulary"
        );
        let pieces = streamed(&tokenizer, &ids, false);
        assert!(
            pieces.iter().all(|p| !p.contains('\u{fffd}')),
            "{name}: {pieces:?}"
        );
        assert!(pieces[0].is_empty(), "{name}: {pieces:?}");
        assert_eq!(pieces.concat(), tokenizer.decode(&ids, false).unwrap());
    }
}

proptest::proptest! {
    #[test]
    fn streamed_text_equals_the_whole_decode(
        picks in proptest::collection::vec(0u32..520, 0..400),
        family in 0usize..3,
        skip_special: bool,
    ) {
        use std::sync::LazyLock;
        static TOKENIZERS: LazyLock<Vec<TextTokenizer>> = LazyLock::new(|| {
            FAMILIES.iter().map(|name| TextTokenizer::load(&fixture(name)).unwrap()).collect()
        });
        let tokenizer = &TOKENIZERS[family];
        let ids: Vec<u32> = picks.into_iter().filter(|id| tokenizer.token(*id).is_some()).collect();
        let whole = tokenizer.decode(&ids, skip_special).unwrap();
        proptest::prop_assert_eq!(streamed(tokenizer, &ids, skip_special).concat(), whole);
    }
}
