//! Rotary positions: cosines and sines per position, and turning queries and keys by them.
//!
//! In: [`Rope`], lengths of samples. Out, for position t and pair j of the D turned elements of a head:
//!
//! ```text
//! f_j      = 1 / wavelength_j,  wavelength_j = theta^(2 j / D)         j from 0 to D/2 - 1
//! angle_tj = t * f_j
//! cos, sin                                                             [T, D], each angle at j and at j + D/2
//! x'_j       = x_j cos_tj - x_(j + D/2) sin_tj                         applied by `device::rotated`
//! x'_(j+D/2) = x_(j + D/2) cos_tj + x_j sin_tj
//! ```
//!
//! and with scaling, r a ramp from 0 to 1 over the pairs:
//!
//! ```text
//! linear     f_j / factor
//! dynamic    theta' = theta (factor * length / max - (factor - 1))^(D / (D - 2)) in samples longer than max
//! llama3     f_j / factor for wavelengths above original / low, f_j below original / high, a mixture between
//! yarn       r_j f_j / factor + (1 - r_j) f_j,  cos and sin times attention_factor
//! longrope   f_j / short_factor_j or f_j / long_factor_j,  cos and sin times attention_factor
//! ```
//!
//! Keeps: what a position is turned by depends on its place in its sample and, in the scalings where it does at all, on
//! that sample's length; never on what else is in a batch or was there before. Frequencies are computed in f32 in
//! transformers' order of operations, so that angles agree to the last bit; the tables are cast to the type of compute
//! as it does.

use std::cell::RefCell;

use shared::model::{Rope, RopeScaling};
use tch::{Device, Kind, Tensor};

use crate::device::TorchResult;

/// Tables of cosines and sines for one kind of rotary positions: a cache that grows on demand. How long the tables are
/// is seen nowhere.
#[derive(Debug)]
pub(super) struct RopeTable {
    rope: Rope,
    device: Device,
    kind: Kind,
    plain: RefCell<Table>,
    /// Table of samples beyond the length of the first training, where those have frequencies of their own.
    long: Option<RefCell<Table>>,
}

#[derive(Debug)]
struct Table {
    frequencies: Tensor,
    cos_TD: Tensor,
    sin_TD: Tensor,
}

/// Which frequencies turn the positions of a sample: its length may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrequencySet {
    /// The frequencies of every sample, or of the samples that are not too long.
    Plain,
    /// The frequencies of all samples that are longer than the first training's.
    Long,
    /// The frequencies of samples of exactly this length, in tokens.
    Exact(i64),
}

impl RopeTable {
    pub(super) fn new(rope: &Rope, length: i64, device: Device, kind: Kind) -> TorchResult<Self> {
        let table = |set| Table::new(rope, set, length, device, kind).map(RefCell::new);
        let long = match rope.scaling {
            RopeScaling::LongRope { .. } => Some(table(FrequencySet::Long)?),
            _ => None,
        };
        Ok(Self {
            rope: rope.clone(),
            device,
            kind,
            plain: table(FrequencySet::Plain)?,
            long,
        })
    }

    /// The frequencies of a sample of this length in tokens.
    #[expect(clippy::cast_precision_loss, reason = "a sample is shorter than 2^52")]
    pub(super) fn frequency_set(&self, length: i64) -> FrequencySet {
        match &self.rope.scaling {
            RopeScaling::Dynamic {
                max_position_embeddings,
                ..
            } if length as f64 > *max_position_embeddings => FrequencySet::Exact(length),
            RopeScaling::LongRope {
                original_max_position_embeddings,
                ..
            } if length as f64 > *original_max_position_embeddings => FrequencySet::Long,
            _ => FrequencySet::Plain,
        }
    }

    /// Cosines and sines of `length` positions from `start`, each `[T, 1, D]`.
    pub(super) fn at(&self, start: i64, length: i64) -> TorchResult<(Tensor, Tensor)> {
        let (cos, sin) = self.part(start, length)?;
        Ok((cos.f_unsqueeze(1)?, sin.f_unsqueeze(1)?))
    }

    /// Cosines and sines of samples of these lengths behind each other, each from position 0, `[T, 1, D]`.
    pub(super) fn packed(&self, lengths: &[i64]) -> TorchResult<(Tensor, Tensor)> {
        let parts = lengths.iter().map(|&length| self.part(0, length));
        let (cos, sin): (Vec<_>, Vec<_>) =
            parts.collect::<TorchResult<Vec<_>>>()?.into_iter().unzip();
        let all = |parts: &[Tensor]| Tensor::f_cat(parts, 0)?.f_unsqueeze(1);
        Ok((all(&cos)?, all(&sin)?))
    }

