//! The tokenizer: text to ids with byte offsets, and back.
//!
//! In: `tokenizer.json` and the special tokens beside it. Out: ids as the Hugging Face tokenizer
//! gives without adding special tokens; those written in the text are recognized.
//! Keeps: offsets are byte offsets of where a token truly starts, leading space included. So the
//! post-processor is left out: without special tokens to add all it does is to trim offsets.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

use super::control::{Quoting, Spellings};
use super::special::{self, SpecialTokens};
use super::{Message, sources};
use crate::error::{Code, Error, Result};

const FILE: &str = "tokenizer.json";

/// All that belongs beside an adapter so that others tokenize as the training did.
const FILES: &[&str] = &[
    FILE,
    special::CONFIG,
    special::SPECIAL_TOKENS_MAP,
    sources::FILE,
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
];

/// Ids of a text and where each starts and ends in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids in the order of the text, one for each of `offsets`.
    pub ids: Vec<u32>,
    /// Byte offsets into the text, start and end.
    pub offsets: Vec<(usize, usize)>,
}

/// A tokenizer with its special tokens.
#[derive(Debug)]
pub struct TextTokenizer {
    inner: Tokenizer,
    special: SpecialTokens,
    special_ids: BTreeSet<u32>,
    spellings: Spellings,
    rebuilt: bool,
    /// Made when the first text spells a special token.
    quoting: OnceLock<std::result::Result<Quoting, String>>,
    files: Vec<PathBuf>,
    digest: String,
}

impl TextTokenizer {
    /// Loads the tokenizer of a folder.
    ///
    /// # Errors
    /// [`Code::NoTokenizer`] naming the files looked for, [`Code::BadTokenizer`].
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing(folder)),
            Err(e) => return Err(special::broken(&path, &e.to_string())),
        };
        let mut inner =
            Tokenizer::from_bytes(&bytes).map_err(|e| special::broken(&path, &e.to_string()))?;
        let special = SpecialTokens::read(folder)?;
        prepare(&mut inner, &special).map_err(|why| special::broken(&path, &why))?;
        let mut special_ids: BTreeSet<u32> = inner
            .get_added_tokens_decoder()
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| *id)
            .collect();
        special_ids.extend(special.named.values().filter_map(|t| inner.token_to_id(t)));
        let tokens: Vec<String> = special_ids
            .iter()
            .filter_map(|id| inner.id_to_token(*id))
            .collect();
        let spellings = Spellings::of(tokens.iter().map(String::as_str))
            .map_err(|why| special::broken(&path, &why))?;
        let (files, digest) = digest_of(folder)?;
        Ok(Self {
            rebuilt: rebuilt(folder, &bytes)?,
            spellings,
            quoting: OnceLock::new(),
            inner,
            special,
            special_ids,
            files,
            digest,
        })
    }

    /// Ids and byte offsets; adds no special token, recognizes those written in the text.
    ///
    /// # Errors
    /// [`Code::BadTokenizer`] when the tokenizer fails on the text.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        let encoding = self.inner.encode(text, false).map_err(|e| {
            Error::new(Code::BadTokenizer, "the tokenizer fails on a text")
                .why(e.to_string())
                .why(format!(
                    "text: {}",
                    text.chars().take(80).collect::<String>()
                ))
        })?;
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            offsets: encoding.get_offsets().to_vec(),
        })
    }

    /// [`TextTokenizer::encode`], with the special tokens that are spelled at `quoted` as ordinary text. The places are
    /// those that [`super::ChatTemplate::quoted`] tells.
    ///
    /// # Errors
    /// [`Code::BadTokenizer`] when the tokenizer fails, or makes a special token of such a text all the same.
    pub fn encode_quoting(&self, text: &str, quoted: &[usize]) -> Result<Encoded> {
        if quoted.is_empty() {
            return self.encode(text);
        }
        let quoting = self
            .quoting
            .get_or_init(|| Quoting::of(&self.inner, self.special_ids.iter().copied()));
        let failed = |why: String| {
            Error::new(
                Code::BadTokenizer,
                "the tokenizer cannot write a special token as text",
            )
            .why(why)
            .fix("take the special token out of the text")
            .fix("or --set special_tokens_in_text=keep, which makes special tokens of them")
        };
        let quoting = quoting.as_ref().map_err(|why| failed(why.clone()))?;
        let encoded = quoting
            .encode(&self.spellings, text, quoted)
            .map_err(failed)?;
        let mut all = encoded.ids.iter().zip(&encoded.offsets);
        let became = all.find(|(id, (from, _))| {
            self.special_ids.contains(id) && quoted.binary_search(from).is_ok()
        });
        match became {
            Some((id, _)) => Err(failed(format!(
                "{:?} is a word of its vocabulary",
                self.token(*id).unwrap_or_default()
            ))),
            None => Ok(encoded),
        }
    }

    /// The special tokens that the texts of a conversation spell, each once.
    #[must_use]
    pub fn spelled(&self, messages: &[Message], tools: Option<&serde_json::Value>) -> Vec<String> {
        self.spellings.in_conversation(messages, tools)
    }

    /// Bytes of the special token that a text begins with.
    #[must_use]
    pub fn special_at_start(&self, text: &str) -> Option<usize> {
        self.spellings.at_start(text)
    }

    /// The special tokens written in a text, in their order, as byte ranges.
    pub fn specials_in<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        self.spellings.within(text)
    }

    pub(super) fn spellings(&self) -> &Spellings {
        &self.spellings
    }

    /// Text of ids; `skip_special` leaves special tokens out.
    ///
    /// # Errors
    /// [`Code::BadTokenizer`] when the decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let kept: Vec<u32> = ids
            .iter()
            .copied()
            .filter(|id| !skip_special || !self.is_special(*id))
            .collect();
        self.inner.decode(&kept, false).map_err(|e| {
            Error::new(Code::BadTokenizer, "the tokenizer fails on ids").why(e.to_string())
        })
    }

    /// The token that ends a text.
    #[must_use]
    pub fn eos_token(&self) -> Option<&str> {
        self.special.named.get("eos_token").map(String::as_str)
    }

    /// The tokens that the tokenizer puts before every text of its own, such as `<s>`; most have none.
    #[must_use]
    pub fn opening(&self) -> Vec<u32> {
        let ids = |special: bool| {
            let encoding = self.inner.encode("a", special);
            encoding.map_or_else(|_| Vec::new(), |encoding| encoding.get_ids().to_vec())
        };
        let (whole, plain) = (ids(true), ids(false));
        let begins = (0..whole.len()).find(|&at| whole[at..].starts_with(&plain));
        whole[..begins.unwrap_or(0)].to_vec()
    }

    /// The id of a token.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, as the vocabulary spells it.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Every token with an id of at least this, in id order.
    #[must_use]
    pub fn tokens_from(&self, first: u32) -> Vec<(u32, String)> {
        let all = self.inner.get_vocab(true).into_iter();
        let mut found: Vec<(u32, String)> = all
            .filter(|(_, id)| *id >= first)
            .map(|(token, id)| (id, token))
            .collect();
        found.sort();
        found
    }

    /// Whether an id is a special token, which decoded text leaves out.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// Whether transformers 5 builds this tokenizer anew, and gives prompts other ids than the file: one of
    /// `LlamaTokenizer` whose file puts a mark of a space before each text.
    #[must_use]
    pub fn is_rebuilt_by_transformers(&self) -> bool {
        self.rebuilt
    }

    /// The files that belong beside the adapter: tokenizer and template.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Digest over those files, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn missing(folder: &Path) -> Error {
    let mut error = Error::new(Code::NoTokenizer, "the base model has no tokenizer")
        .in_file(folder)
        .why(format!(
            "looked for {FILE}, with {} beside it",
            special::CONFIG
        ));
    if folder.join("tokenizer.model").is_file() {
        error = error.why("tokenizer.model is there, but the fast form of it is needed").fix(
            "convert it once with Python: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        );
    }
    error.fix("base_model must name a whole Hugging Face folder: config, weights and tokenizer")
}

