//! The chat template: a conversation to the text the model was taught on.
//!
//! In: the templates of a folder. Out: text.
//! Keeps: the rendering of the Python implementation (trimmed blocks, Python's string methods,
//! loop controls, Python's printing). `{% generation %}` blocks say what the answers are and change
//! no text. No template is ever guessed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value};

use super::sources::{self, DEFAULT, Sources, TOOL_USE};
use super::special::{self, SpecialTokens};
use super::{Message, TextTokenizer, control, functions, generation, jinja};
use crate::error::{Code, Error, Result};

/// A compiled chat template with the tokens it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
    file: PathBuf,
    named: BTreeMap<String, Traits>,
}

/// What a template's source tells of it.
#[derive(Clone, Copy, Debug)]
struct Traits {
    reads_clock: bool,
    marks: bool,
    asks_for_prompt: bool,
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
        let Some(sources) = sources::find(folder)? else {
            return Ok(None);
        };
        let tokens = SpecialTokens::read(folder)?.named;
        Self::compile(sources, tokens).map(Some)
    }

    /// The failure of a folder without a template.
    #[must_use]
    pub fn missing(folder: &Path) -> Error {
        Error::new(Code::BadTokenizer, "the base model has no chat template")
            .in_file(folder)
            .why(format!(
                "looked for {} and for `{}` in {}",
                sources::FILE,
                sources::KEY,
                special::CONFIG
            ))
            .why("conversations cannot be turned into the model's text without it; none is guessed")
            .fix("use the chat or instruct variant of the base model")
            .fix(format!(
                "or put the model's own template into the folder as {}",
                sources::FILE
            ))
    }

    fn compile(sources: Sources, tokens: BTreeMap<String, String>) -> Result<Self> {
        let Sources { file, named: all } = sources;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|e| special::broken(&file, &e.to_string()))?);
        jinja::extend(&mut environment);
        environment.add_filter(generation::FILTER, |text: Value| generation::mark(&text));
        let mut named = BTreeMap::new();
        for (name, source) in all {
            let marking = generation::marking(&source);
            let traits = Traits {
                reads_clock: source.contains("strftime_now"),
                marks: marking.is_some(),
                asks_for_prompt: source.contains("add_generation_prompt"),
            };
            let plain = generation::plain(&source);
            let mut added = environment.add_template_owned(name.clone(), plain);
            if let (Ok(()), Some(marking)) = (&added, marking) {
                added = environment.add_template_owned(marking_name(&name), marking);
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
            named.insert(name, traits);
        }
        Ok(Self {
            environment,
            tokens,
            file,
            named,
        })
    }

    /// The name of the template for a conversation, as transformers picks it.
    fn pick(&self, tools: Option<&serde_json::Value>) -> &'static str {
        match tools {
            Some(_) if self.named.contains_key(TOOL_USE) => TOOL_USE,
            _ => DEFAULT,
        }
    }

    fn traits(&self, tools: Option<&serde_json::Value>) -> Option<&Traits> {
        self.named.get(self.pick(tools))
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
        self.named.values().any(|traits| traits.reads_clock)
    }

    /// The token that ends a text, as the template is told it.
    #[must_use]
    pub fn eos_token(&self) -> Option<&str> {
        self.tokens.get("eos_token").map(String::as_str)
    }

    /// Whether a template has `{% generation %}` blocks, which say what the answers are.
    #[must_use]
    pub fn marks_answers(&self) -> bool {
        self.named.values().any(|traits| traits.marks)
    }

    /// Whether the template for a conversation with these tools has such blocks.
    #[must_use]
    pub fn marks_answers_with(&self, tools: Option<&serde_json::Value>) -> bool {
        self.traits(tools).is_some_and(|traits| traits.marks)
    }

    /// Whether the template for a conversation with these tools looks at `add_generation_prompt` at all.
    #[must_use]
    pub fn asks_for_prompt(&self, tools: Option<&serde_json::Value>) -> bool {
        self.traits(tools)
            .is_some_and(|traits| traits.asks_for_prompt)
    }

    /// Whether the template's source holds this word, such as the name of a role it treats apart.
    #[must_use]
    pub fn mentions(&self, word: &str) -> bool {
        let mut sources = self.environment.templates();
        sources.any(|(_, template)| template.source().contains(word))
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
        self.render_as(self.pick(tools), messages, tools, add_generation_prompt)
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
        if !self.marks_answers_with(tools) {
            return Ok(Marked {
                text: plain,
                answers: Vec::new(),
            });
        }
        let marking = marking_name(self.pick(tools));
        let marked = self.render_as(&marking, messages, tools, false)?;
        let (text, answers) = generation::unmarked(&marked);
        if text != plain {
            return Err(refused(
                "the template goes on working on the text of a {% generation %} block after its end",
            )
            .fix("write such a block around what is written out, or take the tags out"));
        }
        Ok(Marked { text, answers })
    }

    /// The ids of a conversation up to where an answer would begin. Special tokens that its texts spell are text, unless
    /// `keep` says that they are to be what they spell.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`] and [`ChatTemplate::quoted`]; what is wrong with the tokenizer.
    pub fn prompt(
        &self,
        tokenizer: &TextTokenizer,
        messages: &[Message],
        keep: bool,
    ) -> Result<Vec<u32>> {
        let text = self.render(messages, true)?;
        let quoted = if keep || tokenizer.spelled(messages, None).is_empty() {
            Vec::new()
        } else {
            self.quoted(tokenizer, messages, None, true, &text)?
        };
        Ok(tokenizer.encode_quoting(&text, &quoted)?.ids)
    }

    /// Where a rendering of a conversation spells special tokens that its texts hold, in order.
    ///
    /// # Errors
    /// [`Code::TemplateRefused`] when the template looks at such a spelling, so that it cannot be told.
    pub fn quoted(
        &self,
        tokenizer: &TextTokenizer,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
        text: &str,
    ) -> Result<Vec<usize>> {
        let spellings = tokenizer.spellings();
        let messages: Vec<Message> = messages
            .iter()
            .map(|m| spellings.quoted_message(m))
            .collect();
        let tools = tools.map(|tools| spellings.quoted_value(tools));
        let marked = self.render_with(&messages, tools.as_ref(), add_generation_prompt)?;
        let (unmarked, places) = control::unquoted(&marked);
        if unmarked == text {
            return Ok(places);
        }
        Err(Error::new(
            Code::TemplateRefused,
            "a special token in a text cannot be kept as text",
        )
        .in_file(&self.file)
        .why("the chat template looks for it, or writes the text in another way")
        .fix("take the special token out of the text")
        .fix("or --set special_tokens_in_text=keep, which makes special tokens of them"))
    }

    fn render_as(
        &self,
        name: &str,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        if self.pick(tools) == DEFAULT && !self.named.contains_key(DEFAULT) {
            return Err(Error::new(
                Code::TemplateRefused,
                "the base model has no chat template for a conversation without tools",
            )
            .in_file(&self.file)
            .why("it names `tool_use` and no `default`")
            .fix(format!(
                "put the template for such conversations into the folder as {}",
                sources::FILE
            )));
        }
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
            let error = Error::new(
                Code::TemplateRefused,
                "the chat template refuses a conversation",
            )
            .in_file(&self.file)
            .why(format!("it says: {detail}{line}"))
            .why(format!("the conversation's roles: {}", roles.join(", ")));
            match messages.iter().position(without_content) {
                Some(index) => error
                    .why(format!(
                        "message {} has no `content`, and the template may read it",
                        index + 1
                    ))
                    .fix(
                        "write `\"content\": \"\"` beside `tool_calls`, instead of null or nothing",
                    ),
                None => error.fix("make the conversation what the base model's template expects"),
            }
        })
    }
}

