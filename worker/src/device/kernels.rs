//! Parts of the model that have a kernel of this program on the CPU, and are libtorch's elsewhere.
//!
//! Keeps: on the CPU the bits are the same for any number of threads (`worker/cshim`); gradients flow to
//! every input that asks for one but tables and masks. Shapes in names: B rows, P positions of all rows,
//! T positions of a row, S of its keys, N heads, K heads of keys and values, D elements of a head, R of
//! them that turn, I inner, C positions that predict, V words.

#![allow(non_snake_case)]

use std::ffi::c_char;

use shared::model::Activation;
use tch::{Reduction, Tensor};

use super::shim::{Pointer, check, maybe, owned, pointer};
use super::torch::TorchResult;

unsafe extern "C" {
    fn shim_has_kernels(value: Pointer) -> i32;
    fn shim_only_operators();
    fn shim_attention(
        query: Pointer,
        key: Pointer,
        value: Pointer,
        seen: Pointer,
        causal: i32,
        scale: f64,
        output: *mut Pointer,
    ) -> *mut c_char;
    fn shim_cross_entropy(logits: Pointer, wanted: Pointer, losses: *mut Pointer) -> *mut c_char;
    fn shim_gated(gate: Pointer, up: Pointer, gelu_tanh: i32, output: *mut Pointer) -> *mut c_char;
    fn shim_normed(input: Pointer, weight: Pointer, eps: f64, output: *mut Pointer) -> *mut c_char;
    fn shim_rotated(
        heads: Pointer,
        cos: Pointer,
        sin: Pointer,
        output: *mut Pointer,
    ) -> *mut c_char;
}

/// Whether kernels of this program compute on the device that holds a tensor: on the CPU.
pub fn has_kernels(value: &Tensor) -> bool {
    // SAFETY: the borrow keeps the tensor alive through the call; the shim reads its device.
    unsafe { shim_has_kernels(pointer(value)) == 1 }
}

/// Switches the kernels of this program off for the rest of the process: the CPU computes as a GPU would, by libtorch's
/// operators. For tests of that on machines without a GPU.
pub fn only_operators() {
    // SAFETY: nothing is passed; the shim sets a flag.
    unsafe { shim_only_operators() };
}

/// Attention `softmax(scale q k^T) v`, `[B, T, N, D]`, of queries `[B, N, T, D]` over keys and values `[B, K, S, D]`.
/// `seen` is true where a query sees a key, `[T, S]`; `causal` hides later positions.
///
/// # Errors
/// libtorch's.
pub fn attention(
    [query, key, value]: [&Tensor; 3],
    seen: Option<&Tensor>,
    causal: bool,
    scale: f64,
) -> TorchResult<Tensor> {
    if !has_kernels(query) {
        return operators::attention([query, key, value], seen, causal, scale);
    }
    let [query, key, value] = [query, key, value].map(pointer);
    let (seen, causal) = (maybe(seen), i32::from(causal));
    // SAFETY: the caller's borrows keep every tensor alive through the call; the shim takes null for a mask that is not
    // there, and writes `output` alone.
    made(|output| unsafe { shim_attention(query, key, value, seen, causal, scale, output) })
}

/// The cross entropy `log(sum of exp(z)) - z[wanted]` `[C]` of each row z of the logits `[C, V]`, in f32, with the
/// wanted word `[C]`.
///
/// # Errors
/// libtorch's.
pub fn cross_entropy(logits_CV: &Tensor, wanted_C: &Tensor) -> TorchResult<Tensor> {
    if !has_kernels(logits_CV) {
        return operators::cross_entropy(logits_CV, wanted_C);
    }
    let (logits, wanted) = (pointer(logits_CV), pointer(wanted_C));
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_cross_entropy(logits, wanted, output) })
}

/// The gated activation `act(gate) * up`, all `[P, I]`.
///
/// # Errors
/// libtorch's.
pub fn gated(activation: Activation, gate_PI: &Tensor, up_PI: &Tensor) -> TorchResult<Tensor> {
    if !has_kernels(gate_PI) {
        return operators::gated(activation, gate_PI, up_PI);
    }
    let (gate, up) = (pointer(gate_PI), pointer(up_PI));
    let gelu_tanh = i32::from(activation == Activation::GeluTanh);
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_gated(gate, up, gelu_tanh, output) })
}

