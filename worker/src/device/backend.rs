//! Which code computes the parts of the model that have a kernel of this program.
//!
//! In: a tensor of the base model, once it is loaded. Out: the backend of its device, chosen once for the model, whose
//! methods are those parts. Keeps: the
//! backends agree on values but for rounding; each gives the same bits for any number of threads. Shapes in names: B
//! rows, P positions of all rows, T positions of a row, S of its keys, N heads, K heads of keys and values, D elements
//! of a head, R of them that turn, I inner, C positions that predict, V words.

#![allow(non_snake_case)]

use shared::model::Activation;
use tch::Tensor;

use super::torch::TorchResult;
use super::{kernels, operators};

/// What computes on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernels of this program, on the CPU.
    Cpu,
    /// libtorch's operators, on any device.
    Operators,
}

impl Backend {
    /// The backend of the device that holds a tensor.
    #[must_use]
    pub fn of(value: &Tensor) -> Self {
        if kernels::has_kernels(value) {
            Self::Cpu
        } else {
            Self::Operators
        }
    }

    /// Attention `softmax(scale q k^T) v`, `[B, T, N, D]`, of queries `[B, N, T, D]` over keys and values `[B, K, S, D]`.
    /// `seen` is true where a query sees a key, `[T, S]`; `causal` hides later positions.
    ///
    /// # Errors
    /// libtorch's.
    pub fn attention(
        self,
        [query, key, value]: [&Tensor; 3],
        seen: Option<&Tensor>,
        causal: bool,
        scale: f64,
    ) -> TorchResult<Tensor> {
        match self {
            Self::Cpu => kernels::attention([query, key, value], seen, causal, scale),
            Self::Operators => operators::attention([query, key, value], seen, causal, scale),
        }
    }

    /// The cross entropy `log(sum of exp(z)) - z[wanted]` `[C]` of each row z of the logits `[C, V]`, in f32, with the
    /// wanted word `[C]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn cross_entropy(self, logits_CV: &Tensor, wanted_C: &Tensor) -> TorchResult<Tensor> {
        match self {
            Self::Cpu => kernels::cross_entropy(logits_CV, wanted_C),
            Self::Operators => operators::cross_entropy(logits_CV, wanted_C),
        }
    }

    /// The gated activation `act(gate) * up`, all `[P, I]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn gated(
        self,
        activation: Activation,
        gate_PI: &Tensor,
        up_PI: &Tensor,
    ) -> TorchResult<Tensor> {
        match self {
            Self::Cpu => kernels::gated(activation, gate_PI, up_PI),
            Self::Operators => operators::gated(activation, gate_PI, up_PI),
        }
    }

    /// The norm `x / sqrt(mean(x^2) + eps) * w` of rows x `[P, H]`, with a weight w `[H]` that is frozen: rounded to the
    /// rows' type before it is weighed (`LlamaRMSNorm` of transformers), or after where the weight has another type
    /// (`Gemma2RMSNorm`, with a weight 1 + w in f32).
    ///
    /// # Errors
    /// libtorch's.
    pub fn normed(self, input_PH: &Tensor, weight_H: &Tensor, eps: f64) -> TorchResult<Tensor> {
        match self {
            Self::Cpu => kernels::normed(input_PH, weight_H, eps),
            Self::Operators => operators::normed(input_PH, weight_H, eps),
        }
    }

    /// Heads `[B, T, N, D]` turned by cosines and sines of their positions, `[T, 1, R]`: `x * cos + rotate_half(x) * sin`
    /// for the first R elements; the others stay (`apply_rotary_pos_emb` of transformers, also with
    /// `partial_rotary_factor`).
    ///
    /// # Errors
    /// libtorch's.
    pub fn rotated(
        self,
        heads_BTND: &Tensor,
        cos_T1R: &Tensor,
        sin_T1R: &Tensor,
    ) -> TorchResult<Tensor> {
        match self {
            Self::Cpu => kernels::rotated(heads_BTND, cos_T1R, sin_T1R),
            Self::Operators => operators::rotated(heads_BTND, cos_T1R, sin_T1R),
        }
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
                        Backend::Cpu.gated(activation, &parts[0], &parts[1])
                    },
                    |all| {
                        let parts = all[0].split(501, 1);
                        let (gate, up) = (parts[0].contiguous(), parts[1].contiguous());
                        Backend::Operators.gated(activation, &gate, &up)
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
                    |all| Backend::Cpu.normed(&part(all), &weight, 1e-5),
                    |all| Backend::Operators.normed(&part(all), &weight, 1e-5),
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
                    |all| turn(all, &|x| Backend::Cpu.rotated(x, &cos, &sin)),
                    |all| turn(all, &|x| Backend::Operators.rotated(x, &cos, &sin)),
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
                    |all| Backend::Cpu.attention([&all[0], &all[1], &all[2]], mask, causal, 0.2),
                    |all| {
                        Backend::Operators.attention([&all[0], &all[1], &all[2]], mask, causal, 0.2)
                    },
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
            |all| Backend::Cpu.cross_entropy(&all[0], &wanted),
            |all| Backend::Operators.cross_entropy(&all[0], &wanted),
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
                let found = Backend::Cpu.normed(&rows, &weight, 1e-5).unwrap();
                let expected = Backend::Operators.normed(&rows, &weight, 1e-5).unwrap();
                assert_eq!(found.isfinite(), expected.isfinite(), "{kind:?} {value}");
                assert!(!bool::try_from(found.isfinite().all()).unwrap());
                let heads = rows.view([1, 6, 2, 32]);
                let (cos, sin) = (random(13, &[6, 1, 32], kind), random(14, &[6, 1, 32], kind));
                let found = Backend::Cpu.rotated(&heads, &cos, &sin).unwrap();
                let expected = Backend::Operators.rotated(&heads, &cos, &sin).unwrap();
                assert_eq!(found.isfinite(), expected.isfinite(), "{kind:?} {value}");
                assert!(!bool::try_from(found.isfinite().all()).unwrap());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let error = Backend::Cpu
            .gated(Activation::Silu, &ones(&[3, 4]), &ones(&[3, 5]))
            .unwrap_err();
        assert!(error.to_string().contains("[3, 4] for [3, 5]"), "{error}");
        let error = Backend::Cpu
            .normed(&ones(&[3, 4]), &ones(&[5]), 1e-5)
            .unwrap_err();
        assert!(error.to_string().contains("[5] for rows of 4"), "{error}");
        let heads = ones(&[1, 3, 2, 4]);
        let error = Backend::Cpu
            .rotated(&heads, &ones(&[2, 1, 4]), &ones(&[2, 1, 4]))
            .unwrap_err();
        assert!(error.to_string().contains("2 rows for 3"), "{error}");
        let error = Backend::Cpu
            .rotated(&heads, &ones(&[3, 1, 6]), &ones(&[3, 1, 6]))
            .unwrap_err();
        assert!(error.to_string().contains("6 elements turn"), "{error}");
    }
}
