//! A prepared run takes its folder: everything its workers need is written, and its ledger says who leads.
//!
//! In: a [`PreparedRun`], and the address at which workers will reach this coordinator. Out: a
//! [`RunSetup`]. The stations, in order: ledger, starting point, datasets, work, term, recall. Keeps: the
//! ledger's lines are the last that is written, so a run that has one has everything it needs.

use std::sync::Arc;

use shared::config::{self, RunConfig};
use shared::error::Result;
use shared::ids::RunId;
use shared::ledger::{self, Parent, Record};
use shared::run_paths::{RESOLVED, RunPaths};
use shared::storage::{Folder, Objects, OutputLock};

use super::base::BaseModel;
use super::folder::unwritable;
use super::identity;
use super::output_dir::remove_run;
use super::parent_data;
use super::prepare::PreparedRun;
use super::recall::{Recalled, recall};
use super::starting_point::{Beginning, set_aside, starting_point, unrecorded};
use super::work::Work;
use crate::engine::Restorable;
use crate::store::{FileStore, Leading, Opened, Start, Store};

/// A run that is ready for workers.
pub struct RunSetup {
    pub(super) config: Arc<RunConfig>,
    pub(super) base: BaseModel,
    pub(super) work: Work,
    /// The state that the run begins with or goes on from.
    pub(super) from: Restorable,
    /// The run, and the term of this start.
    pub(super) record: Leading,
    /// The ledger; this start's term is in it.
    pub(super) store: Box<dyn Store>,
    /// What the ledger tells a coordinator that comes back.
    pub(super) recalled: Recalled,
    /// What people should know.
    pub(super) notices: Vec<String>,
    /// Held until the run ends.
    pub(super) lock: Arc<OutputLock>,
}

impl PreparedRun {
    /// Writes what workers need, then who leads them.
    ///
    /// # Errors
    /// [`Code::Unwritable`](shared::error::Code::Unwritable),
    /// [`Code::NoCheckpoint`](shared::error::Code::NoCheckpoint), and whatever is wrong with the ledger.
    pub fn begin(self, address: &str) -> Result<RunSetup> {
        let Self {
            loaded,
            base,
            parent: trained_on,
            identity,
            start,
            overwrite,
            mut notices,
            data,
            folder,
        } = self;
        let config = &loaded.config;
        let paths = RunPaths::new(&config.output_dir);
        let output_dir = config.output_dir.as_path();
        let objects = Folder::new(output_dir);
        let failed = |e| unwritable(output_dir, &e);
        let (ledger, lock) = folder.keep()?;
        if overwrite {
            remove_run(output_dir).map_err(failed)?;
        }
        let Opened {
            mut store,
            state,
            mut replay,
            notice,
        } = FileStore::open(output_dir, ledger, Arc::clone(&lock))?;
        notices.extend(notice);
        let run_identity = identity::digest(&identity);
        let resume = resumed(config, start);
        let state = state.as_ref();
        let Beginning {
            from,
            parent,
            damaged,
        } = starting_point(&objects, resume, &run_identity, state, &mut notices)?;
        std::fs::create_dir_all(paths.logs()).map_err(failed)?;
        let prepared = paths.prepared();
        let datasets = data.publish(&prepared)?;
        let resolved = config::resolved_yaml(&loaded);
        objects.put(RESOLVED, resolved.as_bytes())?;
        let is_new = start == Start::New;
        let parent_rows =
            parent_data::rows(config, &base.tokenizer, &prepared, is_new, &mut notices)?;
        let work = Work::plan(config, &base.prompts, datasets, parent_rows.as_deref())?;
        if is_new {
            let run = ledger::Run {
                run_identity,
                identity,
                ..begins(&work, &from, parent.or(trained_on))
            };
            store.append(&Record::Run(run))?;
        }
        let record = store.lead(address)?;
        for damaged in &damaged {
            if let Some(line) = set_aside(&objects, damaged, &replay, &mut notices) {
                store.append(&line)?;
                replay.follow(&line);
            }
        }
        if let Some(line) = unrecorded(&objects, &from, &replay) {
            store.append(&line)?;
            replay.follow(&line);
        }
        let recalled = recall(&objects, &store, &replay, &from)?;
        Ok(RunSetup {
            config: Arc::new(loaded.config),
            base,
            work,
            from,
            record,
            store: Box::new(store),
            recalled,
            notices,
            lock,
        })
    }
}

/// What a run goes on from: what is asked for, or what lies there when it only goes on.
fn resumed(config: &RunConfig, start: Start) -> Option<&str> {
    let asked = config.resume_from_checkpoint.as_deref();
    asked.or((start == Start::Continue).then_some("auto"))
}

/// The first line of a ledger, but for the identity.
fn begins(work: &Work, from: &Restorable, parent: Option<Parent>) -> ledger::Run {
    ledger::Run {
        format: ledger::form(!work.evaluation_sets.is_empty()),
        version: env!("CARGO_PKG_VERSION").into(),
        run_id: RunId(new_run_id()),
        total_steps: work.plan.total_steps(),
        begins_after: from.step,
        parent,
        ..ledger::Run::default()
    }
}

/// 16 hexadecimal digits that differ from run to run; a name, never an input.
fn new_run_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = format!("{:?} {}", now.unwrap_or_default(), std::process::id());
    blake3::hash(seed.as_bytes())
        .to_hex()
        .chars()
        .take(16)
        .collect()
}
