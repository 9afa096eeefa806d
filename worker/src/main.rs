//! The worker's entry: environment, command line, exit code.

use std::io::Write;

use clap::Parser;
use shared::error::{Error, ExitCode, render};
use worker::cli::{self, Cli, Command};
use worker::device;

fn main() -> ! {
    let _ = shared::limits::raise_open_files();
    let outcome = device::reexec_with_environment().and_then(|()| run(Cli::parse()));
    let code = match outcome {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{}", render(&error));
            error.exit_code()
        }
    };
    end(code)
}

/// Ends the process at once, without the destructors of libraries: the compute thread may still be
/// inside libtorch, and tearing that down under it is a fault.
fn end(code: ExitCode) -> ! {
    // What cannot be flushed has no reader any more.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: `_exit` takes a number and ends the process; both outputs are flushed, and nothing that must be dropped
    // is left.
    unsafe { libc::_exit(i32::from(code as u8)) }
}

fn run(cli: Cli) -> Result<ExitCode, Error> {
    // A worker that joins says what it does; an answer stands alone.
    let talk = u8::from(matches!(cli.command, Command::Join(_)));
    let verbosity = i8::try_from(cli.verbose.saturating_add(talk)).unwrap_or(i8::MAX);
    shared::telemetry::init(verbosity, None)?;
    match cli.command {
        Command::Join(args) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map_err(|e| {
                    Error::new(shared::error::Code::Io, "no runtime").why(e.to_string())
                })?;
            let outcome = runtime.block_on(cli::join::run(args));
            // The compute thread may be inside a long kernel: it ends with the process.
            runtime.shutdown_background();
            outcome
        }
        Command::Generate(args) => cli::generate::run(args),
    }
}
