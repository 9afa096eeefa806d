//! Dropout masks as tensors: the same bits wherever a sample is computed.
//!
//! The draw is an integer hash of seed, step, the sample's position in the step, the site and the
//! element; it is computed on the CPU and sent to the device, so every device has the same mask.

use shared::numerics::dropout_mask;
use tch::{Device, Kind, Tensor};

use super::MicroBatch;
use crate::device::{Dropout, TorchResult};

/// What keys the masks of one micro-batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct DropoutKeys {
    pub(super) seed: u64,
    pub(super) step: u64,
    pub(super) first_position: u32,
    pub(super) rows: usize,
    pub(super) length: usize,
    pub(super) p: f64,
}

impl DropoutKeys {
    pub(super) fn new(seed: u64, p: f64, batch: &MicroBatch) -> Self {
        Self {
            seed,
            step: batch.step,
            first_position: batch.first_position,
            rows: batch.rows,
            length: batch.length,
            p,
        }
    }

    /// The mask of one adapted linear, a row per position.
    pub(super) fn mask(
        &self,
        site: usize,
        features: usize,
        device: Device,
    ) -> TorchResult<Dropout> {
        let per_row = self.length * features;
        let mut keep = vec![0u8; self.rows * per_row];
        let site = u32::try_from(site).unwrap_or(u32::MAX);
        for (position, row) in (self.first_position..).zip(keep.chunks_mut(per_row.max(1))) {
            dropout_mask(
                self.seed,
                self.step,
                position,
                site,
                self.length,
                features,
                self.p,
                row,
            );
        }
        let shape = [self.rows * self.length, features].map(|n| i64::try_from(n).unwrap_or(0));
        let keep = Tensor::f_from_data_size(&keep, &shape, Kind::Uint8)?.f_to_device(device)?;
        Ok(Dropout {
            keep,
            scale: 1.0 / (1.0 - self.p),
        })
    }
}
