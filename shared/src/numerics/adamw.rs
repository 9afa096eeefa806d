//! Clip and AdamW, element by element as torch does in f32.
//!
//! In: the state, the reduced integers, their norm and the learning rate. Out: the next state, in another buffer, so
//! that a step can be thrown away until it is committed.
//!
//! The rule of `torch.optim.AdamW` (decoupled decay, bias-corrected moments, eps outside the root) after
//! `clip_grad_norm_`, for each of the N elements, q the reduced integer and t the number of updates with this one:
//!
//! ```text
//! c  = min(1, max_grad_norm / (grad_norm + 1e-6))      1 where max_grad_norm is 0
//! g  = c * q * 2^-44
//! m' = beta1 * m + (1 - beta1) * g
//! v' = beta2 * v + (1 - beta2) * g^2
//! p' = p * (1 - lr * decay) - lr / (1 - beta1^t) * m' / (sqrt(v') / sqrt(1 - beta2^t) + eps)
//! lr = learning_rate * the group's lr_factor;  decay = weight_decay, or 0 where the group does not decay
//! ```
//!
//! Keeps: bitwise the same for any number of threads and on any machine; c is computed in f32, the other factors in f64
//! and rounded once, the elements in f32; powers by multiplication only, no fused multiply-add.

use serde::{Deserialize, Serialize};

use super::clip::clip_factor;
use super::fixed_point::dequantize;
use super::parallel::{each, share};
use super::state::AdapterState;

/// Constants of the optimizer, torch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// `beta1`: the share of the first moment that stays in one update.
    pub beta1: f64,
    /// `beta2`: the share of the second moment that stays in one update.
    pub beta2: f64,
    /// Added to the root of the second moment, so that a division by 0 cannot be.
    pub eps: f64,
    /// Decoupled weight decay, per unit of learning rate; 0 is none.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// A contiguous range of elements with its own learning rate factor and weight decay: torch's parameter group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamGroup {
    /// Index behind the group's last element; the group begins where the one before ends.
    pub end: usize,
    /// Factor on the learning rate.
    pub lr_factor: f64,
    /// Whether weight decay applies to the group.
    pub decays: bool,
}

/// Everything but state and gradient that one update depends on.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Largest L2 norm that the gradient keeps; 0 never clips.
    pub max_grad_norm: f64,
    /// Learning rate of the step, before a group's factor.
    pub learning_rate: f64,
    /// The optimizer's constants.
    pub adamw: AdamW,
    /// Parameter groups in the order of their elements; none is one group of all elements, which decays, with factor 1.
    pub groups: &'a [ParamGroup],
}

/// Factors of the update that are the same for every element of a group in one step.
#[derive(Clone, Copy)]
struct Factors {
    /// Factor on the gradient, from 0 to 1: `c`.
    clip: f32,
    /// `1 - lr * decay`, on the parameter.
    decay: f32,
    /// `1 - beta1`, the weight of the gradient in the first moment.
    one_minus_beta1: f32,
    /// `beta2`, the share of the second moment that stays.
    beta2: f32,
    /// `1 - beta2`, the weight of the squared gradient.
    one_minus_beta2: f32,
    /// `sqrt(1 - beta2^t)`, the bias correction of the second moment.
    sqrt_bias_correction2: f32,
    eps: f32,
    /// `-lr / (1 - beta1^t)`, with the bias correction of the first moment.
    step_size: f32,
}

