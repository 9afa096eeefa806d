//! Marks and roles that a run or a template cannot keep.
//!
//! In: a conversation before it is rendered. Out: whether it may be. Keeps: a role that the template does not know is
//! told, and a mark that `loss_on` would pass over.

use shared::config::LossOn;
use shared::error::{Code, Error, Result};
use shared::text::ChatTemplate;

use crate::data::sample::Conversation;

/// A role that not every template knows.
const DEVELOPER: &str = "developer";

/// Refuses marks and roles that this run or this template cannot keep.
pub(crate) fn allowed(
    sample: &Conversation,
    template: &ChatTemplate,
    loss_on: LossOn,
) -> Result<()> {
    if let Some(&index) = sample
        .unlearned_prompts
        .first()
        .filter(|_| loss_on == LossOn::All)
    {
        let role = &sample.messages[index].role;
        return Err(Error::new(
            Code::BadWeight,
            format!(
                "message {} ({role}) is marked as not to be learned, and `loss_on: all` learns it",
                index + 1
            ),
        )
        .why("only answers can be taken out of a whole sequence")
        .fix("--set loss_on=response learns answers only, or take the mark out"));
    }
    let developer = sample.messages.iter().any(|m| m.role == DEVELOPER);
    if developer && !template.mentions(DEVELOPER) {
        return Err(Error::new(
            Code::TemplateRefused,
            "the chat template does not know the role `developer`",
        )
        .in_file(template.file())
        .why("it would be written as a role that the base model was never taught")
        .fix("--set 'roles=[system=developer]' reads it as `system`"));
    }
    Ok(())
}
