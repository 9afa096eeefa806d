//! Everything that can be known before the first worker: configuration, base model, data, output.
//!
//! Nothing is written before all of it is checked; what is written then is the prepared dataset,
//! the resolved configuration and the first lines of the run's ledger.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::config::{self, Loaded, Quantization, RunConfig};
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::evaluation::{EvaluationPlan, EvaluationSet, Prompts};
use shared::ids::RunId;
use shared::ledger::{self, Parent, State};
use shared::manifest::{self, ExpectedTensor};
use shared::model::{self, AdapterShape, ModelConfig};
use shared::numerics::{GRADIENT_SCALE_BITS, LOSS_SCALE_BITS};
use shared::plan::Plan;
use shared::storage::{OutputLock, write_atomic};
use shared::text::{ChatTemplate, TextTokenizer};

use super::begin::{Beginning, lead, set_aside, starting_point, unrecorded};
use super::output_dir::{PREPARED, check_writable, existing, remove_run, survives_overwrite};
use super::prompts::prompts;
use super::{bounds, evaluation, old_data, parent, progress};
use crate::data;
use crate::engine::Restorable;
use crate::store::{
    self, Existing, FileStore, LEDGER, Leading, Opened, Reading, Replay, Start, Store, decide,
};

/// A run that is ready for workers.
pub struct Prepared {
    /// The configuration.
    pub config: Arc<RunConfig>,
    /// The run and the term of this start.
    pub record: Leading,
    /// The ledger: this start's term is its last line.
    pub store: FileStore,
    /// What the ledger's lines fold to.
    pub state: State,
    /// What a restart needs beside the state.
    pub replay: Replay,
    /// Digest of the base model.
    pub base_digest: String,
    /// The prepared dataset; the file's name is its digest.
    pub dataset: PathBuf,
    /// Every step.
    pub plan: Arc<Plan>,
    /// What is evaluated.
    pub evaluation_sets: Vec<EvaluationSet>,
    /// What is answered at each evaluation.
    pub prompts: Prompts,
    /// Every evaluation.
    pub evaluation: EvaluationPlan,
    /// What the adapter file must hold.
    pub expected: Vec<ExpectedTensor>,
    /// Files that belong beside the adapter.
    pub tokenizer_files: Vec<PathBuf>,
    /// Text of the answers to prompts.
    pub tokenizer: TextTokenizer,
    /// Where the run begins or goes on.
    pub from: Restorable,
    /// What people should know.
    pub notices: Vec<String>,
    /// Held until the run ends.
    pub lock: Arc<OutputLock>,
}

/// What is known without having written anything.
pub struct Inspected {
    loaded: Loaded,
    base_digest: String,
    expected: Vec<ExpectedTensor>,
    tokenizer: TextTokenizer,
    prompts: Prompts,
    data: data::Ready,
    validation: Option<data::Ready>,
    identity: BTreeMap<String, String>,
    run_identity: String,
    /// The ledger as it was when nobody held the lock.
    ledger: Option<Reading>,
    parent: Option<Parent>,
    notices: Vec<String>,
}

impl Inspected {
    /// Where the last coordinator of this run listened: its workers look there.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        let state = self.ledger.as_ref()?.book.state()?;
        Some(state.leader.as_ref()?.address.as_str())
    }
}

