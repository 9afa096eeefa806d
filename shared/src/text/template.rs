//! The chat template: a conversation to the text the model was taught on.
//!
//! In: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`. Out: text.
//! Keeps: the rendering of the Python implementation (trimmed blocks, Python's string methods,
//! loop controls); `{% generation %}` tags change nothing. No template is ever guessed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value};

use super::special::{self, SpecialTokens};
use super::{Message, functions};
use crate::error::{Code, Error, Result};

/// The file that wins over `tokenizer_config.json`.
pub(super) const FILE: &str = "chat_template.jinja";
const NAME: &str = "chat_template";

/// A compiled chat template with the tokens it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
    file: PathBuf,
    reads_clock: bool,
}

impl ChatTemplate {
    /// Loads the template of a folder.
    ///
    /// # Errors
    /// [`Code::BadTokenizer`] when there is none or it does not compile.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::find(folder)?.ok_or_else(|| Self::missing(folder))
    }

    /// Loads the template of a folder, `None` when it has none.
    ///
    /// # Errors
    /// [`Code::BadTokenizer`] when it does not compile.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let jinja = folder.join(FILE);
        let config = folder.join(special::CONFIG);
        let (source, file) = match special::read_text(&jinja)? {
            Some(source) => (source, jinja),
            None => match special::read_object(&config)?
                .as_ref()
                .and_then(|c| c.get(NAME))
            {
                None | Some(serde_json::Value::Null) => return Ok(None),
                Some(value) => (from_config(value, &config)?, config),
            },
        };
        let tokens = SpecialTokens::read(folder)?.named;
        Self::compile(&source, tokens, file).map(Some)
    }

    /// The failure of a folder without a template.
    #[must_use]
    pub fn missing(folder: &Path) -> Error {
        Error::new(Code::BadTokenizer, "the base model has no chat template")
            .in_file(folder)
            .why(format!(
                "looked for {FILE} and for `{NAME}` in {}",
                special::CONFIG
            ))
            .why("conversations cannot be turned into the model's text without it; none is guessed")
            .fix("use the chat or instruct variant of the base model")
            .fix(format!(
                "or put the model's own template into the folder as {FILE}"
            ))
    }

    fn compile(source: &str, tokens: BTreeMap<String, String>, file: PathBuf) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|e| special::broken(&file, &e.to_string()))?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", functions::raise_exception);
        environment.add_function("strftime_now", functions::strftime_now);
        environment.add_filter("tojson", functions::tojson);
        let source = without_generation_tags(source);
        let reads_clock = source.contains("strftime_now");
        environment.add_template_owned(NAME, source).map_err(|e| {
            let line = e
                .line()
                .map(|l| format!(" in line {l}"))
                .unwrap_or_default();
            Error::new(Code::BadTokenizer, "the chat template does not compile")
                .in_file(&file)
                .why(format!("{}{line}", e.detail().unwrap_or("syntax error")))
                .fix("take the file from the model's publisher again")
        })?;
        Ok(Self {
            environment,
            tokens,
            file,
            reads_clock,
        })
    }

    /// The file it came from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it asks for today's date; it is told a fixed day, so that the same data gives the
    /// same tokens tomorrow.
    #[must_use]
    pub fn reads_clock(&self) -> bool {
        self.reads_clock
    }

    /// Renders a conversation; with `add_generation_prompt` up to where an answer would begin.
    ///
    /// # Errors
    /// [`Code::TemplateRefused`] with the template's own words.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let mut context: BTreeMap<&str, Value> = self
            .tokens
            .iter()
            .map(|(k, v)| (k.as_str(), Value::from(v.as_str())))
            .collect();
        let turn = |m: &Message| {
            Value::from_pairs([("role", m.role.as_str()), ("content", m.content.as_str())])
        };
        context.insert("messages", messages.iter().map(turn).collect());
        context.insert("add_generation_prompt", Value::from(add_generation_prompt));
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        let rendered = self
            .environment
            .get_template(NAME)
            .and_then(|t| t.render(Value::from(context)));
        rendered.map_err(|e| {
            let roles: Vec<&str> = messages.iter().map(|m| m.role.as_str()).collect();
            let line = e
                .line()
                .map(|l| format!(" (template line {l})"))
                .unwrap_or_default();
            let detail = e
                .detail()
                .map_or_else(|| e.kind().to_string(), str::to_owned);
            Error::new(
                Code::TemplateRefused,
                "the chat template refuses a conversation",
            )
            .in_file(&self.file)
            .why(format!("it says: {detail}{line}"))
            .why(format!("the conversation's roles: {}", roles.join(", ")))
            .fix("make the conversation what the base model's template expects")
        })
    }
}

fn from_config(value: &serde_json::Value, file: &Path) -> Result<String> {
    if let Some(source) = value.as_str() {
        return Ok(source.to_owned());
    }
    let list = value.as_array().into_iter().flatten();
    let named = |entry: &serde_json::Value, key: &str| {
        entry.get(key).and_then(|v| v.as_str()).map(str::to_owned)
    };
    let mut names = Vec::new();
    for entry in list {
        let name = named(entry, "name").unwrap_or_default();
        if name == "default"
            && let Some(source) = named(entry, "template")
        {
            return Ok(source);
        }
        names.push(name);
    }
    Err(Error::new(
        Code::BadTokenizer,
        "tokenizer_config.json names no default chat template",
    )
    .in_file(file)
    .why(format!("its `{NAME}` lists: {}", names.join(", ")))
    .fix(format!("put the template to use into the folder as {FILE}")))
}

/// `{% generation %}` marks the answer for other trainers; as an `if true` it keeps the whitespace
/// its tags control and nothing else.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|e| start + e) else {
            break;
        };
        let inside = &rest[start + 2..end];
        let word = inside
            .trim_start_matches(['-', '+'])
            .trim_end_matches(['-', '+'])
            .trim();
        text.push_str(&rest[..start + 2]);
        match word {
            "generation" => text.push_str(&inside.replace(word, "if true")),
            "endgeneration" => text.push_str(&inside.replace(word, "endif")),
            _ => text.push_str(inside),
        }
        text.push_str("%}");
        rest = &rest[end + 2..];
    }
    text.push_str(rest);
    text
}