/// Names of a thought, in the order that transformers looks for them.
const THOUGHTS: &[&str] = &["reasoning_content", "thinking", "reasoning"];

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
    let mut named = THOUGHTS.iter().filter_map(|name| fields.get(*name));
    let Some(thought) = named.find(|thought| !thought.is_null()) else {
        return Value::from_pairs(fields.iter().map(field));
    };
    // As transformers: whichever name a thought has, templates find it under `reasoning_content` and `thinking`.
    let thought = functions::from_json(thought);
    let mut all: Vec<(String, Value)> = Vec::with_capacity(fields.len() + 2);
    let thinking = fields.get_key_value("thinking").map(field);
    all.push(thinking.unwrap_or_else(|| ("thinking".to_owned(), thought.clone())));
    let others = fields.iter().filter(|(key, _)| *key != "thinking");
    all.extend(others.map(field));
    match all.iter_mut().find(|(key, _)| key == "reasoning_content") {
        Some((_, value)) => *value = thought,
        None => all.push(("reasoning_content".to_owned(), thought)),
    }
    Value::from_pairs(all)
}

/// Whether the template sees no content in a message: one that is null is left out, as transformers does.
fn without_content(message: &Message) -> bool {
    let fields = message.fields.as_ref();
    fields.is_some_and(|fields| !fields.contains_key("content"))
}

fn marking_name(name: &str) -> String {
    format!("{name} that marks")
}
