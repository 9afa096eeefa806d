//! Rotary positions: cosines and sines per position, and turning queries and keys by them.
//!
//! Frequencies are computed in f32 in transformers' order of operations, so that angles agree to
//! the last bit; the tables are cast to the type of compute as it does.

use shared::model::{Rope, RopeScaling};
use tch::{Device, Kind, Tensor};

use crate::device::TorchResult;

/// Tables of cosines and sines, grown on demand.
#[derive(Debug)]
pub(super) struct RopeTable {
    frequencies: Tensor,
    kind: Kind,
    cos_TD: Tensor,
    sin_TD: Tensor,
}

impl RopeTable {
    pub(super) fn new(
        rope: &Rope,
        head_dim: usize,
        length: usize,
        device: Device,
        kind: Kind,
    ) -> TorchResult<Self> {
        let frequencies =
            Tensor::f_from_slice(&frequencies(rope, head_dim)?)?.f_to_device(device)?;
        let (cos_TD, sin_TD) = tables(&frequencies, length, kind)?;
        Ok(Self {
            frequencies,
            kind,
            cos_TD,
            sin_TD,
        })
    }

    /// Cosines and sines of `length` positions from `start`, each `[T, 1, D]`.
    pub(super) fn at(&mut self, start: i64, length: i64) -> TorchResult<(Tensor, Tensor)> {
        self.grow(start + length)?;
        let part = |table: &Tensor| table.f_narrow(0, start, length)?.f_unsqueeze(1);
        Ok((part(&self.cos_TD)?, part(&self.sin_TD)?))
    }

    /// The same for samples of these lengths behind each other, each from position 0.
    pub(super) fn restarted(&mut self, lengths: &[i64]) -> TorchResult<(Tensor, Tensor)> {
        self.grow(lengths.iter().copied().max().unwrap_or(0))?;
        let all = |table: &Tensor| {
            let parts = lengths.iter().map(|&length| table.f_narrow(0, 0, length));
            let parts: Vec<Tensor> = parts.collect::<TorchResult<_>>()?;
            Tensor::f_cat(&parts, 0)?.f_unsqueeze(1)
        };
        Ok((all(&self.cos_TD)?, all(&self.sin_TD)?))
    }

    fn grow(&mut self, length: i64) -> TorchResult<()> {
        let have = self.cos_TD.size()[0];
        if length > have {
            let longer = usize::try_from(length.max(2 * have)).unwrap_or(usize::MAX);
            (self.cos_TD, self.sin_TD) = tables(&self.frequencies, longer, self.kind)?;
        }
        Ok(())
    }
}

/// Turns `[B, T, N, D]` by the tables of its positions.
pub(super) fn rotate(x_BTND: &Tensor, tables: &(Tensor, Tensor)) -> TorchResult<Tensor> {
    let (cos, sin) = tables;
    let half = x_BTND.size()[3] / 2;
    let left = x_BTND.f_narrow(3, 0, half)?;
    let right = x_BTND.f_narrow(3, half, half)?;
    let turned = Tensor::f_cat(&[right.f_neg()?, left], 3)?;
    x_BTND.f_mul(cos)?.f_add(&turned.f_mul(sin)?)
}

fn tables(frequencies: &Tensor, length: usize, kind: Kind) -> TorchResult<(Tensor, Tensor)> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let positions = Tensor::f_arange(length, (Kind::Float, frequencies.device()))?;
    let half = positions
        .f_unsqueeze(1)?
        .f_mul(&frequencies.f_unsqueeze(0)?)?;
    let angles = Tensor::f_cat(&[&half, &half], 1)?;
    Ok((
        angles.f_cos()?.f_to_kind(kind)?,
        angles.f_sin()?.f_to_kind(kind)?,
    ))
}

/// One frequency per pair of a head's elements.
fn frequencies(rope: &Rope, head_dim: usize) -> TorchResult<Vec<f32>> {
    let dim = i64::try_from(head_dim).unwrap_or(i64::MAX);
    let exponents =
        Tensor::f_arange_start_step(0, dim, 2, (Kind::Float, Device::Cpu))?.f_divide_scalar(dim)?;
    let plain = Tensor::f_pow_scalar(rope.theta, &exponents)?.f_reciprocal()?;
    let plain: Vec<f32> = Vec::try_from(plain)?;
    Ok(plain
        .into_iter()
        .map(|frequency| scaled(rope, frequency))
        .collect())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the reference computes in f32"
)]
fn scaled(rope: &Rope, frequency: f32) -> f32 {
    match &rope.scaling {
        RopeScaling::Default => frequency,
        RopeScaling::Linear { factor } => frequency / *factor as f32,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: original,
        } => {
            let wavelength = std::f64::consts::TAU as f32 / frequency;
            if wavelength > (original / low_freq_factor) as f32 {
                frequency / *factor as f32
            } else if wavelength < (original / high_freq_factor) as f32 {
                frequency
            } else {
                let smooth = (*original as f32 / wavelength - *low_freq_factor as f32)
                    / (high_freq_factor - low_freq_factor) as f32;
                (1.0 - smooth) * frequency / *factor as f32 + smooth * frequency
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_keeps_short_waves_and_stretches_long_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        let plain = Rope {
            theta: 500_000.0,
            scaling: RopeScaling::Default,
        };
        let stretched = Rope {
            theta: 500_000.0,
            scaling,
        };
        let (a, b) = (
            frequencies(&plain, 128).unwrap(),
            frequencies(&stretched, 128).unwrap(),
        );
        assert_eq!(a[0], 1.0);
        assert_eq!(b[0], 1.0);
        assert_eq!(b[63], a[63] / 8.0);
        assert!(b[32] < a[32] && b[32] > a[32] / 8.0, "smooth between");
    }

    #[test]
    fn packed_samples_begin_at_position_zero_each() {
        let rope = Rope {
            theta: 10_000.0,
            scaling: RopeScaling::Default,
        };
        let mut table = RopeTable::new(&rope, 8, 4, Device::Cpu, Kind::Float).unwrap();
        let packed = table.restarted(&[3, 1, 6]).unwrap();
        for (from, length) in [(0, 3), (3, 1), (4, 6)] {
            let alone = table.at(0, length).unwrap();
            assert_eq!(packed.0.narrow(0, from, length), alone.0);
            assert_eq!(packed.1.narrow(0, from, length), alone.1);
        }
    }

    #[test]
    fn a_table_grown_later_equals_one_made_long() {
        let rope = Rope {
            theta: 10_000.0,
            scaling: RopeScaling::Linear { factor: 2.0 },
        };
        let mut short = RopeTable::new(&rope, 8, 4, Device::Cpu, Kind::Float).unwrap();
        let mut long = RopeTable::new(&rope, 8, 64, Device::Cpu, Kind::Float).unwrap();
        let (a, b) = (short.at(10, 5).unwrap(), long.at(10, 5).unwrap());
        assert_eq!(a.0, b.0);
        assert_eq!(a.1, b.1);
    }
}