/// The norm `x / sqrt(mean(x^2) + eps) * w` of rows x `[P, H]`, with a weight w `[H]` that is frozen: rounded to the
/// rows' type before it is weighed (`LlamaRMSNorm` of transformers), or after where the weight has another type
/// (`Gemma2RMSNorm`, with a weight 1 + w in f32).
///
/// # Errors
/// libtorch's.
pub fn normed(input_PH: &Tensor, weight_H: &Tensor, eps: f64) -> TorchResult<Tensor> {
    if !has_kernels(input_PH) {
        return operators::normed(input_PH, weight_H, eps);
    }
    let (input, weight) = (pointer(input_PH), pointer(weight_H));
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_normed(input, weight, eps, output) })
}

/// Heads `[B, T, N, D]` turned by cosines and sines of their positions, `[T, 1, R]`: `x * cos + rotate_half(x) * sin`
/// for the first R elements; the others stay (`apply_rotary_pos_emb` of transformers, also with
/// `partial_rotary_factor`).
///
/// # Errors
/// libtorch's.
pub fn rotated(heads_BTND: &Tensor, cos_T1R: &Tensor, sin_T1R: &Tensor) -> TorchResult<Tensor> {
    if !has_kernels(heads_BTND) {
        return operators::rotated(heads_BTND, cos_T1R, sin_T1R);
    }
    let (heads, cos, sin) = (pointer(heads_BTND), pointer(cos_T1R), pointer(sin_T1R));
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_rotated(heads, cos, sin, output) })
}

/// The tensor that `call` writes when no message comes back.
fn made(call: impl FnOnce(*mut Pointer) -> *mut c_char) -> TorchResult<Tensor> {
    let mut output: Pointer = std::ptr::null_mut();
    check(call(&raw mut output))?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(output) })
}

/// The functions above by libtorch's operators, on any device, with a gradient of everything.
pub(super) mod operators {
    use tch::Kind;

    use super::{Activation, Reduction, Tensor, TorchResult};

    pub(super) fn attention(
        [query, key, value]: [&Tensor; 3],
        seen: Option<&Tensor>,
        causal: bool,
        scale: f64,
    ) -> TorchResult<Tensor> {
        let grouped = query.size()[1] != key.size()[1];
        Tensor::f_scaled_dot_product_attention(
            query, key, value, seen, 0.0, causal, scale, grouped,
        )?
        .f_transpose(1, 2)
    }

    pub(super) fn cross_entropy(logits_CV: &Tensor, wanted_C: &Tensor) -> TorchResult<Tensor> {
        // No word has this number: every row counts.
        let ignored = -100;
        logits_CV.f_cross_entropy_loss(wanted_C, None::<&Tensor>, Reduction::None, ignored, 0.0)
    }

    pub(super) fn gated(
        activation: Activation,
        gate_PI: &Tensor,
        up_PI: &Tensor,
    ) -> TorchResult<Tensor> {
        match activation {
            Activation::Silu => gate_PI.f_silu()?.f_mul(up_PI),
            Activation::GeluTanh => gate_PI.f_gelu("tanh")?.f_mul(up_PI),
        }
    }

    /// As [`super::normed`].
    ///
    /// # Errors
    /// libtorch's.
    pub fn normed(input_PH: &Tensor, weight_H: &Tensor, eps: f64) -> TorchResult<Tensor> {
        let kind = input_PH.f_kind()?;
        let wide_PH = input_PH.f_to_kind(Kind::Float)?;
        let variance = wide_PH.f_square()?.f_mean_dim(-1, true, Kind::Float)?;
        let scaled_PH = wide_PH.f_mul(&variance.f_add_scalar(eps)?.f_rsqrt()?)?;
        if weight_H.f_kind()? == kind {
            weight_H.f_mul(&scaled_PH.f_to_kind(kind)?)
        } else {
            scaled_PH.f_mul(weight_H)?.f_to_kind(kind)
        }
    }

