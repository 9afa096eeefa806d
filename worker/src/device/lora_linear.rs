//! The way to the LoRA linear of `cshim/lora_linear.cpp`: a frozen product and a pair's, in one node of the graph.
//!
//! In: x the inputs `[B, I]`, W the frozen weight `[O, I]`, b the bias `[O]`, A `[R, I]` and B `[O, R]` a pair, s its
//! scaling, k the mask of dropout `[B, I]` and c its scale 1 / (1 - p), dy the gradient of y. Out:
//!
//! ```text
//! x'  = c (k * x)                                   x without dropout
//! y   = x W^T + b + s (x' A^T) B^T                  [B, O]
//! u   = s dy B                                      [B, R]
//! dx  = dy W + c (k * (u A))                        [B, I]
//! dA  = u^T x'                                      [R, I]
//! dB  = s dy^T (x' A^T)                             [O, R]
//! ```
//!
//! The product with W is computed in the base model's type, the pair's in f32; the sum is rounded once. W and b never
//! get a gradient.
//!
//! Keeps: the same bits for any number of threads (`worker/cshim/product.cpp`). Shapes in names: B rows, I inputs, O
//! outputs, R lora rank.

#![allow(non_snake_case)]

use std::ffi::c_char;

use tch::Tensor;

use super::frozen::FrozenWeight;
use super::shim::{Pointer, check, maybe, owned, pointer};
use super::torch::TorchResult;

unsafe extern "C" {
    fn shim_lora_linear(
        input: Pointer,
        weight: Pointer,
        bias: Pointer,
        a: Pointer,
        b: Pointer,
        scaling: f64,
        keep: Pointer,
        keep_scale: f64,
        output: *mut Pointer,
    ) -> *mut c_char;
}

/// A and B of one adapted linear, and their scaling.
#[derive(Debug)]
pub struct LoraWeights {
    /// A, `[lora_rank, in]`, f32.
    pub a_RI: Tensor,
    /// B, `[out, lora_rank]`, f32.
    pub b_OR: Tensor,
    /// Factor s on the product of B and A.
    pub scaling: f64,
}

/// The mask of dropout on the inputs of A.
#[derive(Debug)]
pub struct Dropout {
    /// 1 where an element stays and 0 where it is dropped, u8, shaped as the input.
    pub keep: Tensor,
    /// `1 / (1 - p)`, the factor on elements that stay.
    pub scale: f64,
}

/// The LoRA linear: `y = x W^T + b + s (d(x) A^T) B^T`, x `[B, I]`, y `[B, O]`; x, A and B get a gradient.
///
/// # Errors
/// libtorch's.
pub fn lora_linear(
    input_BI: &Tensor,
    weight_OI: &FrozenWeight,
    bias_O: Option<&Tensor>,
    lora: &LoraWeights,
    dropout: Option<&Dropout>,
) -> TorchResult<Tensor> {
    let mut output: Pointer = std::ptr::null_mut();
    // SAFETY: the borrows keep every tensor and the weight's handle alive through the call; the shim takes null for a
    // bias or mask that is not there. What the graph keeps it holds by references of its own. It writes `output` when
    // and only when no message comes back.
    let message = unsafe {
        shim_lora_linear(
            pointer(input_BI),
            weight_OI.handle(),
            maybe(bias_O),
            pointer(&lora.a_RI),
            pointer(&lora.b_OR),
            lora.scaling,
            maybe(dropout.map(|d| &d.keep)),
            dropout.map_or(1.0, |d| d.scale),
            &raw mut output,
        )
    };
    check(message)?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(output) })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::device::{Generator, gradients};

    /// Output and gradients of input, A and B, by the shim or by plain operators.
    fn both_ways(keep: Option<&Tensor>) -> (Vec<Tensor>, Vec<Tensor>) {
        let mut generator = Generator::new(42).unwrap();
        let mut random = |shape: [i64; 2]| generator.uniform(&shape, -1.0, 1.0).unwrap();
        let (x, w) = (random([5, 12]).set_requires_grad(true), random([10, 12]));
        let lora = LoraWeights {
            a_RI: random([3, 12]).set_requires_grad(true),
            b_OR: random([10, 3]).set_requires_grad(true),
            scaling: 1.75,
        };
        let seed = random([5, 10]);
        let dropout = keep.map(|keep| Dropout {
            keep: keep.shallow_clone(),
            scale: 1.25,
        });
        let frozen = FrozenWeight::dense(&w).unwrap();
        let ours = lora_linear(&x, &frozen, None, &lora, dropout.as_ref()).unwrap();
        let dropped = keep.map_or_else(|| x.shallow_clone(), |keep| (&x * keep) * 1.25);
        let plain =
            x.matmul(&w.tr()) + dropped.matmul(&lora.a_RI.tr()).matmul(&lora.b_OR.tr()) * 1.75;
        let inputs = [&x, &lora.a_RI, &lora.b_OR];
        let mut of_ours = gradients(&ours, &seed, &inputs).unwrap();
        let mut of_plain = gradients(&plain, &seed, &inputs).unwrap();
        of_ours.push(ours.detach());
        of_plain.push(plain.detach());
        (of_ours, of_plain)
    }

    #[test]
    fn the_lora_linear_and_its_backward_equal_plain_operators() {
        let keep = Tensor::from_slice(&[1u8, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1].repeat(5));
        for keep in [None, Some(&keep.view([5, 12]))] {
            let (ours, plain) = both_ways(keep);
            for (a, b) in ours.iter().zip(&plain) {
                assert!((a - b).abs().max().double_value(&[]) < 1e-5, "{keep:?}");
            }
        }
    }

    #[test]
    fn a_failure_in_the_shim_is_an_error_not_an_end() {
        let ones = |shape: [i64; 2]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let (x, w) = (ones([5, 12]), ones([10, 11]));
        let lora = LoraWeights {
            a_RI: ones([3, 12]),
            b_OR: ones([10, 3]),
            scaling: 1.0,
        };
        let w = FrozenWeight::dense(&w).unwrap();
        let error = lora_linear(&x, &w, None, &lora, None).unwrap_err();
        assert!(error.to_string().contains("mat1 and mat2"), "{error}");
    }
}