/// Writes the state after one update of all elements into `next`; `state` stays as it is.
pub fn apply(state: &AdapterState, next: &mut AdapterState, total: &[i64], update: &Update<'_>) {
    debug_assert_eq!(state.len(), total.len());
    let n = state.len();
    next.step = state.step.next();
    next.optimizer_steps = state.optimizer_steps + 1;
    next.loss_scale = state.loss_scale.map(|scale| scale.after(false));
    for values in [&mut next.params, &mut next.m, &mut next.v] {
        values.resize(n, 0.0);
    }
    let all = [ParamGroup {
        end: n,
        lr_factor: 1.0,
        decays: true,
    }];
    let groups = if update.groups.is_empty() {
        &all
    } else {
        update.groups
    };
    let ends: Vec<(usize, Factors)> = groups
        .iter()
        .map(|group| (group.end, factors(next.optimizer_steps, update, group)))
        .collect();
    let share = share(n);
    let old = state
        .params
        .chunks(share)
        .zip(state.m.chunks(share))
        .zip(state.v.chunks(share));
    let new =
        (next.params.chunks_mut(share).zip(next.m.chunks_mut(share))).zip(next.v.chunks_mut(share));
    let shares = (0..)
        .step_by(share)
        .zip(old.zip(new).zip(total.chunks(share)));
    each(shares, |(from, (((old, v), (new, next_v)), total))| {
        update_groups(
            from,
            (old.0, old.1, v),
            (new.0, new.1, next_v),
            total,
            &ends,
        );
    });
}

/// Updates a share that begins at element `from`, cut where groups end.
fn update_groups(
    from: usize,
    old: Old<'_>,
    new: New<'_>,
    total: &[i64],
    ends: &[(usize, Factors)],
) {
    let (p, m, v) = old;
    let (next_p, next_m, next_v) = new;
    let mut start = 0;
    for (end, factors) in ends {
        let end = end.saturating_sub(from).min(total.len());
        if end <= start {
            continue;
        }
        let part = start..end;
        update(
            (&p[part.clone()], &m[part.clone()], &v[part.clone()]),
            (
                &mut next_p[part.clone()],
                &mut next_m[part.clone()],
                &mut next_v[part.clone()],
            ),
            &total[part],
            factors,
        );
        start = end;
    }
}

fn factors(number: u64, update: &Update<'_>, group: &ParamGroup) -> Factors {
    let (adamw, learning_rate) = (&update.adamw, update.learning_rate * group.lr_factor);
    let weight_decay = if group.decays {
        adamw.weight_decay
    } else {
        0.0
    };
    let correction1 = 1.0 - power(adamw.beta1, number);
    let correction2 = 1.0 - power(adamw.beta2, number);
    Factors {
        clip: clip_factor(update.grad_norm, update.max_grad_norm),
        decay: (1.0 - learning_rate * weight_decay) as f32,
        one_minus_beta1: (1.0 - adamw.beta1) as f32,
        beta2: adamw.beta2 as f32,
        one_minus_beta2: (1.0 - adamw.beta2) as f32,
        sqrt_bias_correction2: correction2.sqrt() as f32,
        eps: adamw.eps as f32,
        step_size: -(learning_rate / correction1) as f32,
    }
}

/// `base` to the power `exponent` by squaring: the same bits everywhere.
fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}

type Old<'a> = (&'a [f32], &'a [f32], &'a [f32]);
type New<'a> = (&'a mut [f32], &'a mut [f32], &'a mut [f32]);

fn update(old: Old<'_>, new: New<'_>, total: &[i64], f: &Factors) {
    let n = total.len();
    // Equal lengths, said once, let the loop run without checks and in vectors.
    let (p, m, v) = (&old.0[..n], &old.1[..n], &old.2[..n]);
    let (next_p, next_m, next_v) = (&mut new.0[..n], &mut new.1[..n], &mut new.2[..n]);
    for i in 0..n {
        let g = dequantize(total[i]) as f32 * f.clip;
        let mi = if f.one_minus_beta1 < 0.5 {
            m[i] + f.one_minus_beta1 * (g - m[i])
        } else {
            g - (g - m[i]) * (1.0 - f.one_minus_beta1)
        };
        let vi = v[i] * f.beta2 + (f.one_minus_beta2 * g) * g;
        let denominator = vi.sqrt() / f.sqrt_bias_correction2 + f.eps;
        next_p[i] = p[i] * f.decay + (f.step_size * mi) / denominator;
        next_m[i] = mi;
        next_v[i] = vi;
    }
}

#[cfg(test)]
#[path = "adamw_tests.rs"]
mod tests;