    pub(super) fn rotated(x_BTND: &Tensor, cos: &Tensor, sin: &Tensor) -> TorchResult<Tensor> {
        let (width, part) = (x_BTND.size()[3], cos.size()[2]);
        if part < width {
            let parts = x_BTND.f_split_with_sizes([part, width - part].as_slice(), 3)?;
            let first = rotated(&parts[0], cos, sin)?;
            return Tensor::f_cat(&[first, parts[1].shallow_clone()], 3);
        }
        let half = width / 2;
        let left = x_BTND.f_narrow(3, 0, half)?;
        let right = x_BTND.f_narrow(3, half, half)?;
        let swapped = Tensor::f_cat(&[right.f_neg()?, left], 3)?;
        x_BTND.f_mul(cos)?.f_add(&swapped.f_mul(sin)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::device::{Generator, gradients, set_threads};

    const KINDS: [Kind; 3] = [Kind::Float, Kind::BFloat16, Kind::Half];

    /// Values and gradients of the kernel, which any number of threads gives, beside those of operators.
    fn both(
        inputs: &[Tensor],
        kernel: impl Fn(&[Tensor]) -> TorchResult<Tensor>,
        operators: impl Fn(&[Tensor]) -> TorchResult<Tensor>,
    ) -> [Vec<Tensor>; 2] {
        let of = |work: &dyn Fn(&[Tensor]) -> TorchResult<Tensor>| {
            let leaves: Vec<Tensor> = inputs
                .iter()
                .map(|t| t.detach().set_requires_grad(true))
                .collect();
            let found = work(&leaves).unwrap();
            let seed = random(7, &found.size(), found.kind());
            let wanted: Vec<&Tensor> = leaves.iter().collect();
            let mut all = gradients(&found, &seed, &wanted).unwrap();
            all.push(found.detach());
            all
        };
        let expected = of(&operators);
        set_threads(1);
        let found = of(&kernel);
        for threads in [2, 3, 5] {
            set_threads(threads);
            assert!(of(&kernel).iter().zip(&found).all(|(a, b)| a == b));
        }
        set_threads(1);
        [found, expected]
    }

    /// Tests share torch's own generator, and draw from it at the same time.
    fn random(seed: u64, shape: &[i64], kind: Kind) -> Tensor {
        let mut generator = Generator::new(seed).unwrap();
        generator.normal(shape, 1.0).unwrap().to_kind(kind)
    }

    fn close(found: &[Tensor], expected: &[Tensor], share: f64) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!(b.abs().max().double_value(&[]) > 0.0);
            assert_eq!((a.size(), a.kind()), (b.size(), b.kind()));
            let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
            let apart = (&a - &b).norm().double_value(&[]);
            let all = b.norm().double_value(&[]);
            assert!(apart <= share * all, "{apart:e} of {all:e}");
        }
    }

    /// Several blocks of rows, and parts of a wider row as fused projections give.
    #[test]
    fn gates_and_their_gradients_are_those_of_operators() {
        for kind in KINDS {
            for activation in [Activation::Silu, Activation::GeluTanh] {
                let both_PI = random(1, &[700, 1002], kind);
                let [found, expected] = both(
                    &[both_PI],
                    |all| {
                        let parts = all[0].split(501, 1);
                        gated(activation, &parts[0], &parts[1])
                    },
                    |all| {
                        let parts = all[0].split(501, 1);
                        let (gate, up) = (parts[0].contiguous(), parts[1].contiguous());
                        operators::gated(activation, &gate, &up)
                    },
                );
                close(
                    &found,
                    &expected,
                    if kind == Kind::Float { 1e-6 } else { 1e-2 },
                );
            }
        }
    }

    #[test]
    fn normed_rows_are_those_of_operators() {
        for kind in KINDS {
            let tolerance = if kind == Kind::Float { 1e-6 } else { 3e-3 };
            for (width, of_weight) in [(1000, kind), (501, Kind::Float), (7, kind)] {
                let weight = random(9, &[width], of_weight);
                let rows = random(10, &[300, width + 3], kind);
                let part = |all: &[Tensor]| all[0].narrow(1, 2, width);
                let [found, expected] = both(
                    &[rows],
                    |all| normed(&part(all), &weight, 1e-5),
                    |all| operators::normed(&part(all), &weight, 1e-5),
                );
                close(&found, &expected, tolerance);
            }
        }
    }

