//! `worker generate`: the model's greedy answer to one prompt.
//!
//! The prompt is one user turn through the chat template. stdout holds the new text and nothing
//! else, as it comes: no special token, no newline of ours. What was streamed is the whole decode.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use serde_json::Value;
use shared::error::{Code, Error, ExitCode, Result};
use shared::model::ModelConfig;
use shared::text::{ChatTemplate, Message, StreamDecoder, TextTokenizer};

use super::GenerateArgs;
use crate::adapter::PeftAdapter;
use crate::device;
use crate::model::GreedyModel;

/// Answers one prompt on stdout.
///
/// # Errors
/// Whatever is wrong with base model, tokenizer, template, adapter or device.
pub fn run(args: GenerateArgs) -> Result<ExitCode> {
    device::load_cuda();
    let threads = args
        .threads
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(0);
    let device = device::open(args.device.parse()?, threads)?;
    let adapter = args.adapter.as_deref().map(adapter).transpose()?;
    let tokenizer = TextTokenizer::load(&args.base)?;
    let template = ChatTemplate::load(&args.base)?;
    let rendered = template.render(&[Message::new("user", &args.prompt)], true)?;
    let prompt = tokenizer.encode(&rendered)?.ids;
    let mut model = GreedyModel::load(&args.base, adapter.as_ref(), device)?;
    let stop = stop_ids(&args.base, model.config(), &tokenizer)?;
    if prompt.len() + args.max_new_tokens > model.config().max_position_embeddings {
        tracing::warn!(
            prompt = prompt.len(),
            max_position_embeddings = model.config().max_position_embeddings,
            "the answer may grow longer than what the base model was made for"
        );
    }

    let mut stdout = std::io::stdout().lock();
    let mut stream = StreamDecoder::new(&tokenizer, true);
    let mut listening = true;
    model.generate(&prompt, args.max_new_tokens, &stop, |id| {
        listening = say(&mut stdout, &stream.push(id))?;
        Ok(listening)
    })?;
    if listening {
        say(&mut stdout, &stream.finish())?;
    }
    if stdout.is_terminal() {
        anstream::eprintln!();
    }
    Ok(ExitCode::Complete)
}

fn adapter(path: &Path) -> Result<PeftAdapter> {
    if !path.exists() {
        return Err(Error::new(Code::MissingPath, "there is no such adapter")
            .in_file(path)
            .fix("name a PEFT folder or its adapter_model.safetensors"));
    }
    PeftAdapter::load(path)
}

/// Writes text at once; false when nobody listens any more.
fn say(out: &mut impl Write, text: &str) -> Result<bool> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::new(Code::Io, "stdout cannot be written").why(error.to_string())),
    }
}

/// Every end-of-text id of generation_config.json, else of config.json, else the tokenizer's.
fn stop_ids(base: &Path, config: &ModelConfig, tokenizer: &TextTokenizer) -> Result<Vec<u32>> {
    let of_generation = generation_stop_ids(&base.join("generation_config.json"))?;
    if !of_generation.is_empty() {
        return Ok(of_generation);
    }
    if !config.eos_token_ids.is_empty() {
        return Ok(config.eos_token_ids.clone());
    }
    Ok(tokenizer
        .eos_token()
        .and_then(|token| tokenizer.token_id(token))
        .into_iter()
        .collect())
}

fn generation_stop_ids(file: &Path) -> Result<Vec<u32>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::new(
                Code::BadModelConfig,
                "generation_config.json cannot be read",
            )
            .in_file(file)
            .why(error.to_string()));
        }
    };
    let bad = |why: String| {
        Error::new(
            Code::BadModelConfig,
            "generation_config.json cannot be used",
        )
        .in_file(file)
        .why(why)
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value.get("eos_token_id") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(id).collect(),
        Some(one) => id(one).map(|id| vec![id]),
    };
    ids.ok_or_else(|| bad("eos_token_id is neither a token id nor a list of them".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stop_id_several_or_none_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("generation_config.json");
        assert!(generation_stop_ids(&file).unwrap().is_empty());
        for (text, expected) in [
            (r#"{"eos_token_id": 2}"#, &[2][..]),
            (r#"{"eos_token_id": [128001, 128009]}"#, &[128_001, 128_009]),
            (r#"{"eos_token_id": null}"#, &[]),
            ("{}", &[]),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(generation_stop_ids(&file).unwrap(), expected);
        }
        std::fs::write(&file, r#"{"eos_token_id": "</s>"}"#).unwrap();
        assert_eq!(
            generation_stop_ids(&file).unwrap_err().code,
            Code::BadModelConfig
        );
    }

    #[test]
    fn a_reader_that_left_ends_the_answer_without_an_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert!(!say(&mut Closed, "text").unwrap());
        assert!(say(&mut Vec::new(), "text").unwrap());
    }
}
