//! libtorch's failures as coded ones.
//!
//! Model code speaks `TchError` throughout and is translated once, where a caller outside the
//! room sees it. Running out of memory has its own code, everything else is unexpected.

use shared::error::{Code, Error};
use tch::TchError;

/// What tensor code returns.
pub type TorchResult<T> = Result<T, TchError>;

/// A failure of libtorch while doing `what`.
pub fn failed(what: &str) -> impl Fn(TchError) -> Error {
    let what = what.to_owned();
    move |error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().to_owned();
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
        Error::new(Code::Internal, format!("libtorch failed: {what}")).why(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_memory_has_its_own_code() {
        let memory = TchError::Torch("CUDA out of memory. Tried to allocate 2 GiB".into());
        assert_eq!(failed("forward")(memory).code, Code::OutOfMemory);
        let other = TchError::Torch("shape '[2]' is invalid".into());
        assert_eq!(failed("forward")(other).code, Code::Internal);
    }
}
