//! Keys that say one thing together: two that are both set, and contradict each other.
//!
//! Out: the error, at the key that is written later.

use super::layers::Layers;
use crate::error::{Code, Error};

/// `fp16` and `bf16` both true; the one written later is the one that contradicts.
pub(super) fn both_precisions(layers: &Layers) -> Error {
    let (first, second) = layers.in_writing_order("fp16", "bf16");
    let origin = layers.origin_of(first);
    Error::new(Code::Contradiction, "`fp16` and `bf16` are both true")
        .at(layers.place_of(second))
        .why(format!(
            "`{first}` is true by {origin}, and compute has one data type"
        ))
        .fix("keep one of them, such as `--set fp16=false`")
}

/// `train_on_inputs` is written and says something else than `loss_on`; `all` is what the latter says.
pub(super) fn loss_on_and_train_on_inputs(layers: &Layers, all: bool) -> Error {
    let (first, second) = layers.in_writing_order("train_on_inputs", "loss_on");
    let what = format!(
        "`train_on_inputs` is {}, and `loss_on` {}",
        !all,
        if all { "is `all`" } else { "is not `all`" }
    );
    Error::new(Code::Contradiction, what)
        .at(layers.place_of(second))
        .why(format!(
            "`{first}` is set by {}; `train_on_inputs: true` and `loss_on: all` mean the same",
            layers.origin_of(first)
        ))
        .fix(format!(
            "--set train_on_inputs={all} goes with this `loss_on`"
        ))
        .fix("or remove `train_on_inputs`: `loss_on` alone says it all")
}

/// Two keys that say the same thing in different ways.
pub(super) fn two_that_say_the_same(
    layers: &Layers,
    one: &'static str,
    other: &'static str,
) -> Error {
    let (first, second) = layers.in_writing_order(one, other);
    Error::new(
        Code::Contradiction,
        format!("`{one}` and `{other}` are both set"),
    )
    .at(layers.place_of(second))
    .why(format!(
        "`{first}` is set by {}; both say where the samples are found",
        layers.origin_of(first)
    ))
    .fix(format!("remove one of them; `{other}` says more"))
}