    /// Whole heads and parts of heads, as they come from a product and from attention.
    #[test]
    fn turned_heads_are_those_of_operators_to_the_bit() {
        for kind in KINDS {
            for (part, transposed) in [(64, false), (48, true)] {
                let heads = random(2, &[2, 90, 16, 64], kind);
                let angles = random(3, &[90, 1, part], Kind::Float);
                let (cos, sin) = (angles.cos().to_kind(kind), angles.sin().to_kind(kind));
                let turn = |all: &[Tensor], rotate: &dyn Fn(&Tensor) -> TorchResult<Tensor>| {
                    if transposed {
                        let heads_BNTD = all[0].transpose(1, 2).contiguous();
                        Ok(rotate(&heads_BNTD.transpose(1, 2))?.transpose(1, 2))
                    } else {
                        rotate(&all[0])
                    }
                };
                let [found, expected] = both(
                    &[heads],
                    |all| turn(all, &|x| rotated(x, &cos, &sin)),
                    |all| turn(all, &|x| operators::rotated(x, &cos, &sin)),
                );
                assert!(found.iter().zip(&expected).all(|(a, b)| a == b), "{kind:?}");
            }
        }
    }

    #[test]
    fn attention_by_head_is_that_of_operators() {
        let length = 70;
        let seen = Tensor::ones([length, length], (Kind::Bool, Device::Cpu));
        let window = seen.tril(0).triu(-8);
        for (kind, share) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
            for (heads, causal, mask) in
                [(4, true, None), (2, false, Some(&window)), (1, false, None)]
            {
                let inputs = [
                    random(4, &[3, 4, length, 32], kind),
                    random(5, &[3, heads, length, 32], kind),
                    random(6, &[3, heads, length, 32], kind),
                ];
                let [found, expected] = both(
                    &inputs,
                    |all| attention([&all[0], &all[1], &all[2]], mask, causal, 0.2),
                    |all| operators::attention([&all[0], &all[1], &all[2]], mask, causal, 0.2),
                );
                close(&found, &expected, share);
            }
        }
    }

    #[test]
    fn cross_entropy_by_rows_is_that_of_operators() {
        let logits = random(8, &[60, 9001], Kind::Float) * 4.0;
        let wanted = Tensor::arange(60, (Kind::Int64, Device::Cpu)) * 150;
        let [found, expected] = both(
            &[logits],
            |all| cross_entropy(&all[0], &wanted),
            |all| operators::cross_entropy(&all[0], &wanted),
        );
        close(&found, &expected, 1e-6);
    }

    #[test]
    fn what_is_no_number_or_infinite_is_so_where_operators_have_it() {
        for kind in KINDS {
            for value in [f64::NAN, f64::INFINITY] {
                let rows = random(11, &[6, 64], kind);
                let _ = rows.get(2).get(5).fill_(value);
                let weight = random(12, &[64], kind);
                let found = normed(&rows, &weight, 1e-5).unwrap();
                let expected = operators::normed(&rows, &weight, 1e-5).unwrap();
                assert_eq!(found.isfinite(), expected.isfinite(), "{kind:?} {value}");
                assert!(!bool::try_from(found.isfinite().all()).unwrap());
                let heads = rows.view([1, 6, 2, 32]);
                let (cos, sin) = (random(13, &[6, 1, 32], kind), random(14, &[6, 1, 32], kind));
                let found = rotated(&heads, &cos, &sin).unwrap();
                let expected = operators::rotated(&heads, &cos, &sin).unwrap();
                assert_eq!(found.isfinite(), expected.isfinite(), "{kind:?} {value}");
                assert!(!bool::try_from(found.isfinite().all()).unwrap());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let error = gated(Activation::Silu, &ones(&[3, 4]), &ones(&[3, 5])).unwrap_err();
        assert!(error.to_string().contains("[3, 4] for [3, 5]"), "{error}");
        let error = normed(&ones(&[3, 4]), &ones(&[5]), 1e-5).unwrap_err();
        assert!(error.to_string().contains("[5] for rows of 4"), "{error}");
        let heads = ones(&[1, 3, 2, 4]);
        let error = rotated(&heads, &ones(&[2, 1, 4]), &ones(&[2, 1, 4])).unwrap_err();
        assert!(error.to_string().contains("2 rows for 3"), "{error}");
        let error = rotated(&heads, &ones(&[3, 1, 6]), &ones(&[3, 1, 6])).unwrap_err();
        assert!(error.to_string().contains("6 elements turn"), "{error}");
    }
}
