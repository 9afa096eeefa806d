//! Diagnostics: `tracing` to stderr for people, and to the text log of a run.
//!
//! In: verbosity, colour, perhaps a file. Out: one subscriber per process, installed by [`init`].
//! stderr is quiet by default (warnings), `RUST_LOG` overrides it; the log takes everything from
//! `info` on, without colour, and keeps what was said before its folder was known. Events of
//! target `report` are what the reporter already showed: they go to the log only.
//!
//! The door for OpenTelemetry: an exporter is one more layer in `subscriber`, fed by the same
//! spans; nothing else in the house would change. It is not built yet.

mod log_file;

use std::io::IsTerminal;
use std::path::PathBuf;

use tracing::Subscriber;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::error::{Code, Error, Result};

pub use log_file::LogFile;

/// Installs the process's subscriber.
///
/// `verbosity` is the number of `-v` less the number of `-q`: below 0 errors, 0 warnings, 1 `info`, 2 `debug`, 3
/// `trace`. Colour is for a terminal, unless `NO_COLOR` is set. The log can be given now, or later through the handle
/// that comes back.
///
/// # Errors
/// [`Code::Usage`] when `RUST_LOG` cannot be understood, [`Code::Io`] when the file cannot be
/// opened, [`Code::Internal`] when the process has a subscriber already.
pub fn init(verbosity: i8, log_file: Option<PathBuf>) -> Result<LogFile> {
    let log = LogFile::default();
    if let Some(path) = log_file {
        log.open(&path)?;
    }
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
    let color = !no_color && std::io::stderr().is_terminal();
    let rust_log = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let subscriber = subscriber(
        verbosity,
        color,
        rust_log.as_deref(),
        std::io::stderr,
        log.clone(),
    )?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|e| Error::new(Code::Internal, "diagnostics").why(e.to_string()))?;
    Ok(log)
}

fn subscriber<W>(
    verbosity: i8,
    color: bool,
    rust_log: Option<&str>,
    stderr: W,
    log: LogFile,
) -> Result<impl Subscriber + Send + Sync + use<W>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match verbosity {
        ..0 => "error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        3.. => "trace",
    };
    let wanted = rust_log.unwrap_or(level);
    let shown = EnvFilter::try_new(format!("{wanted},report=off")).map_err(|e| {
        Error::new(Code::Usage, "RUST_LOG cannot be understood")
            .why(e.to_string())
            .fix("RUST_LOG=info, or RUST_LOG=coordinator=debug,shared=info")
    })?;
    let logged = EnvFilter::new(if verbosity > 1 { level } else { "info" });
    Ok(tracing_subscriber::registry()
        .with(people(verbosity, color, stderr).with_filter(shown))
        .with(
            layer()
                .with_ansi(false)
                .with_writer(log)
                .with_filter(logged),
        ))
}

/// Short lines; time and module only for those who asked for more.
fn people<S, W>(verbosity: i8, color: bool, stderr: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    if verbosity > 0 {
        layer().with_ansi(color).with_writer(stderr).boxed()
    } else {
        layer()
            .with_ansi(color)
            .with_target(false)
            .without_time()
            .with_writer(stderr)
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Says one thing per level and gives back stderr and the log.
    fn said(verbosity: i8, rust_log: Option<&str>) -> (String, String) {
        let (memory, log) = (Memory::default(), LogFile::default());
        let writer = memory.clone();
        let subscriber = subscriber(
            verbosity,
            false,
            rust_log,
            move || writer.clone(),
            log.clone(),
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs").join("run.log");
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("alpha");
            tracing::warn!("beta");
            log.open(&path).unwrap();
            tracing::info!("gamma");
            tracing::debug!("delta");
            tracing::info!(target: "report", "step 1");
        });
        let shown = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        (shown, std::fs::read_to_string(path).unwrap())
    }

    fn words(text: &str) -> Vec<&str> {
        let known = ["alpha", "beta", "gamma", "delta", "step 1"];
        known
            .into_iter()
            .filter(|word| text.contains(word))
            .collect()
    }

    #[test]
    fn stderr_is_quiet_unless_asked() {
        assert_eq!(words(&said(-1, None).0), ["alpha"]);
        assert_eq!(words(&said(0, None).0), ["alpha", "beta"]);
        assert_eq!(words(&said(1, None).0), ["alpha", "beta", "gamma"]);
        assert_eq!(words(&said(2, None).0), ["alpha", "beta", "gamma", "delta"]);
        assert_eq!(
            words(&said(0, Some("debug")).0),
            ["alpha", "beta", "gamma", "delta"]
        );
        assert_eq!(said(0, None).0, "ERROR alpha\n WARN beta\n");
    }

    #[test]
    fn the_log_has_what_was_said_before_it_had_a_place_and_what_was_reported() {
        assert_eq!(
            words(&said(-1, None).1),
            ["alpha", "beta", "gamma", "step 1"]
        );
        assert_eq!(
            words(&said(2, None).1),
            ["alpha", "beta", "gamma", "delta", "step 1"]
        );
    }

    #[test]
    fn a_filter_nobody_understands_is_a_coded_error() {
        let result = subscriber(0, false, Some("a=b=c"), std::io::sink, LogFile::default());
        assert_eq!(result.err().map(|e| e.code), Some(Code::Usage));
    }
}
