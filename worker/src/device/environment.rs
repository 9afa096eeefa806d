//! What must be in the environment before the process starts.
//!
//! OpenMP and malloc read their settings when they are loaded, cuBLAS before its first call; so the process starts
//! itself once more with them set. A value the user has set is kept. The process id stays.

use std::os::unix::process::CommandExt;
use std::process::Command;

use shared::error::{Code, Error, Result};

/// Deterministic cuBLAS needs a fixed workspace.
pub(super) const CUBLAS_WORKSPACE: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");

/// OpenMP takes as many threads as are asked for.
const TEAM: (&str, &str) = ("OMP_DYNAMIC", "false");

/// Idle threads of libgomp look for work this often before they sleep, unless [`WAIT_POLICY`] says otherwise. Measured
/// on two cores (`docs/reports/benchmarks.md`): 2000 rounds save one worker alone 3 to 6 % of a step, and cost two
/// workers that share the cores 2 to 5 %; 20000 make them 1.4 times as slow.
const SPIN: (&str, &str) = ("GOMP_SPINCOUNT", "2000");

/// One heap for all threads: what one frees another can use, and it is not kept per thread
/// (`docs/internals/decisions/0010-plain-malloc-for-tensors.md`).
const HEAP: (&str, &str) = ("MALLOC_ARENA_MAX", "1");

/// A GPU's memory is taken in pages instead of blocks of fixed sizes: less lies idle between tensors
/// (`docs/reports/gpu.md`). Not on WSL, whose drivers are reported to refuse them at the first tensor; it was not tried
/// there.
const PAGES: (&str, &str) = ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True");

/// The setting that takes memory in blocks, for a driver that gives no pages.
pub(super) const BLOCKS: &str = "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:False";

/// What a user may have set in the place of [`PAGES`].
const ALLOCATOR: &str = "PYTORCH_ALLOC_CONF";

/// What a user may have set in the place of [`SPIN`].
const WAIT_POLICY: &str = "OMP_WAIT_POLICY";

/// Says that the process was started again.
const MARK: &str = "LORA_WORKER_ENVIRONMENT";

/// Replaces this process by itself with the environment set; returns in the process that has it.
/// Call it first thing in `main`.
///
/// # Errors
/// [`Code::Internal`] when the program cannot be started again.
pub fn reexec_with_environment() -> Result<()> {
    if std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        Error::new(
            Code::Internal,
            "the worker cannot start itself with its environment",
        )
        .why(error.to_string())
        .fix(format!("set {MARK}=1 to go on without"))
    };
    let program = std::env::current_exe().map_err(failed)?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(MARK, "1");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    command.envs(settings(|key| std::env::var_os(key).is_some(), &kernel));
    Err(failed(command.exec()))
}

/// What is set: everything that the user has not decided, and that this kernel (its release) bears.
fn settings(decided: impl Fn(&str) -> bool, kernel: &str) -> Vec<(&'static str, &'static str)> {
    let is_wsl = kernel.to_ascii_lowercase().contains("microsoft");
    let others = [(SPIN.0, WAIT_POLICY), (PAGES.0, ALLOCATOR)];
    let otherwise = |key| others.iter().any(|(of, name)| *of == key && decided(name));
    let all = [TEAM, SPIN, HEAP, PAGES, CUBLAS_WORKSPACE].into_iter();
    all.filter(|(key, _)| !decided(key) && !otherwise(*key))
        .filter(|setting| !(is_wsl && *setting == PAGES))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_has_decided_is_kept() {
        let all = [TEAM, SPIN, HEAP, PAGES, CUBLAS_WORKSPACE];
        let settings = |decided: &dyn Fn(&str) -> bool| settings(decided, "6.1.0-13-amd64\n");
        assert_eq!(settings(&|_| false), all);
        assert_eq!(settings(&|_| true), []);
        for (key, _) in all {
            let rest = settings(&|asked| asked == key);
            assert_eq!(rest.len(), 4);
            assert!(rest.iter().all(|(other, _)| *other != key));
        }
        let waits = settings(&|asked| asked == WAIT_POLICY);
        assert_eq!(waits, [TEAM, HEAP, PAGES, CUBLAS_WORKSPACE]);
        let blocks = settings(&|asked| asked == ALLOCATOR);
        assert_eq!(blocks, [TEAM, SPIN, HEAP, CUBLAS_WORKSPACE]);
    }

    #[test]
    fn wsl_gets_no_pages() {
        for kernel in ["5.15.90.1-microsoft-standard-WSL2\n", "4.4.0-Microsoft"] {
            let found = settings(|_| false, kernel);
            assert_eq!(found, [TEAM, SPIN, HEAP, CUBLAS_WORKSPACE], "{kernel}");
        }
    }
}
