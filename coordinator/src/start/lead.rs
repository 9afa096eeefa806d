//! A run that is set up is led: its history is opened, then its door, then the driver runs to the end.
//!
//! In: a [`RunSetup`], how many workers are asked for, a listener. Out: how the run ended. Keeps: whoever
//! reads that the coordinator listens finds every file of the run, and an open door.

use std::path::Path;
use std::sync::Arc;

use shared::config::RunConfig;
use shared::error::Result;
use shared::evaluation::{Course, Prompts};
use shared::faults::Faults;
use shared::net::Listener;
use shared::run_paths::RunPaths;
use shared::storage::Folder;
use shared::telemetry::LogFile;
use shared::text::TextTokenizer;
use shared::wire::message::SyncSource;
use tokio::sync::{mpsc, oneshot};

use super::options::{Crew, options};
use super::run_schedule::RunSchedule;
use super::setup::RunSetup;
use crate::driver::{Driver, End, Journal, LedgerHistory, LocalWorkers, Run};
use crate::engine::Engine;
use crate::history::{Answers, EventSink, Reporter, RunEvent};
use crate::rpc::{NO_WORKER_CAN_CONNECT, SessionService, Traffic};

/// Session events waiting at most.
const EVENTS: usize = 4096;

/// Leads a run to its end. Workers reach it at `door`.
///
/// # Errors
/// Whatever stops the run, coded.
pub async fn lead(
    mut setup: RunSetup,
    crew: Crew,
    door: Listener,
    mut reporter: Reporter,
    log: &LogFile,
    faults: Faults,
) -> Result<End> {
    let notices = std::mem::take(&mut setup.notices);
    let mut said: Vec<_> = notices.into_iter().map(RunEvent::notice).collect();
    said.iter().try_for_each(|event| reporter.take(event))?;
    let options = options(&setup, crew)?;
    let timeouts = RunEvent::notice(options.timeouts.to_string());
    reporter.take(&timeouts)?;
    said.push(timeouts);
    let timeouts = options.timeouts;
    let paths = RunPaths::new(&setup.config.output_dir);
    log.open(&paths.coordinator_log())?;
    let schedule = RunSchedule::new(
        Arc::clone(&setup.work.plan),
        setup.work.evaluation.clone(),
        &setup.base.prompts,
    );
    let remembered = std::mem::take(&mut setup.recalled.remembered);
    let engine = Engine::new(options, Box::new(schedule), setup.from.clone(), remembered);
    let mut journal = journal(&setup, reporter, engine.course(), &said)?;
    let tokenizer_files = setup.base.tokenizer.files().to_vec();
    keep_answers(
        &mut journal,
        &setup.config,
        &setup.base.prompts,
        setup.base.tokenizer,
    )?;
    let traffic = Arc::new(Traffic::default());
    let (events, sessions) = mpsc::channel(EVENTS);
    let address = door.address();
    let service =
        SessionService::new(events, Arc::clone(&traffic), setup.record.term).into_server();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = door.server().add_service(service);
    let incoming = door.incoming(NO_WORKER_CAN_CONNECT);
    let server = tokio::spawn(server.serve_with_incoming_shutdown(incoming, async move {
        let _ = stopped.await;
    }));
    // Only now: whoever reads this line finds every file of the run, and an open door.
    journal.listening(&address.to_string());
    let local = LocalWorkers::start(crew.local_workers, address, &paths.logs())?;
    let run = Run {
        timeouts,
        objects: Arc::new(Folder::new(paths.output_dir())),
        paths,
        plan: setup.work.plan,
        evaluation_sets: setup.work.evaluation_sets,
        expected: setup.base.expected,
        tokenizer_files,
        record: setup.record,
    };
    let driver = Driver::new(engine, run, setup.store, faults, journal, traffic, local);
    // On the process's first thread: while it waits for a slow disk the sessions' tasks go on.
    let end = driver.run(sessions).await;
    drop(stop);
    server.abort();
    drop(setup.lock);
    end
}

/// The history of the run so far, opened behind the state that the run goes on from.
fn journal(
    setup: &RunSetup,
    reporter: Reporter,
    course: &Course,
    said: &[RunEvent],
) -> Result<Journal> {
    let checkpoint = match &setup.from.source {
        SyncSource::Checkpoint(folder) => Some(Path::new(folder)),
        _ => None,
    };
    Journal::open(
        Arc::clone(&setup.config),
        Arc::clone(&setup.work.plan),
        reporter,
        setup.from.step,
        checkpoint,
        &LedgerHistory {
            commits: &setup.recalled.since,
            ahead: &setup.recalled.ahead,
            evaluations: &setup.recalled.evaluations,
            course,
            sets: &setup.work.evaluation_sets,
        },
        said,
    )
}

/// Where prompts are asked, the answers are kept beside the result.
fn keep_answers(
    journal: &mut Journal,
    config: &RunConfig,
    prompts: &Prompts,
    tokenizer: TextTokenizer,
) -> Result<()> {
    if prompts.ids.is_empty() {
        return Ok(());
    }
    let texts = &config.evaluation.prompts;
    let answers = Answers::open(&config.output_dir, texts, prompts.clone(), tokenizer)?;
    journal.keep_answers(answers);
    Ok(())
}
