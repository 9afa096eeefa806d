//! `worker generate`: the model's greedy answer to one prompt.
//!
//! The prompt is one user turn through the chat template. stdout holds the new text and nothing
//! else, as it comes: no special token, no newline of ours. What was streamed is the whole decode.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use shared::error::{Code, Error, ExitCode, Result};
use shared::text::{ChatTemplate, Message, StreamDecoder, TextTokenizer, stop_ids};

use super::GenerateArgs;
use crate::adapter::PeftAdapter;
use crate::device;
use crate::generate::GreedyModel;

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
    // What a user types is text, as in training, whatever it spells.
    let prompt = template.prompt(&tokenizer, &[Message::new("user", &args.prompt)], false)?;
    let model = GreedyModel::load(&args.base, adapter.as_ref(), device)?;
    let stop = stop_ids(&args.base, &model.config().eos_token_ids, &tokenizer)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