/// Makes the tokenizer what the Python implementation makes of it, short of padding, truncation
/// and the post-processor.
fn prepare(inner: &mut Tokenizer, special: &SpecialTokens) -> std::result::Result<(), String> {
    inner.with_truncation(None).map_err(|e| e.to_string())?;
    inner.with_padding(None);
    inner.with_post_processor(None::<PostProcessorWrapper>);
    let known: BTreeSet<String> = inner
        .get_added_tokens_decoder()
        .into_values()
        .map(|token| token.content)
        .collect();
    let mut add = |token: AddedToken| {
        if known.contains(&token.content) {
            return Ok(());
        }
        inner
            .add_tokens([token])
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    for (_, token) in &special.added {
        add(token.clone())?;
    }
    for (id, token) in &special.added {
        let given = inner.token_to_id(&token.content);
        if given != Some(*id) {
            return Err(format!(
                "{} gives {:?} the id {id}, {FILE} {given:?}",
                special::CONFIG,
                token.content
            ));
        }
    }
    let named = special
        .named
        .iter()
        .map(|(name, text)| (name.as_str(), text));
    let unnamed = special
        .unnamed
        .iter()
        .map(|text| ("additional_special_tokens", text));
    for (name, text) in named.chain(unnamed) {
        if known.contains(text) {
            continue;
        }
        if inner.token_to_id(text).is_some() {
            let token = AddedToken::from(text.clone(), true);
            inner
                .add_special_tokens([token])
                .map_err(|e| e.to_string())?;
        } else if matches!(name, "bos_token" | "eos_token") {
            return Err(format!("{name} {text:?} is not in the vocabulary"));
        }
    }
    Ok(())
}

fn rebuilt(folder: &Path, file: &[u8]) -> Result<bool> {
    let config = special::read_object(&folder.join(special::CONFIG))?;
    let class = config.as_ref().and_then(|c| c.get("tokenizer_class"));
    let llama = class.and_then(|class| class.as_str());
    if !llama.is_some_and(|class| class.starts_with("LlamaTokenizer")) {
        return Ok(false);
    }
    let file: serde_json::Value = serde_json::from_slice(file).unwrap_or_default();
    let normalizer = file.get("normalizer").map(ToString::to_string);
    Ok(normalizer.is_some_and(|text| text.contains("\"Prepend\"")))
}

fn digest_of(folder: &Path) -> Result<(Vec<PathBuf>, String)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"tokenizer-files-1");
    let mut files = Vec::new();
    let more = sources::additional(folder);
    let named = FILES.iter().map(|name| folder.join(name));
    for path in named.chain(more) {
        if !path.is_file() {
            continue;
        }
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let name = name.to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).map_err(|e| special::broken(&path, &e.to_string()))?;
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
        hasher.update(blake3::hash(&bytes).as_bytes());
        files.push(path);
    }
    Ok((files, hasher.finalize().to_hex().to_string()))
}