/// Reads and checks everything; has no side effect.
///
/// # Errors
/// Whatever is wrong with configuration, base model, data or output folder.
pub fn inspect(file: &Path, set: &[String], cwd: &Path, overwrite: bool) -> Result<Inspected> {
    let mut loaded = config::load(file, set, cwd)?;
    let config = &loaded.config;
    config::check_paths(config)?;
    bounds::configuration(config)?;
    if overwrite {
        survives_overwrite(config)?;
    }
    let model_config = ModelConfig::load(&config.base_model)?;
    let adapter = AdapterShape::new(&config.into(), &model_config)?;
    let weights = model::WeightFiles::open(&config.base_model, &model_config)?;
    weights.check_form(config.quantization.form)?;
    let quantized = weights.is_quantized() || config.quantization.form != Quantization::None;
    model::check_init(quantized, config.adapter.init)?;
    let expected = adapter.expected();
    let tokenizer = TextTokenizer::load(&config.base_model)?;
    let template = ChatTemplate::find(&config.base_model)?;
    let prompts = prompts(config, &model_config, &tokenizer, template.as_ref())?;
    bounds::told(config, &prompts)?;
    let prepared = config.output_dir.join(PREPARED);
    let data = data::ready(
        config,
        &tokenizer,
        template.as_ref(),
        &prepared,
        &mut progress::shown(),
    )?;
    let validation = match &config.evaluation.dir {
        Some(folder) => Some(data::ready(
            &evaluation::validation_config(config, folder),
            &tokenizer,
            template.as_ref(),
            &prepared,
            &mut progress::shown(),
        )?),
        None => None,
    };
    let base_digest = model::base_digest(&config.base_model)?;
    let mut identity = config::identity_fields(config);
    identity.insert("base_model".into(), base_digest.clone());
    identity.insert("dataset".into(), data.digest.clone());
    let digest = validation.as_ref().map(|v| &v.digest);
    if let Some(digest) = digest.or(data.validation.as_ref()) {
        identity.insert("validation".into(), digest.clone());
    }
    identity.insert(
        "arithmetic".into(),
        format!("i64 2^-{GRADIENT_SCALE_BITS} 2^-{LOSS_SCALE_BITS}"),
    );
    if let Some(folder) = &config.init_adapter {
        let file = folder.join("adapter_model.safetensors");
        manifest::verify_listed(folder, &[&file, &folder.join("adapter_config.json")])?;
        let file = manifest::file_digest(&file)?;
        identity.insert("init_adapter".into(), file.sha256);
    }
    let parent = parent::find(config, &identity, &expected)?;
    if let Some(earlier) = &parent {
        let digest = earlier.parent.state_digest.clone();
        identity.insert("parent".into(), digest);
    }
    let run_identity = identity_digest(&identity);
    check_writable(&config.output_dir)?;
    let ledger = ledger(config, overwrite)?;
    let state = ledger.as_ref().and_then(|reading| reading.book.state());
    let found = if overwrite {
        Existing::Nothing
    } else {
        existing(&config.output_dir, state)
    };
    decide(&config.output_dir, found, &run_identity, &identity)?;
    let mut notices = loaded.notices.clone();
    notices.push(data.report.to_string());
    notices.extend(
        validation
            .as_ref()
            .map(|v| format!("validation: {}", v.report)),
    );
    if let Some(earlier) = &parent {
        notices.extend(parent::words(earlier));
        loaded.config.parent = Some(earlier.folder.clone());
    }
    Ok(Inspected {
        parent: parent.map(|earlier| earlier.parent),
        loaded,
        base_digest,
        expected,
        tokenizer,
        prompts,
        data,
        validation,
        identity,
        run_identity,
        ledger,
        notices,
    })
}

/// The ledger that lies there: this is the only time that a start reads it.
fn ledger(config: &RunConfig, overwrite: bool) -> Result<Option<Reading>> {
    if overwrite {
        return Ok(None);
    }
    store::read(&config.output_dir.join(LEDGER), |_, _| Ok(()))
}

/// Writes the prepared data, and that for validation.
fn publish(
    data: &data::Ready,
    validation: Option<&data::Ready>,
    prepared: &Path,
) -> Result<(PathBuf, Option<PathBuf>)> {
    let dataset = data.publish(prepared)?;
    let validation = match validation {
        Some(ready) => Some(ready.publish(prepared)?),
        None => {
            let split = data.validation.as_ref();
            split.map(|digest| data::dataset_path(prepared, digest))
        }
    };
    Ok((dataset, validation))
}

