//! The programs under test, built before the tests by `make build`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The root of the repository: where this package lies now, or lay when it was built.
#[must_use]
pub fn repository() -> PathBuf {
    let built = env!("CARGO_MANIFEST_DIR").into();
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(built));
    here.parent().unwrap_or(&here).to_path_buf()
}

/// What runs compute on, as `device` names it: the CPU, unless `CLUSTER_DEVICE` names another.
#[must_use]
pub fn device() -> String {
    std::env::var("CLUSTER_DEVICE").unwrap_or_else(|_| "cpu".into())
}

/// A program beside this test: `target/release/NAME`.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."));
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `make build` first",
        path.display()
    );
    path
}

/// The coordinator, quiet and without color.
#[must_use]
pub fn coordinator() -> Command {
    let mut command = Command::new(program("coordinator"));
    command
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// A worker, quiet and without color.
#[must_use]
pub fn worker() -> Command {
    let mut command = Command::new(program("worker"));
    command
        .env("NO_COLOR", "1")
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null());
    command
}

/// The same program with a bound on the memory of its own: heap and what else it may write to.
#[must_use]
pub(super) fn within(program: Command, megabytes: u64) -> Command {
    let mut command = Command::new("sh");
    let limit = format!("ulimit -d {} && exec \"$0\" \"$@\"", megabytes * 1024);
    command.args(["-c", &limit]).arg(program.get_program());
    command.args(program.get_args()).stdin(Stdio::null());
    for (key, value) in program.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command
}

/// Waits for a process, and ends it when the deadline passes.
///
/// # Panics
/// When the deadline passes.
pub fn finished(child: &mut Child, deadline: Duration) -> ExitStatus {
    finished_or(child, deadline, String::new)
}

/// The same, and what to say of a process that does not end.
pub(super) fn finished_or(
    child: &mut Child,
    deadline: Duration,
    said: impl FnOnce() -> String,
) -> ExitStatus {
    let end = Instant::now() + deadline;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("a process did not end within {deadline:?}\n{}", said());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a command to its end, with a deadline.
///
/// # Panics
/// When it cannot be started or does not end.
#[must_use]
pub fn output(mut command: Command, deadline: Duration) -> Output {
    let stdout = tempfile::tempfile().unwrap_or_else(|e| panic!("{e}"));
    let stderr = tempfile::tempfile().unwrap_or_else(|e| panic!("{e}"));
    let clone = |file: &std::fs::File| file.try_clone().unwrap_or_else(|e| panic!("{e}"));
    command.stdout(clone(&stdout)).stderr(clone(&stderr));
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let status = finished(&mut child, deadline);
    Output {
        status,
        stdout: read_back(stdout),
        stderr: read_back(stderr),
    }
}

fn read_back(mut file: std::fs::File) -> Vec<u8> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    let _ = file.rewind();
    let _ = file.read_to_end(&mut bytes);
    bytes
}
