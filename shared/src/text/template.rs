//! The chat template: a conversation to the text the model was taught on.
//!
//! In: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`. Out: text.
//! Keeps: the rendering of the Python implementation (trimmed blocks, Python's string methods,
//! loop controls, Python's printing). `{% generation %}` blocks say what the answers are and change
//! no text. No template is ever guessed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value};

use super::special::{self, SpecialTokens};
use super::{Message, functions, generation, jinja};
use crate::error::{Code, Error, Result};

/// The file that wins over `tokenizer_config.json`.
pub(super) const FILE: &str = "chat_template.jinja";
const NAME: &str = "chat_template";
const MARKING: &str = "chat_template that marks";

/// A compiled chat template with the tokens it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
    file: PathBuf,
    reads_clock: bool,
    marks: bool,
}

/// A rendering, and the byte ranges of it that the template's `{% generation %}` blocks wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The whole text that the template wrote.
    pub text: String,
    /// Byte ranges of the answers in that text, in the order they begin.
    pub answers: Vec<Range<usize>>,
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
        jinja::extend(&mut environment);
        environment.add_filter(generation::FILTER, |text: Value| generation::mark(&text));
        let reads_clock = source.contains("strftime_now");
        let marking = generation::marking(source);
        let marks = marking.is_some();
        let mut added = environment.add_template_owned(NAME, generation::plain(source));
        if let (Ok(()), Some(marking)) = (&added, marking) {
            added = environment.add_template_owned(MARKING, marking);
        }
        added.map_err(|e| {
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
            marks,
        })
    }

    /// The file it came from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the template asks for today's date; it is told a fixed day, so that the same data gives the same tokens
    /// tomorrow.
    #[must_use]
    pub fn reads_clock(&self) -> bool {
        self.reads_clock
    }

    /// The token that ends a text, as the template is told it.
    #[must_use]
    pub fn eos_token(&self) -> Option<&str> {
        self.tokens.get("eos_token").map(String::as_str)
    }

    /// Whether the template has `{% generation %}` blocks, which say what the answers are.
    #[must_use]
    pub fn marks_answers(&self) -> bool {
        self.marks
    }

    /// Whether the template's source holds this word, such as the name of a role it treats apart.
    #[must_use]
    pub fn mentions(&self, word: &str) -> bool {
        let source = self.environment.get_template(NAME);
        source.is_ok_and(|template| template.source().contains(word))
    }

    /// Renders a conversation; with `add_generation_prompt` up to where an answer would begin.
    ///
    /// # Errors
    /// [`Code::TemplateRefused`] with the template's own words.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_with(messages, None, add_generation_prompt)
    }

    /// [`ChatTemplate::render`] with the tools that the conversation may call.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_with(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        self.render_as(NAME, messages, tools, add_generation_prompt)
    }

    /// A whole conversation with what the template's own blocks mark as answers.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; also when the template changes a block's text afterwards.
    pub fn render_marked(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
    ) -> Result<Marked> {
        let plain = self.render_with(messages, tools, false)?;
        let refused = |why: &str| {
            Error::new(
                Code::TemplateRefused,
                "what the chat template marks as answers cannot be told",
            )
            .in_file(&self.file)
            .why(why)
        };
        if generation::holds_mark(&plain) {
            return Err(
                refused("the text holds U+FDD0 or U+FDD1, which are no characters")
                    .fix("take them out of the data"),
            );
        }
        if !self.marks {
            return Ok(Marked {
                text: plain,
                answers: Vec::new(),
            });
        }
        let marked = self.render_as(MARKING, messages, tools, false)?;
        let (text, answers) = generation::unmarked(&marked);
        if text != plain {
            return Err(refused(
                "the template goes on working on the text of a {% generation %} block after its end",
            )
            .fix("write such a block around what is written out, or take the tags out"));
        }
        Ok(Marked { text, answers })
    }

    fn render_as(
        &self,
        name: &str,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let mut context: BTreeMap<&str, Value> = self
            .tokens
            .iter()
            .map(|(k, v)| (k.as_str(), Value::from(v.as_str())))
            .collect();
        context.insert("messages", messages.iter().map(turn).collect());
        context.insert("add_generation_prompt", Value::from(add_generation_prompt));
        let tools = tools.map_or(Value::from(()), functions::from_json);
        context.insert("tools", tools);
        context.insert("documents", Value::from(()));
        let rendered = self
            .environment
            .get_template(name)
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

/// A message as the template sees it.
fn turn(message: &Message) -> Value {
    let (role, content) = (message.role.as_str(), message.content.as_str());
    let Some(fields) = &message.fields else {
        return Value::from_pairs([("role", role), ("content", content)]);
    };
    let field = |(key, value): (&String, &serde_json::Value)| {
        let value = match key.as_str() {
            "role" => Value::from(role),
            "content" => Value::from(content),
            _ => functions::from_json(value),
        };
        (key.clone(), value)
    };
    Value::from_pairs(fields.iter().map(field))
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