    /// Cosines and sines `[T, D]` of positions that are the last of their sample.
    fn part(&self, start: i64, length: i64) -> TorchResult<(Tensor, Tensor)> {
        let end = start + length;
        let set = self.frequency_set(end);
        let table = match (set, &self.long) {
            (FrequencySet::Exact(_), _) => {
                let exact = Table::new(&self.rope, set, end, self.device, self.kind)?;
                return exact.part(start, length);
            }
            (FrequencySet::Long, Some(long)) => long,
            _ => &self.plain,
        };
        let mut table = table.borrow_mut();
        table.grow(&self.rope, end, self.kind)?;
        table.part(start, length)
    }
}

impl Table {
    fn new(
        rope: &Rope,
        set: FrequencySet,
        length: i64,
        device: Device,
        kind: Kind,
    ) -> TorchResult<Self> {
        let frequencies = frequencies(rope, set)?.f_to_device(device)?;
        let (cos_TD, sin_TD) = tables(&frequencies, rope, length, kind)?;
        Ok(Self {
            frequencies,
            cos_TD,
            sin_TD,
        })
    }

    /// Computes the table anew where it is too short for so many positions.
    fn grow(&mut self, rope: &Rope, length: i64, kind: Kind) -> TorchResult<()> {
        let have = self.cos_TD.size()[0];
        if length > have {
            let longer = length.max(2 * have);
            (self.cos_TD, self.sin_TD) = tables(&self.frequencies, rope, longer, kind)?;
        }
        Ok(())
    }

    /// Cosines and sines `[T, D]` of `length` positions from `start`.
    fn part(&self, start: i64, length: i64) -> TorchResult<(Tensor, Tensor)> {
        let part = |of: &Tensor| of.f_narrow(0, start, length);
        Ok((part(&self.cos_TD)?, part(&self.sin_TD)?))
    }
}

fn tables(
    frequencies: &Tensor,
    rope: &Rope,
    length: i64,
    kind: Kind,
) -> TorchResult<(Tensor, Tensor)> {
    let positions = Tensor::f_arange(length, (Kind::Float, frequencies.device()))?;
    let half = positions
        .f_unsqueeze(1)?
        .f_mul(&frequencies.f_unsqueeze(0)?)?;
    let angles = Tensor::f_cat(&[&half, &half], 1)?;
    let scaled = |values: Tensor| match rope.scaling {
        RopeScaling::Yarn {
            attention_factor, ..
        }
        | RopeScaling::LongRope {
            attention_factor, ..
        } => values.f_mul_scalar(attention_factor)?.f_to_kind(kind),
        _ => values.f_to_kind(kind),
    };
    Ok((scaled(angles.f_cos()?)?, scaled(angles.f_sin()?)?))
}

/// Frequencies `[D/2]` of the turned pairs of a head, f32 on the CPU.
fn frequencies(rope: &Rope, set: FrequencySet) -> TorchResult<Tensor> {
    let dims = i64::try_from(rope.dims).unwrap_or(i64::MAX);
    let exponents = Tensor::f_arange_start_step(0, dims, 2, (Kind::Float, Device::Cpu))?
        .f_divide_scalar(dims)?;
    let wavelengths = Tensor::f_pow_scalar(rope.theta, &exponents)?;
    match (&rope.scaling, set) {
        (RopeScaling::Default, _) => wavelengths.f_reciprocal(),
        (RopeScaling::Linear { factor }, _) => wavelengths.f_reciprocal()?.f_div_scalar(*factor),
        (
            RopeScaling::Dynamic {
                factor,
                max_position_embeddings,
            },
            FrequencySet::Exact(length),
        ) => larger_base(rope, *factor, *max_position_embeddings, length)?
            .f_pow(&exponents)?
            .f_reciprocal(),
        (RopeScaling::Dynamic { .. }, _) => wavelengths.f_reciprocal(),
        (RopeScaling::Llama3 { .. }, _) => {
            let plain: Vec<f32> = Vec::try_from(wavelengths.f_reciprocal()?)?;
            let scaled: Vec<f32> = plain
                .into_iter()
                .map(|f| llama3(&rope.scaling, f))
                .collect();
            Tensor::f_from_slice(&scaled)
        }
        (RopeScaling::Yarn { factor, .. }, _) => {
            let whole = wavelengths.f_reciprocal()?;
            let stretched = wavelengths.f_mul_scalar(*factor)?.f_reciprocal()?;
            let keep = yarn_ramp(rope)?.f_neg()?.f_add_scalar(1.0)?;
            let rest = keep.f_neg()?.f_add_scalar(1.0)?;
            stretched.f_mul(&rest)?.f_add(&whole.f_mul(&keep)?)
        }
        (
            RopeScaling::LongRope {
                short_factor,
                long_factor,
                ..
            },
            set,
        ) => {
            let factors = if set == FrequencySet::Long {
                long_factor
            } else {
                short_factor
            };
            Tensor::f_from_slice(factors)?
                .f_to_kind(Kind::Float)?
                .f_mul(&wavelengths)?
                .f_reciprocal()
        }
    }
}

