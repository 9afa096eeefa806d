//! `coordinator up`: prepare, listen, lead, end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::plan::Plan;
use shared::security::check_loopback;
use shared::telemetry::LogFile;
use shared::wire::message::{SyncSource, Welcome};
use shared::wire::session_server;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;

use super::UpArgs;
use super::prepare::{self, Prepared};
use crate::driver::{Driver, End, Journal, LocalWorkers, Run};
use crate::engine::{Engine, Options, Schedule};
use crate::history::Reporter;
use crate::rpc::{SessionService, Traffic, bind};

/// Silence longer than this is an eviction; other times are derived from it.
const LEASE: Duration = Duration::from_secs(10);
/// How long a worker may take to hash and load a base model.
const LOAD_DEADLINE: Duration = Duration::from_secs(3600);
/// How long a worker may take to bring its state up.
const SYNC_DEADLINE: Duration = Duration::from_secs(300);

/// Session events waiting at most.
const EVENTS: usize = 4096;

impl Schedule for Arc<Plan> {
    fn total_steps(&self) -> u64 {
        Plan::total_steps(self)
    }

    fn micro_batches(&self, step: Step) -> u32 {
        u32::try_from(self.step(step).micro_batches.len()).unwrap_or(u32::MAX)
    }
}

/// Leads a run to its end.
///
/// # Errors
/// Whatever stops it, coded; before the first worker is asked, nothing was written.
pub async fn run(args: &UpArgs, cwd: &Path, mut reporter: Reporter, log: &LogFile) -> Result<End> {
    check_loopback(args.listen, args.insecure)?;
    let (listener, address) = bind(args.listen).await?;
    let (file, set, overwrite) = (args.config.clone(), args.set.clone(), args.overwrite);
    let folder = cwd.to_path_buf();
    let reached = address.to_string();
    let prepared = tokio::task::spawn_blocking(move || {
        prepare::take(
            prepare::inspect(&file, &set, &folder, overwrite)?,
            overwrite,
            &reached,
        )
    });
    let prepared = prepared
        .await
        .map_err(|e| Error::new(Code::Internal, "preparation broke").why(e.to_string()))??;
    for notice in &prepared.notices {
        reporter.notice(notice);
    }
    let options = options(args, &prepared);
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
    )?;
    let traffic = Arc::new(Traffic::default());
    let (events, sessions) = mpsc::channel(EVENTS);
    let service = SessionService::new(events, Arc::clone(&traffic)).into_server();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(
        session_server()
            .add_service(service)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
                let _ = stopped.await;
            }),
    );
    // Only now: whoever reads this line finds every file of the run, and an open door.
    journal.listening(&address.to_string());
    let logs = prepared.config.output_dir.join("logs");
    let local = LocalWorkers::start(args.local_workers, address, &logs)?;
    let schedule = Box::new(Arc::clone(&prepared.plan));
    let engine = Engine::new(options, schedule, prepared.from.clone());
    let run = Run {
        output_dir: prepared.config.output_dir.clone(),
        plan: prepared.plan,
        save_total_limit: prepared.config.save_total_limit,
        expected: prepared.expected,
        tokenizer_files: prepared.tokenizer_files,
        record: prepared.record,
    };
    let end = Driver::new(engine, run, journal, traffic, local)
        .run(sessions)
        .await;
    drop(stop);
    server.abort();
    drop(prepared.lock);
    end
}

fn options(args: &UpArgs, prepared: &Prepared) -> Options {
    let config = &prepared.config;
    let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let min_workers = args.min_workers.unwrap_or(config.min_workers);
    let wait_workers = args
        .wait_workers
        .unwrap_or(min_workers.max(args.local_workers));
    Options {
        run: prepared.record.run_id.clone(),
        term: prepared.record.term,
        welcome: Welcome {
            worker_id: String::new(),
            config_json: serde_json::to_string(&**config).unwrap_or_default(),
            base_digest: prepared.base_digest.clone(),
            dataset_path: prepared.dataset.display().to_string(),
            dataset_digest: prepared.dataset_digest.clone(),
            run_identity: prepared.record.run_identity.clone(),
            lease_ms: u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX),
        },
        device: config.device.clone(),
        min_workers: count(min_workers),
        wait_workers: count(wait_workers),
        save_steps: config.save_steps,
        lease: LEASE,
        load_deadline: LOAD_DEADLINE,
        sync_deadline: SYNC_DEADLINE,
        staging: config.output_dir.join(".staging"),
    }
}
