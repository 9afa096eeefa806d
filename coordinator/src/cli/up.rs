//! `coordinator up`: prepare, listen, lead, end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shared::config::{DeviceClassPolicy, RunConfig};
use shared::error::{Code, Error, Result};
use shared::evaluation::{Course, Patience, Prompts};
use shared::faults::Faults;
use shared::manifest::{ExpectedTensor, Manifest};
use shared::security::check_loopback;
use shared::telemetry::LogFile;
use shared::text::TextTokenizer;
use shared::wire::message::{SyncSource, Welcome};
use shared::wire::session_server;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::UpArgs;
use super::planned::Planned;
use super::prepare::{self, Prepared};
use super::recall::{self, Recalled, recall};
use crate::driver::{Driver, End, Journal, LocalWorkers, Run, Since};
use crate::engine::{Engine, Ladder, Options, Remembered};
use crate::history::{Answers, Reporter};
use crate::rpc::{SessionService, Traffic, bind, incoming};

/// Session events waiting at most.
const EVENTS: usize = 4096;

/// Leads a run to its end.
///
/// # Errors
/// Whatever stops it, coded; before the first worker is asked, nothing was written.
pub async fn run(args: &UpArgs, cwd: &Path, mut reporter: Reporter, log: &LogFile) -> Result<End> {
    let faults = Faults::from_environment()?;
    check_loopback(args.listen, args.insecure)?;
    // A port that is named and taken is said before anything else is looked at.
    let named = match args.listen.port() {
        0 => None,
        _ => Some(bind(args.listen).await?),
    };
    let (file, set, overwrite) = (args.config.clone(), args.set.clone(), args.overwrite);
    let folder = cwd.to_path_buf();
    let inspected = blocking(move || prepare::inspect(&file, &set, &folder, overwrite)).await?;
    let (listener, address) = match named {
        Some(bound) => bound,
        None => bind_again(args.listen, inspected.address()).await?,
    };
    let reached = address.to_string();
    let prepared = blocking(move || prepare::take(inspected, overwrite, &reached)).await?;
    let Recalled {
        mut remembered,
        since,
        ahead,
        evaluations,
    } = remember(&prepared)?;
    for notice in &prepared.notices {
        reporter.notice(notice);
    }
    inherit_evaluations(&mut remembered, &prepared)?;
    let options = options(args, &prepared)?;
    reporter.notice(&options.ladder.to_string());
    let checkpoint = match &prepared.from.source {
        SyncSource::Checkpoint(folder) => Some(Path::new(folder)),
        _ => None,
    };
    log.open(&prepared.config.output_dir.join("logs/coordinator.log"))?;
    let mut journal = Journal::open(
        Arc::clone(&prepared.config),
        Arc::clone(&prepared.plan),
        reporter,
        prepared.from.step,
        checkpoint,
        &Since {
            commits: &since,
            ahead: &ahead,
            evaluations: &evaluations,
            course: Course::new(options.patience, remembered.evaluations.clone()),
            sets: &prepared.evaluation_sets,
        },
    )?;
    keep_answers(
        &mut journal,
        &prepared.config,
        prepared.prompts.clone(),
        prepared.tokenizer,
    )?;
    let traffic = Arc::new(Traffic::default());
    let (events, sessions) = mpsc::channel(EVENTS);
    let service =
        SessionService::new(events, Arc::clone(&traffic), prepared.record.term).into_server();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(
        session_server()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming(listener), async move {
                let _ = stopped.await;
            }),
    );
    // Only now: whoever reads this line finds every file of the run, and an open door.
    journal.listening(&address.to_string());
    let logs = prepared.config.output_dir.join("logs");
    let local = LocalWorkers::start(args.local_workers, address, &logs)?;
    let schedule = Box::new(Planned::new(
        Arc::clone(&prepared.plan),
        prepared.evaluation,
        &prepared.prompts,
    ));
    let course = Course::new(options.patience, remembered.evaluations.clone());
    let ladder = options.ladder;
    let evaluation_sets = options.welcome.evaluation_sets.clone();
    let engine = Engine::new(options, schedule, prepared.from.clone(), remembered);
    let run = Run {
        ladder,
        output_dir: prepared.config.output_dir.clone(),
        plan: prepared.plan,
        evaluation_sets,
        course,
        expected: prepared.expected,
        tokenizer_files: prepared.tokenizer_files,
        record: prepared.record,
    };
    let store = Box::new(prepared.store);
    let driver = Driver::new(engine, run, store, faults, journal, traffic, local);
    // On the process's first thread: while it waits for a slow disk the sessions' tasks go on.
    let end = driver.run(sessions).await;
    drop(stop);
    server.abort();
    drop(prepared.lock);
    end
}

