//! Whether tokenizer, chat template, weights and stop tokens belong to one model.
//!
//! In: the base model's folder, what is read of it, and the data. Out: what a person should know, and a refusal where
//! the data has a token that the embedding has no row for. Keeps: no weight is read; the tokenizer's own words are
//! taken, no family is guessed.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use shared::config::RunConfig;
use shared::dataset::RowOrigin;
use shared::error::{Code, Error, Result};
use shared::model::ModelConfig;
use shared::text::{ChatTemplate, Message, TextTokenizer, stop_ids};

use crate::data::{self, DataConfig, Ready, Wanted};

/// A text that an answer is recognised by in a rendering.
const ANSWER: &str = "quixotic answer";
/// So many tokens are named.
const NAMED: usize = 4;

/// What templates of one family write and those of others do not know: words in brackets of their own.
static CONTROL: LazyLock<std::result::Result<Regex, regex::Error>> = LazyLock::new(|| {
    Regex::new(
        r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|</?(?:start|end)_of_[a-z]+>|<(?:start|end)_of_turn>|</?s>",
    )
});

/// What does not fit together, one remark each: none is a reason not to start.
///
/// # Errors
/// [`Code::BadModelConfig`] for a generation_config.json that cannot be used.
pub fn remarks(
    base: &Path,
    shape: &ModelConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Vec<String>> {
    let mut remarks = Vec::new();
    let beyond = tokenizer.tokens_from(rows(shape));
    if let Some((id, token)) = beyond.first() {
        remarks.push(format!(
            "the tokenizer has {} beyond the embedding's {} rows, first {token:?} with id {id}: text that \
             holds one is refused",
            counted(beyond.len()),
            shape.vocab_size
        ));
    }
    let stops = stop_ids(base, &shape.eos_token_ids, tokenizer)?;
    remarks.extend(stops_that_are_none(base, &stops, shape, tokenizer));
    let Some(text) = template.and_then(rendered) else {
        return Ok(remarks);
    };
    remarks.extend(strange_tokens(&text, tokenizer));
    remarks.extend(an_end_that_does_not_stop(base, &text, &stops, tokenizer));
    Ok(remarks)
}

/// [`remarks`] on the base model of a configuration, as far as it is there; what is wrong with it comes as errors.
#[must_use]
pub fn look(config: &RunConfig) -> (Vec<String>, Vec<Error>) {
    let base = &config.base_model;
    if !base.is_dir() {
        return (Vec::new(), Vec::new());
    }
    let told = || -> Result<Vec<String>> {
        let shape = ModelConfig::load(base)?;
        let tokenizer = TextTokenizer::load(base)?;
        let template = ChatTemplate::find(base)?;
        remarks(base, &shape, &tokenizer, template.as_ref())
    };
    match told() {
        Ok(remarks) => (remarks, Vec::new()),
        Err(error) => (Vec::new(), vec![error]),
    }
}

/// The base model that data are held against.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// What config.json says.
    pub shape: &'a ModelConfig,
    /// Its tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// Its chat template, if any.
    pub template: Option<&'a ChatTemplate>,
}

/// Refuses prepared data with a token that the embedding has no row for; most tokenizers have no such token, and
/// then no row is looked at.
///
/// # Errors
/// [`Code::BadTokenizer`] with the first such token, its file and line; as [`data::Ready::id_from`].
pub fn prepared_within(
    config: &DataConfig,
    model: Model<'_>,
    ready: &Ready,
    folder: &Path,
) -> Result<()> {
    let first = rows(model.shape);
    if model.tokenizer.tokens_from(first).is_empty() {
        return Ok(());
    }
    match ready.id_from(first, folder)? {
        None => Ok(()),
        Some((id, Some(origin))) => Err(beyond(config, model, id, &origin)),
        // Rows that were prepared before do not know where they came from.
        Some((_, None)) => within_the_embedding(config, model),
    }
}

/// Refuses data with a token that the embedding has no row for, sample by sample.
///
/// # Errors
/// As [`prepared_within`] and [`data::previews`].
pub fn within_the_embedding(config: &DataConfig, model: Model<'_>) -> Result<()> {
    let first = rows(model.shape);
    if model.tokenizer.tokens_from(first).is_empty() {
        return Ok(());
    }
    let all = Wanted {
        count: usize::MAX,
        ..Wanted::default()
    };
    let mut sources = vec![config.clone()];
    let validation = config.validation_dir.as_deref();
    sources.extend(validation.map(|folder| config.of_validation(folder)));
    for source in &sources {
        for sample in data::previews(source, model.tokenizer, model.template, &all)? {
            if let Some(id) = sample.ids.iter().find(|id| **id >= first) {
                return Err(beyond(source, model, *id, &sample.origin));
            }
        }
    }
    Ok(())
}

