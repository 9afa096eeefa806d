//! Libraries that panic at some damaged files: that is an error of the file.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use shared::error::{Error, Result};

thread_local! {
    /// A panic on this thread is told as an error, not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Reads; a panic is the error `broken`.
pub(super) fn quietly<T>(
    read: impl FnOnce() -> Result<T>,
    broken: impl FnOnce() -> Error,
) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(read));
    QUIET.set(false);
    outcome.unwrap_or_else(|_| Err(broken()))
}
