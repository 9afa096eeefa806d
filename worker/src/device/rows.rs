//! What is computed row by row, with the same bits for any number of threads.
//!
//! In: tensors, a function of some of their rows. Out: what it gives for all of them. On the CPU blocks
//! of rows are computed by the threads of this program (`worker/cshim/rows.cpp`); elsewhere it is all at once.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use super::backend::Backend;
use super::shim::{Pointer, check, owned, pointer};
use super::torch::{TorchResult, caught};

type Body = extern "C" fn(
    data: *mut c_void,
    inputs: *mut Pointer,
    count: usize,
    output: *mut Pointer,
    message: *mut c_char,
    room: usize,
) -> i32;

unsafe extern "C" {
    fn shim_by_rows(
        rule: Body,
        data: *mut c_void,
        release: extern "C" fn(*mut c_void),
        inputs: *const Pointer,
        count: usize,
        cut: usize,
        output: *mut Pointer,
    ) -> *mut c_char;
}

/// Applies `rule` to blocks of rows of the tensors in `cut`, and to those in `whole` as they are; three in
/// all at most. Every tensor gets a gradient that asks for one; only the inputs are kept for it.
///
/// # Errors
/// Those of `rule`, and libtorch's.
pub fn by_rows<R>(cut: &[&Tensor], whole: &[&Tensor], rule: R) -> TorchResult<Tensor>
where
    R: Fn(&[Tensor]) -> TorchResult<Tensor> + Send + Sync + 'static,
{
    let all = || cut.iter().chain(whole);
    if !all().all(|tensor| Backend::of(tensor) == Backend::Cpu) {
        let all: Vec<Tensor> = all().map(|tensor| tensor.shallow_clone()).collect();
        return rule(&all);
    }
    let inputs: Vec<Pointer> = all().map(|tensor| pointer(tensor)).collect();
    let data = Box::into_raw(Box::new(rule)).cast();
    let mut output: Pointer = std::ptr::null_mut();
    // SAFETY: the borrows keep every tensor alive through the call. `data` is a box of an `R`, which is `Send`, `Sync`
    // and `'static`; `block::<R>` and `release::<R>` take it for just that, and the shim calls `release` once, when no
    // graph needs the function any more. `output` is written when no message comes back.
    check(unsafe {
        shim_by_rows(
            block::<R>,
            data,
            release::<R>,
            inputs.as_ptr(),
            inputs.len(),
            cut.len(),
            &raw mut output,
        )
    })?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(output) })
}

extern "C" fn release<R>(data: *mut c_void) {
    // SAFETY: `by_rows` made `data` from a box of an `R` and gave it away; the shim calls this once, with nobody using
    // it.
    drop(unsafe { Box::from_raw(data.cast::<R>()) });
}

extern "C" fn block<R>(
    data: *mut c_void,
    inputs: *mut Pointer,
    count: usize,
    output: *mut Pointer,
    message: *mut c_char,
    room: usize,
) -> i32
where
    R: Fn(&[Tensor]) -> TorchResult<Tensor> + Send + Sync + 'static,
{
    // SAFETY: the shim passes the `data` of `by_rows`, which threads only read, and `count` new tensors that are this
    // call's own.
    let (rule, inputs) = unsafe {
        let inputs = std::slice::from_raw_parts(inputs, count);
        let inputs: Vec<Tensor> = inputs.iter().map(|&input| owned(input)).collect();
        (&*data.cast::<R>(), inputs)
    };
    let failure = match caught(|| rule(&inputs)) {
        Ok(found) => {
            // SAFETY: `output` is a place for one tensor. The shim copies it, which shares the values, and deletes the
            // pointer: so it is forgotten here.
            unsafe { *output = pointer(&found) };
            std::mem::forget(found);
            return 0;
        }
        Err(error) => error.to_string(),
    };
    let length = failure.len().min(room.saturating_sub(1));
    // SAFETY: `message` has `room` bytes that are zero; at most `room - 1` of them are written, so a zero ends the
    // text.
    unsafe { std::ptr::copy_nonoverlapping(failure.as_ptr().cast(), message, length) };
    1
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, TchError};

    use super::*;
    use crate::device::{gradients, set_threads};

    /// Rows of another width than a vector's, more than a block, with a weight that every block sees.
    #[test]
    fn values_and_gradients_are_those_of_all_rows_at_once() {
        tch::manual_seed(5);
        let kind = (Kind::Float, Device::Cpu);
        let (x, w) = (Tensor::randn([700, 501], kind), Tensor::randn([501], kind));
        let seed = Tensor::randn([700, 501], kind);
        let rule = |all: &[Tensor]| all[0].f_silu()?.f_mul(&all[1]);
        let inputs = || [&x, &w].map(|t| t.detach().set_requires_grad(true));
        let plain = inputs();
        let expected = rule(&plain).unwrap();
        let expected_of = gradients(&expected, &seed, &[&plain[0], &plain[1]]).unwrap();
        let mut bits = Vec::new();
        for threads in [1, 2, 3, 5] {
            set_threads(threads);
            let [x, w] = inputs();
            let found = by_rows(&[&x], &[&w], rule).unwrap();
            assert!(found.allclose(&expected, 1e-6, 1e-6, false));
            let found_of = gradients(&found, &seed, &[&x, &w]).unwrap();
            for (found, expected) in found_of.iter().zip(&expected_of) {
                assert!(found.allclose(expected, 1e-4, 1e-4, false));
            }
            let all = [&found, &found_of[0], &found_of[1]];
            bits.push(all.map(|t| Vec::<f32>::try_from(t.detach().flatten(0, -1)).unwrap()));
        }
        assert!(bits.iter().all(|these| *these == bits[0]));
        set_threads(1);
    }

    #[test]
    fn a_failure_and_a_panic_come_back_as_failures() {
        let x = Tensor::ones([3], (Kind::Float, Device::Cpu));
        let error = by_rows(&[&x], &[], |_| Err(TchError::Shape("no rows".into()))).unwrap_err();
        assert!(error.to_string().contains("no rows"), "{error}");
        let error = by_rows(&[&x], &[], |_| panic!("out of memory")).unwrap_err();
        assert!(error.to_string().contains("out of memory"), "{error}");
    }
}