fn beyond(config: &DataConfig, model: Model<'_>, id: u32, origin: &RowOrigin) -> Error {
    let token = model.tokenizer.token(id).unwrap_or_default();
    let root = &config.train_data_dir;
    let folder = match root.is_file() {
        true => root.parent().unwrap_or(root),
        false => root,
    };
    let what = format!("the token {token:?} is beyond the base model's embedding");
    Error::new(Code::BadTokenizer, what)
        .at_line(folder.join(&origin.file), origin.line)
        .why(format!(
            "its id is {id}, and the embedding has {} rows, for ids 0 to {}",
            model.shape.vocab_size,
            rows(model.shape).saturating_sub(1)
        ))
        .why(format!(
            "the tokenizer in {} was given tokens that the weights were not",
            config.base_model.display()
        ))
        .fix(format!("take {token:?} out of the text"))
        .fix("or give the weights a row for it in Python: model.resize_token_embeddings(len(tokenizer)), then save_pretrained")
}

fn rows(shape: &ModelConfig) -> u32 {
    u32::try_from(shape.vocab_size).unwrap_or(u32::MAX)
}

fn counted(tokens: usize) -> String {
    match tokens {
        1 => "1 token".into(),
        many => format!("{many} tokens"),
    }
}

/// A conversation of two turns as the template writes it; nothing where it refuses this one.
fn rendered(template: &ChatTemplate) -> Option<String> {
    let turns = [
        Message::new("user", "question"),
        Message::new("assistant", ANSWER),
    ];
    template.render(&turns, false).ok()
}

/// Stop tokens that no text can come to.
fn stops_that_are_none(
    base: &Path,
    stops: &[u32],
    shape: &ModelConfig,
    tokenizer: &TextTokenizer,
) -> Option<String> {
    let none = |id: &&u32| **id >= rows(shape) || tokenizer.token(**id).is_none();
    let id = stops.iter().find(none)?;
    Some(format!(
        "generation is to stop at the id {id}, which is no token of this model: see `eos_token_id` in {}",
        file_of_stops(base)
    ))
}

/// The file that says where generation stops.
fn file_of_stops(base: &Path) -> String {
    let generation = base.join("generation_config.json");
    let text = std::fs::read_to_string(&generation).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let says = value.get("eos_token_id").is_some_and(|id| !id.is_null());
    let file = if says {
        generation
    } else {
        base.join("config.json")
    };
    file.display().to_string()
}

/// Control tokens of a template that the tokenizer does not know as one.
fn strange_tokens(text: &str, tokenizer: &TextTokenizer) -> Option<String> {
    let control = CONTROL.as_ref().ok()?;
    let mut strange: Vec<&str> = Vec::new();
    for found in control.find_iter(text) {
        let token = found.as_str();
        if tokenizer.token_id(token).is_none() && !strange.contains(&token) {
            strange.push(token);
        }
    }
    (!strange.is_empty()).then(|| {
        let named: Vec<String> = strange.iter().take(NAMED).map(|t| format!("`{t}`")).collect();
        format!(
            "the chat template writes {}, which the tokenizer does not know as a token: it may be the template of \
             another model; take chat_template from the model that the tokenizer belongs to",
            named.join(", ")
        )
    })
}

/// The token that ends an answer, where generation would not stop at it.
fn an_end_that_does_not_stop(
    base: &Path,
    text: &str,
    stops: &[u32],
    tokenizer: &TextTokenizer,
) -> Option<String> {
    let behind = text.find(ANSWER)? + ANSWER.len();
    let encoded = tokenizer.encode(text).ok()?;
    let tokens = encoded.ids.iter().zip(&encoded.offsets);
    let mut ends = tokens.filter(|(id, (start, _))| *start >= behind && tokenizer.is_special(**id));
    let (&end, _) = ends.next()?;
    if stops.contains(&end) {
        return None;
    }
    let name = |id: &u32| format!("{:?} ({id})", tokenizer.token(*id).unwrap_or_default());
    let at: Vec<String> = stops.iter().map(name).collect();
    let at = match at.len() {
        0 => "nothing".to_owned(),
        _ => at.join(", "),
    };
    let all: Vec<String> = stops.iter().chain([&end]).map(u32::to_string).collect();
    Some(format!(
        "an answer ends with {}, and generation stops at {at} only, as {} says: the model would run on behind its \
         answers; write \"eos_token_id\": [{}] into {}, here and wherever the adapter is used",
        name(&end),
        file_of_stops(base),
        all.join(", "),
        base.join("generation_config.json").display()
    ))
}
