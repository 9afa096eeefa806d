//! `eval_prompts` as the token ids that every evaluation answers.

use shared::config::{RunConfig, SpecialTokensInText};
use shared::error::{Code, Error, Result};
use shared::evaluation::Prompts;
use shared::model::ModelConfig;
use shared::text::{ChatTemplate, Message, TextTokenizer, stop_ids};

/// Each prompt as one user turn through the chat template; as it is where the model has none.
///
/// # Errors
/// [`Code::OutOfRange`] when prompt and answer are longer than what the model was made for; what is
/// wrong with the template, the tokenizer or generation_config.json.
pub(super) fn prompts(
    config: &RunConfig,
    model: &ModelConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Prompts> {
    let evaluation = &config.evaluation;
    if evaluation.prompts.is_empty() || !evaluation.is_on() {
        return Ok(Prompts::default());
    }
    let longest = usize::try_from(evaluation.max_new_tokens).unwrap_or(usize::MAX);
    let keep = config.formats.special_tokens == SpecialTokensInText::Keep;
    let ids = evaluation.prompts.iter().map(|prompt| {
        let ids = match template {
            Some(template) => template.prompt(tokenizer, &[Message::new("user", prompt)], keep)?,
            None => tokenizer.encode(prompt)?.ids,
        };
        let most = model.max_position_embeddings;
        if ids.len().saturating_add(longest) > most {
            let tokens = ids.len();
            let what = format!("`eval_prompts`: {prompt:?} and its answer are too long");
            return Err(Error::new(Code::OutOfRange, what)
                .why(format!(
                    "{tokens} tokens and up to {longest} of the answer, the base model was made \
                     for {most}"
                ))
                .fix("shorten the prompt, or set a smaller `eval_max_new_tokens`"));
        }
        Ok(ids)
    });
    Ok(Prompts {
        ids: ids.collect::<Result<_>>()?,
        stop: stop_ids(&config.base_model, &model.eos_token_ids, tokenizer)?,
        max_new_tokens: evaluation.max_new_tokens,
    })
}
