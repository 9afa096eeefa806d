//! The coordinator's entry: command line, exit code.

use clap::Parser;
use coordinator::cli::data::DataCommand;
use coordinator::cli::{self, Cli, Command, Output};
use coordinator::driver::End;
use coordinator::history::{EventSink, OutputFormat, Reporter, RunEvent};
use coordinator::start::progress;
use shared::error::{Code, Error, ExitCode, render};
use shared::telemetry::LogFile;

/// What each allocator costs with a thousand sessions: docs/internals/decisions/0017.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What threads that still run are given when the exit code is known.
const LAST_BREATH: std::time::Duration = std::time::Duration::from_secs(5);

fn main() -> std::process::ExitCode {
    let _ = shared::limits::raise_open_files();
    let code = match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{}", render(&error));
            error.exit_code()
        }
    };
    std::process::ExitCode::from(code as u8)
}

fn run(cli: Cli) -> Result<ExitCode, Error> {
    let log = shared::telemetry::init(i8::try_from(cli.verbose).unwrap_or(i8::MAX), None)?;
    let cwd = std::env::current_dir()
        .map_err(|e| Error::new(Code::Io, "no working directory").why(e.to_string()))?;
    match cli.command {
        Command::Up(args) => up(&args, &cwd, &log),
        Command::Check(args) => {
            let report = cli::check::run(&args.config, &args.set, &cwd)?;
            match args.output {
                Output::Text => anstream::print!("{}", report.to_text()),
                Output::Json => anstream::println!("{}", report.to_json()),
            }
            Ok(ExitCode::Complete)
        }
        Command::Plan(args) => {
            let estimate = cli::plan::run(&args, &cwd, &mut progress::shown())?;
            match args.output {
                Output::Text => anstream::print!("{estimate}"),
                Output::Json => anstream::println!("{}", estimate.to_json()),
            }
            Ok(ExitCode::Complete)
        }
        Command::Audit(args) => audit(&args, &cwd),
        Command::Data(command) => data(&command, &cwd),
        Command::Import(args) => import(&args, &cwd),
        Command::Schema => {
            anstream::print!("{}", cli::schema::run());
            Ok(ExitCode::Complete)
        }
    }
}

fn data(command: &DataCommand, cwd: &std::path::Path) -> Result<ExitCode, Error> {
    match command {
        DataCommand::Check(args) => {
            let diagnosis = cli::data::check::run(args, cwd, &mut progress::shown())?;
            match args.output {
                Output::Text => anstream::print!("{diagnosis}"),
                Output::Json => anstream::println!("{}", diagnosis.to_json()),
            }
            let report = args.report.display();
            anstream::eprintln!("all of it, with every place: {report}");
            let code = diagnosis.refused.as_ref().map(Error::exit_code);
            Ok(code.unwrap_or(ExitCode::Complete))
        }
        DataCommand::Mask(args) => {
            anstream::print!("{}", cli::data::mask::run(args, cwd)?);
            Ok(ExitCode::Complete)
        }
        DataCommand::Prepare(args) => {
            let mut shown = progress::shown();
            anstream::print!("{}", cli::data::prepare::run(args, cwd, &mut shown)?);
            Ok(ExitCode::Complete)
        }
        DataCommand::Show(args) => {
            let shown = cli::data::show::run(args, cwd)?;
            match args.output {
                Output::Text => {
                    let choice = anstream::AutoStream::choice(&std::io::stdout());
                    let colour = choice != anstream::ColorChoice::Never;
                    anstream::print!("{}", shown.to_text(args.ids, colour)?);
                }
                Output::Json => {
                    for sample in shown.to_json() {
                        anstream::println!("{sample}");
                    }
                }
            }
            Ok(ExitCode::Complete)
        }
    }
}

fn import(args: &cli::import::ImportArgs, cwd: &std::path::Path) -> Result<ExitCode, Error> {
    let imported = match (cli::import::run(args, cwd), args.output) {
        (Err(error), Output::Json) => return Err(told(OutputFormat::Json, error)),
        (imported, _) => imported?,
    };
    match (args.output, &args.output_file) {
        (Output::Json, _) => anstream::println!("{}", imported.to_json()),
        (Output::Text, None) => anstream::print!("{}", imported.yaml()),
        (Output::Text, Some(_)) => {}
    }
    if args.output == Output::Text {
        anstream::eprint!("{}", imported.to_text());
    }
    Ok(ExitCode::Complete)
}

fn audit(args: &cli::AuditArgs, cwd: &std::path::Path) -> Result<ExitCode, Error> {
    let cli::audit::Audit { report, broken } =
        match (cli::audit::run(&args.output_dir, cwd), args.output) {
            (Err(error), Output::Json) => return Err(told(OutputFormat::Json, error)),
            (audit, _) => audit?,
        };
    match args.output {
        Output::Text => anstream::print!("{}", report.to_text()),
        Output::Json => anstream::println!("{}", cli::audit::to_json(&report)),
    }
    match (broken, args.output) {
        (None, _) => Ok(ExitCode::Complete),
        (Some(error), Output::Json) => Err(told(OutputFormat::Json, error)),
        (Some(error), Output::Text) => Err(error),
    }
}

fn up(args: &cli::UpArgs, cwd: &std::path::Path, log: &LogFile) -> Result<ExitCode, Error> {
    let format = match args.output {
        Output::Text => OutputFormat::Text,
        Output::Json => OutputFormat::Json,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::new(Code::Io, "no runtime").why(e.to_string()))?;
    let ended = runtime.block_on(cli::up::run(args, cwd, Reporter::new(format), log));
    // A thread that hangs in storage ends with the process, and keeps nobody waiting for the exit code.
    runtime.shutdown_timeout(LAST_BREATH);
    match ended {
        Ok(End::Complete(_)) => Ok(ExitCode::Complete),
        Ok(End::Interrupted(step)) => Err(Error::new(
            Code::Interrupted,
            format!("interrupted; the state of step {step} is safe"),
        )
        .fix(to_go_on(args.overwrite))),
        Err(error) => Err(told(format, error)),
    }
}

/// How an interrupted run goes on; the same command would begin it anew where it overwrites.
fn to_go_on(overwrite: bool) -> &'static str {
    if overwrite {
        "run the same command without --overwrite to go on: with it the run begins anew"
    } else {
        "run the same command again to go on"
    }
}

/// An error that scripts and the text log have been told.
fn told(format: OutputFormat, error: Error) -> Error {
    let told = Reporter::new(format).take(&RunEvent::Error(error.clone()));
    debug_assert!(told.is_ok(), "an error has a JSON form");
    error
}
