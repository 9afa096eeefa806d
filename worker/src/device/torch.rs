//! libtorch's failures as coded ones.
//!
//! Model code speaks `TchError` throughout and is translated once, where a caller outside the
//! room sees it. Running out of memory has its own code, everything else is unexpected.

use shared::error::{Code, Error};
use tch::TchError;

use super::environment::BLOCKS;

/// What tensor code returns.
pub type TorchResult<T> = Result<T, TchError>;

/// A failure of libtorch while doing `what`.
pub fn failed(what: &str) -> impl Fn(TchError) -> Error {
    let what = what.to_owned();
    move |error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        // What follows there is advice for programmers, of a setting that is made already.
        let first = first
            .split(" Of the allocated memory")
            .next()
            .unwrap_or(first);
        let memory = [
            "out of memory",
            "can't allocate memory",
            "not enough memory",
        ];
        if memory.iter().any(|sign| text.contains(sign)) {
            return Error::new(Code::OutOfMemory, format!("not enough memory: {what}"))
                .why(first)
                .fix("lower micro_batch_size or max_seq_length, or set bf16");
        }
        let error = Error::new(Code::Internal, format!("libtorch failed: {what}")).why(first);
        // That of some virtual GPUs gives no memory in pages, and says no more than this.
        if text.contains("CUDA driver error") {
            return error.fix(format!("set {BLOCKS} where the worker is started"));
        }
        error
    }
}

/// Runs tensor code, and gives back as a failure what it panics with.
///
/// tch frees the number given to an operator before it asks whether the operator failed, meets the
/// failure while freeing and panics: memory that runs out must not end the thread.
///
/// # Errors
/// Failures of `work`, and the text of its panic.
pub fn caught<T>(work: impl FnOnce() -> TorchResult<T>) -> TorchResult<T> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    outcome.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
        Err(TchError::Torch(text.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_memory_has_its_own_code() {
        let memory = TchError::Torch("CUDA out of memory. Tried to allocate 2 GiB".into());
        assert_eq!(failed("forward")(memory).code, Code::OutOfMemory);
        let long = "CUDA out of memory. 298 MiB is free. Of the allocated memory 78 GiB is PyTorch's. Try setting";
        let error = failed("forward")(TchError::Torch(long.into()));
        assert!(error.why[0].ends_with("298 MiB is free."), "{error:?}");
        let freeing = "called `Result::unwrap()` on an `Err` value: Torch(\"can't allocate memory";
        let memory = TchError::Torch(freeing.into());
        assert_eq!(failed("forward")(memory).code, Code::OutOfMemory);
        let driver = TchError::Torch("CUDA driver error: operation not supported".into());
        let error = failed("loading")(driver);
        assert!(
            error.fix[0].contains("expandable_segments:False"),
            "{error:?}"
        );
        let other = TchError::Torch("shape '[2]' is invalid".into());
        assert_eq!(failed("forward")(other).code, Code::Internal);
    }

    #[test]
    fn a_panic_of_the_bindings_is_a_failure() {
        let kind = (tch::Kind::Float, tch::Device::Cpu);
        let error = caught(|| tch::Tensor::f_full([-1], 1.0, kind)).unwrap_err();
        assert!(error.to_string().contains("negative dimension"), "{error}");
        assert!(caught(|| tch::Tensor::f_full([1], 1.0, kind)).is_ok());
    }
}
