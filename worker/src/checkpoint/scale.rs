//! The loss scale as counters of a file, where a run computes in fp16.
//!
//! Keeps: all three or none; a file without them is that of a run without a loss scale.

use shared::numerics::{LARGEST_LOSS_SCALE, LossScale};
use shared::tensors::{Reader, Writer};

const SCALE: &str = "loss_scale";
const GOOD_STEPS: &str = "loss_scale_good_steps";
const SKIPPED_STEPS: &str = "loss_scale_skipped_steps";

pub(super) fn write(writer: &mut Writer<'_>, state: Option<LossScale>) -> Result<(), String> {
    let Some(loss_scale) = state else {
        return Ok(());
    };
    writer.counter(SCALE, loss_scale.scale)?;
    writer.counter(GOOD_STEPS, loss_scale.good_steps.into())?;
    writer.counter(SKIPPED_STEPS, loss_scale.skipped_steps)
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<LossScale>, String> {
    if ![SCALE, GOOD_STEPS, SKIPPED_STEPS]
        .iter()
        .any(|key| reader.has(key))
    {
        return Ok(None);
    }
    let scale = reader.counter(SCALE)?;
    if !scale.is_power_of_two() || scale > LARGEST_LOSS_SCALE {
        return Err(format!("{SCALE} is {scale}, no power of two up to 2^62"));
    }
    let good_steps = reader.counter(GOOD_STEPS)?;
    Ok(Some(LossScale {
        scale,
        good_steps: u32::try_from(good_steps)
            .map_err(|_| format!("{GOOD_STEPS} is {good_steps}"))?,
        skipped_steps: reader.counter(SKIPPED_STEPS)?,
    }))
}