fn options(args: &UpArgs, prepared: &Prepared) -> Result<Options> {
    let config = &prepared.config;
    let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let min_workers = args.min_workers.unwrap_or(config.min_workers);
    let wait_workers = args
        .wait_workers
        .unwrap_or(min_workers.max(args.local_workers));
    Ok(Options {
        run: prepared.record.run_id.clone(),
        term: prepared.record.term,
        welcome: Welcome {
            config_json: config.to_json()?,
            base_digest: prepared.base_digest.clone(),
            dataset_path: prepared.dataset.display().to_string(),
            run_identity: prepared.record.run_identity.clone(),
            evaluation_sets: prepared.evaluation_sets.clone(),
            prompts: prepared.prompts.clone(),
            ..Welcome::default()
        },
        device: config.device.clone(),
        strict_devices: config.device_class == DeviceClassPolicy::Strict,
        device_class: class_before(prepared)?,
        min_workers: count(min_workers),
        max_workers: config.max_workers.map_or(usize::MAX, count),
        wait_workers: count(wait_workers),
        save_steps: config.save_steps,
        save_total_limit: config.save_total_limit,
        best_is_the_result: config.evaluation.patience.is_some(),
        parameters: parameters(&prepared.expected),
        audit_rate: config.audit_rate,
        stability: config.stability.clone(),
        patience: Patience {
            evaluations: config.evaluation.patience,
            threshold: config.evaluation.threshold,
        },
        ladder: Ladder::new(
            Duration::from_secs_f64(config.failure_detection),
            Duration::from_secs_f64(config.ride_through),
        )?,
        staging: config.output_dir.join(".staging"),
    })
}

/// Elements that are trained.
fn parameters(expected: &[ExpectedTensor]) -> u64 {
    let elements = expected.iter().map(|tensor| tensor.shape.iter().product());
    elements.map(|elements: usize| elements as u64).sum()
}

/// What the ledger tells a coordinator that comes back.
fn remember(prepared: &Prepared) -> Result<Recalled> {
    let (folder, replay) = (&prepared.config.output_dir, &prepared.replay);
    let stored = recall::stored(folder, replay);
    recall(folder, &prepared.state, replay, prepared.from.step, stored)
}

/// Where prompts are asked, the answers are kept beside the result.
fn keep_answers(
    journal: &mut Journal,
    config: &RunConfig,
    prompts: Prompts,
    tokenizer: TextTokenizer,
) -> Result<()> {
    if prompts.ids.is_empty() {
        return Ok(());
    }
    let texts = &config.evaluation.prompts;
    let answers = Answers::open(&config.output_dir, texts, prompts, tokenizer)?;
    journal.keep_answers(answers);
    Ok(())
}

/// A run that goes on from elsewhere takes the evaluations over with the state.
fn inherit_evaluations(remembered: &mut Remembered, prepared: &Prepared) -> Result<()> {
    let SyncSource::Checkpoint(folder) = &prepared.from.source else {
        return Ok(());
    };
    let before = Manifest::read(Path::new(folder))?.evaluations;
    let newest = before.keys().next_back().copied();
    remembered.evaluated = remembered.evaluated.or(newest);
    for (step, sums) in before {
        remembered.evaluations.entry(step).or_insert(sums);
    }
    Ok(())
}

/// The device class of the checkpoint that this run goes on from: under `strict` its workers are of
/// that one. What it took from another run binds nobody.
fn class_before(prepared: &Prepared) -> Result<Option<String>> {
    let SyncSource::Checkpoint(folder) = &prepared.from.source else {
        return Ok(None);
    };
    let folder = Path::new(folder);
    if !folder.starts_with(&prepared.config.output_dir) {
        return Ok(None);
    }
    let mut classes = Manifest::read(folder)?.device_classes;
    let only = classes.pop_first();
    Ok(only.filter(|_| classes.is_empty()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::new(Code::Internal, "preparation broke").why(e.to_string()))?
}

/// Port 0: where this run listened before, so that its workers find it again; else any free one.
async fn bind_again(listen: SocketAddr, before: Option<&str>) -> Result<(TcpListener, SocketAddr)> {
    let before = before.and_then(|address| address.parse::<SocketAddr>().ok());
    if let Some(before) = before.filter(|b| b.ip() == listen.ip())
        && let Ok(bound) = bind(before).await
    {
        return Ok(bound);
    }
    bind(listen).await
}