/// The base theta' of a sample that is longer than the model was made for, in f32 as the reference computes it.
#[expect(clippy::cast_precision_loss, reason = "a head's width is small")]
fn larger_base(rope: &Rope, factor: f64, max: f64, length: i64) -> TorchResult<Tensor> {
    let dims = rope.dims as f64;
    Tensor::f_from_slice(&[length])?
        .f_to_kind(Kind::Float)?
        .f_mul_scalar(factor)?
        .f_div_scalar(max)?
        .f_sub_scalar(factor - 1.0)?
        .f_pow_tensor_scalar(dims / (dims - 2.0))?
        .f_mul_scalar(rope.theta)
}

/// The ramp r `[D/2]`: 0 for pairs that are not stretched, 1 for those that are.
#[expect(clippy::cast_precision_loss, reason = "a head's width is small")]
fn yarn_ramp(rope: &Rope) -> TorchResult<Tensor> {
    let RopeScaling::Yarn {
        original_max_position_embeddings: original,
        beta_fast,
        beta_slow,
        truncate,
        ..
    } = rope.scaling
    else {
        return Tensor::f_from_slice(&[0f32]);
    };
    let dims = rope.dims as f64;
    let pair = |turns: f64| {
        dims * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * rope.theta.ln())
    };
    let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dims - 1.0));
    if low == high {
        high += 0.001;
    }
    let pairs = i64::try_from(rope.dims / 2).unwrap_or(i64::MAX);
    Tensor::f_arange(pairs, (Kind::Float, Device::Cpu))?
        .f_sub_scalar(low)?
        .f_div_scalar(high - low)?
        .f_clamp(0.0, 1.0)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the reference computes in f32"
)]
fn llama3(scaling: &RopeScaling, frequency: f32) -> f32 {
    let RopeScaling::Llama3 {
        factor,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings: original,
    } = scaling
    else {
        return frequency;
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn values(rope: &Rope, set: FrequencySet) -> Vec<f32> {
        Vec::try_from(frequencies(rope, set).unwrap()).unwrap()
    }

    #[test]
    fn a_dynamic_base_grows_with_the_sample_and_only_beyond_the_limit() {
        let rope = Rope {
            theta: 10_000.0,
            dims: 8,
            scaling: RopeScaling::Dynamic {
                factor: 2.0,
                max_position_embeddings: 16.0,
            },
        };
        let table = RopeTable::new(&rope, 4, Device::Cpu, Kind::Float).unwrap();
        assert_eq!(table.frequency_set(16), FrequencySet::Plain);
        assert_eq!(table.frequency_set(17), FrequencySet::Exact(17));
        let packed = table.packed(&[16, 24]).unwrap();
        let alone = table.at(0, 24).unwrap();
        assert_eq!(packed.0.narrow(0, 16, 24), alone.0);
        let (short, long) = (
            values(&rope, FrequencySet::Plain),
            values(&rope, FrequencySet::Exact(24)),
        );
        assert_eq!(short[0], long[0]);
        assert!(long[3] < short[3], "{long:?} {short:?}");
    }

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
            dims: 128,
            scaling: RopeScaling::Default,
        };
        let stretched = Rope {
            theta: 500_000.0,
            dims: 128,
            scaling,
        };
        let (a, b) = (
            values(&plain, FrequencySet::Plain),
            values(&stretched, FrequencySet::Plain),
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
            dims: 8,
            scaling: RopeScaling::Default,
        };
        let table = RopeTable::new(&rope, 4, Device::Cpu, Kind::Float).unwrap();
        let packed = table.packed(&[3, 1, 6]).unwrap();
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
            dims: 8,
            scaling: RopeScaling::Linear { factor: 2.0 },
        };
        let short = RopeTable::new(&rope, 4, Device::Cpu, Kind::Float).unwrap();
        let long = RopeTable::new(&rope, 64, Device::Cpu, Kind::Float).unwrap();
        let (a, b) = (short.at(10, 5).unwrap(), long.at(10, 5).unwrap());
        assert_eq!(a.0, b.0);
        assert_eq!(a.1, b.1);
    }
}
