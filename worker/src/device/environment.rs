//! What must be in the environment before the process starts.
//!
//! OpenMP and malloc read their settings when they are loaded, cuBLAS before its first call; so the process starts
//! itself once more with them set. A value the user has set is kept. The process id stays.

use std::os::unix::process::CommandExt;
use std::process::Command;

use shared::error::{Code, Error, Result};

/// Deterministic cuBLAS needs a fixed workspace.
pub(super) const CUBLAS_WORKSPACE: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");

/// Idle threads of libgomp sleep at once. Measured on two cores: a spin of 20000 rounds saves one
/// worker alone about 4 % of a step, and costs two workers that share the cores up to three times.
const OPENMP: [(&str, &str); 2] = [("OMP_WAIT_POLICY", "passive"), ("OMP_DYNAMIC", "false")];

/// One heap for all threads: what one frees another can use, and it is not kept per thread.
const HEAP: (&str, &str) = ("MALLOC_ARENA_MAX", "1");

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
    for (key, value) in OPENMP.iter().chain([&CUBLAS_WORKSPACE, &HEAP]) {
        if std::env::var_os(key).is_none() {
            command.env(key, value);
        }
    }
    Err(failed(command.exec()))
}