/// Takes the output folder and writes what workers need. Workers will reach the coordinator at
/// `address`.
///
/// # Errors
/// [`Code::Locked`], [`Code::Unwritable`], [`Code::NoCheckpoint`], and whatever is wrong with the
/// ledger.
#[allow(
    clippy::too_many_lines,
    reason = "one start, in the order in which it must happen"
)]
pub fn take(inspected: Inspected, overwrite: bool, address: &str) -> Result<Prepared> {
    let Inspected {
        loaded,
        base_digest,
        expected,
        tokenizer,
        prompts,
        data,
        validation,
        identity,
        run_identity,
        ledger,
        parent: trained_on,
        mut notices,
    } = inspected;
    let output_dir = loaded.config.output_dir.clone();
    let unwritable = |e: std::io::Error| {
        Error::new(Code::Unwritable, "output_dir cannot be written")
            .in_file(&output_dir)
            .why(e.to_string())
            .fix("--set output_dir=FOLDER that you may write to")
    };
    std::fs::create_dir_all(&output_dir).map_err(unwritable)?;
    let lock = Arc::new(OutputLock::take(&output_dir.join(".lock"))?);
    if overwrite {
        remove_run(&output_dir).map_err(unwritable)?;
    }
    let Opened {
        mut store,
        state,
        mut replay,
        notice,
    } = FileStore::open(&output_dir, ledger, Arc::clone(&lock))?;
    notices.extend(notice);
    // Decided again: another coordinator may have worked here until the lock was taken.
    let found = existing(&output_dir, state.as_ref());
    let start = decide(&output_dir, found, &run_identity, &identity)?;
    let resume = match (loaded.config.resume_from_checkpoint.as_deref(), start) {
        (None, Start::Continue) => Some("auto"),
        (resume, _) => resume,
    };
    let Beginning {
        from,
        parent,
        damaged,
    } = starting_point(
        &output_dir,
        resume,
        &run_identity,
        state.as_ref(),
        &mut notices,
    )?;
    std::fs::create_dir_all(output_dir.join("logs")).map_err(unwritable)?;
    let prepared = output_dir.join(PREPARED);
    let (dataset, validation) = publish(&data, validation.as_ref(), &prepared)?;
    write_atomic(
        &output_dir.join("resolved.yaml"),
        config::resolved_yaml(&loaded).as_bytes(),
    )?;
    let samples = PreparedDataset::open(&dataset)?;
    let plan = Plan::new(&loaded.config, samples.target_tokens(), samples.lengths());
    let (config, begins) = (&loaded.config, matches!(start, Start::New));
    let old = old_data::rows(config, &tokenizer, &prepared, begins, &mut notices)?;
    let trained = (dataset.as_path(), &samples);
    let evaluation_sets = evaluation::sets(trained, validation.as_deref(), old.as_deref())?;
    let evaluation = evaluation::plan(&loaded.config, &plan, &evaluation_sets, &prompts)?;
    bounds::micro_batches("an evaluation", evaluation.count() as u64)?;
    let begins = match start {
        Start::Continue => None,
        Start::New => Some(ledger::Run {
            format: ledger::form(!evaluation_sets.is_empty()),
            version: env!("CARGO_PKG_VERSION").into(),
            run_id: RunId(new_run_id()),
            run_identity,
            identity,
            total_steps: plan.total_steps(),
            begins_after: from.step,
            parent: parent.or(trained_on),
        }),
    };
    let record = lead(&mut store, begins, address)?;
    for damaged in &damaged {
        if let Some(line) = set_aside(&output_dir, damaged, &replay, &mut notices) {
            store.append(&line)?;
            replay.follow(&line);
        }
    }
    if let Some(line) = unrecorded(&output_dir, &from, &replay) {
        store.append(&line)?;
        replay.follow(&line);
    }
    let state = store.state().cloned();
    Ok(Prepared {
        config: Arc::new(loaded.config),
        record,
        state: state.ok_or_else(|| Error::new(Code::Internal, "the ledger has no run"))?,
        store,
        replay,
        base_digest,
        dataset,
        plan: Arc::new(plan),
        evaluation_sets,
        prompts,
        evaluation,
        expected,
        tokenizer_files: tokenizer.files().to_vec(),
        tokenizer,
        from,
        notices,
        lock,
    })
}

/// Digest over everything that decides the adapter.
pub(super) fn identity_digest(identity: &BTreeMap<String, String>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (key, value) in identity {
        hasher
            .update(&(key.len() as u64).to_le_bytes())
            .update(key.as_bytes());
        hasher
            .update(&(value.len() as u64).to_le_bytes())
            .update(value.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
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
