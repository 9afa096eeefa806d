//! Dropout masks as tensors: the same bits wherever a sample is computed.
//!
//! The draw is an integer hash of seed, step, the sample's position in the step, the site and the
//! element; it is computed on the CPU and sent to the device, so every device has the same mask.

use shared::numerics::dropout_mask;
use tch::{Device, Kind, TchError, Tensor};

use super::MicroBatch;
use crate::device::{Dropout, TorchResult};

/// What keys the masks of one micro-batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct DropoutKeys<'a> {
    pub(super) seed: u64,
    pub(super) p: f64,
    pub(super) batch: &'a MicroBatch,
}

impl DropoutKeys<'_> {
    /// The mask of one adapted linear, a row per position.
    pub(super) fn mask(
        &self,
        site: usize,
        features: usize,
        device: Device,
    ) -> TorchResult<Dropout> {
        let batch = self.batch;
        let mut keep = vec![0u8; batch.tokens.len() * features];
        let site = u32::try_from(site).unwrap_or(u32::MAX);
        let mut rest = keep.as_mut_slice();
        for segment in &batch.segments {
            let elements = segment.length * features;
            let (mask, after) = rest.split_at_mut_checked(elements).ok_or_else(|| {
                TchError::Shape("a micro-batch has fewer tokens than its samples".into())
            })?;
            dropout_mask(
                self.seed,
                batch.step,
                segment.position,
                site,
                segment.length,
                features,
                self.p,
                mask,
            );
            rest = after;
        }
        let shape = [batch.tokens.len(), features].map(|n| i64::try_from(n).unwrap_or(0));
        let keep = Tensor::f_from_data_size(&keep, &shape, Kind::Uint8)?.f_to_device(device)?;
        Ok(Dropout {
            keep,
            scale: 1.0 / (1.0 - self.p),
        })
    }
}
