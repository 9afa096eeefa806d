//! Integers before any sum, then clip and optimizer: plain IEEE arithmetic in a fixed order.
//!
//! In: micro-batch gradients and token losses as f32. Out: exact integer sums, one next adapter
//! state, digests. Stations: `loss_scale` what fp16 needs, `fixed_point` gradient to integers,
//! `fingerprint` a check that adds like the sums, `clip` and `adamw` total to next state, `state`
//! what is agreed on, `dropout` the one random draw of a step, `parallel`
//! how long vectors are shared out to the threads of the pool that the caller runs in.
//! Keeps: the same bytes on any machine, for any split of the work and any number of threads. So:
//! no fused multiply-add, no transcendental function of the standard library, no order that depends
//! on threads. Not here: sockets, tensors, policy.

mod adamw;
mod clip;
mod dropout;
mod fingerprint;
mod fixed_point;
mod loss_scale;
mod parallel;
mod state;

pub use adamw::{AdamW, ParamGroup, Update, apply};
pub use clip::grad_norm;
pub use dropout::{dropout_mask, dropout_threshold};
pub use fingerprint::{Fingerprint, fingerprint};
pub use fixed_point::{
    GRADIENT_SCALE_BITS, LOSS_SCALE_BITS, Overflow, accumulate, add_losses, dequantize, loss_value,
    quantize_into, quantize_losses,
};
pub use loss_scale::{GROWTH_INTERVAL, LARGEST_LOSS_SCALE, LossScale, unscale};
pub use state::{AdapterState, StateDigests, StateHasher, params_digest, state_digest};
