//! Everything that can be known before the first worker: configuration, base model, data, output.
//!
//! Nothing is written before all of it is checked; what is written then is the prepared dataset,
//! the resolved configuration and the run's record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::config::{self, Loaded, RunConfig};
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::ids::{RunId, Term};
use shared::manifest::{self, ExpectedTensor, checkpoints};
use shared::model::{self, ModelConfig};
use shared::numerics::{GRADIENT_SCALE_BITS, LOSS_SCALE_BITS};
use shared::plan::Plan;
use shared::storage::{OutputLock, write_atomic};
use shared::text::{ChatTemplate, TextTokenizer};
use shared::wire::message::SyncSource;

use crate::data;
use crate::engine::Restorable;
use crate::store::{Existing, RUN_RECORD, RunRecord, Start, decide};

/// Files and folders a run writes into its output folder, for `--overwrite`.
const OWN_FILES: &[&str] = &[
    "adapter_config.json",
    "adapter_model.safetensors",
    "pytorch_lora_weights.safetensors",
    "manifest.json",
    "metrics.jsonl",
    "resolved.yaml",
    "trainer_state.json",
    RUN_RECORD,
];
/// Prepared datasets, in the output folder.
const PREPARED: &str = "prepared";
const OWN_FOLDERS: &[&str] = &["logs", ".staging"];

/// A run that is ready for workers.
pub struct Prepared {
    /// The configuration.
    pub config: Arc<RunConfig>,
    /// What survives a restart.
    pub record: RunRecord,
    /// Digest of the base model.
    pub base_digest: String,
    /// The prepared dataset.
    pub dataset: PathBuf,
    /// Its digest.
    pub dataset_digest: String,
    /// Every step.
    pub plan: Arc<Plan>,
    /// What the adapter file must hold.
    pub expected: Vec<ExpectedTensor>,
    /// Files that belong beside the adapter.
    pub tokenizer_files: Vec<PathBuf>,
    /// Where the run begins or goes on.
    pub from: Restorable,
    /// What people should know.
    pub notices: Vec<String>,
    /// Held until the run ends.
    pub lock: OutputLock,
}

/// What is known without having written anything.
pub struct Inspected {
    loaded: Loaded,
    base_digest: String,
    expected: Vec<ExpectedTensor>,
    tokenizer: TextTokenizer,
    data: data::Ready,
    identity: BTreeMap<String, String>,
    run_identity: String,
    start: Start,
    notices: Vec<String>,
}

/// Reads and checks everything; has no side effect.
///
/// # Errors
/// Whatever is wrong with configuration, base model, data or output folder.
pub fn inspect(file: &Path, set: &[String], cwd: &Path, overwrite: bool) -> Result<Inspected> {
    let loaded = config::load(file, set, cwd)?;
    let config = &loaded.config;
    config::require_supported(config)?;
    config::check_paths(config)?;
    let model_config = ModelConfig::load(&config.base_model)?;
    let linears = model::match_targets(&config.target_modules, &model::linears(&model_config))?;
    model::check_rank(config.lora_rank, &linears)?;
    model::WeightFiles::open(&config.base_model, &model_config)?;
    let expected = model::adapter_tensors(&linears, config.lora_rank);
    let tokenizer = TextTokenizer::load(&config.base_model)?;
    let template = ChatTemplate::find(&config.base_model)?;
    let prepared = config.output_dir.join(PREPARED);
    let data = data::ready(
        config,
        &tokenizer,
        template.as_ref(),
        &prepared,
        &mut |_| {},
    )?;
    let base_digest = model::base_digest(&config.base_model)?;
    let mut identity = config::identity_fields(config);
    identity.insert("base_model".into(), base_digest.clone());
    identity.insert("dataset".into(), data.digest.clone());
    identity.insert(
        "arithmetic".into(),
        format!("i64 2^-{GRADIENT_SCALE_BITS} 2^-{LOSS_SCALE_BITS}"),
    );
    if let Some(folder) = &config.init_adapter {
        let file = manifest::file_digest(&folder.join("adapter_model.safetensors"))?;
        identity.insert("init_adapter".into(), file.sha256);
    }
    let run_identity = digest(&identity);
    check_writable(&config.output_dir)?;
    let existing = existing(&config.output_dir, overwrite)?;
    let start = decide(
        &config.output_dir,
        existing,
        &run_identity,
        &identity,
        overwrite,
    )?;
    let mut notices = loaded.notices.clone();
    notices.push(data.report.to_string());
    Ok(Inspected {
        loaded,
        base_digest,
        expected,
        tokenizer,
        data,
        identity,
        run_identity,
        start,
        notices,
    })
}

/// Takes the output folder and writes what workers need.
///
/// # Errors
/// [`Code::Locked`], [`Code::Unwritable`], [`Code::NoCheckpoint`].
pub fn take(inspected: Inspected, overwrite: bool) -> Result<Prepared> {
    let Inspected {
        loaded,
        base_digest,
        expected,
        tokenizer,
        data,
        identity,
        run_identity,
        start,
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
    let lock = OutputLock::take(&output_dir.join(".lock"))?;
    let resume = loaded.config.resume_from_checkpoint.clone();
    let from = match &start {
        Start::New => {
            if overwrite {
                remove_run(&output_dir).map_err(unwritable)?;
            }
            starting_point(&output_dir, resume.as_deref(), &run_identity, &mut notices)?
        }
        Start::Continue(_) => starting_point(
            &output_dir,
            resume.as_deref().or(Some("auto")),
            &run_identity,
            &mut notices,
        )?,
    };
    let record = match start {
        Start::Continue(record) => RunRecord {
            term: record.term.next(),
            ..record
        },
        Start::New => RunRecord {
            run_id: RunId(new_run_id()),
            term: Term(1),
            run_identity,
            identity,
            complete: false,
        },
    };
    std::fs::create_dir_all(output_dir.join("logs")).map_err(unwritable)?;
    let dataset = data.publish(&output_dir.join(PREPARED))?;
    write_atomic(
        &output_dir.join("resolved.yaml"),
        config::resolved_yaml(&loaded).as_bytes(),
    )?;
    record.write(&output_dir)?;
    let samples = PreparedDataset::open(&dataset)?;
    let plan = Plan::new(&loaded.config, samples.target_tokens(), samples.lengths());
    Ok(Prepared {
        config: Arc::new(loaded.config),
        record,
        base_digest,
        dataset,
        dataset_digest: samples.digest(),
        plan: Arc::new(plan),
        expected,
        tokenizer_files: tokenizer.files().to_vec(),
        from,
        notices,
        lock,
    })
}

/// The checkpoint a run goes on from, or its beginning.
fn starting_point(
    output_dir: &Path,
    resume: Option<&str>,
    run_identity: &str,
    notices: &mut Vec<String>,
) -> Result<Restorable> {
    let initial = || Restorable {
        step: shared::ids::Step(0),
        source: SyncSource::Initial,
        state_digest: None,
    };
    let Some(resume) = resume else {
        return Ok(initial());
    };
    let (folder, found) = if matches!(resume, "latest" | "auto") {
        match manifest::newest(output_dir)? {
            Some(found) => {
                for skipped in &found.skipped {
                    notices.push(format!("skipped: {}", shared::error::render(skipped)));
                }
                (found.folder, found.manifest)
            }
            None if resume == "auto" => return Ok(initial()),
            None => {
                return Err(
                    Error::new(Code::NoCheckpoint, "there is no checkpoint to go on from")
                        .in_file(output_dir)
                        .fix("leave resume_from_checkpoint out to begin"),
                );
            }
        }
    } else {
        let folder = PathBuf::from(resume);
        let found = manifest::Manifest::read(&folder)?;
        found.verify(&folder)?;
        (folder, found)
    };
    if found.run_identity != run_identity {
        return Err(Error::new(
            Code::OtherRun,
            "the checkpoint belongs to a run of another identity",
        )
        .in_file(&folder)
        .fix("undo what changed; to train on from its weights, --set init_adapter=FOLDER"));
    }
    notices.push(format!(
        "going on from step {} of {}",
        found.step,
        folder.display()
    ));
    Ok(Restorable {
        step: found.step,
        source: SyncSource::Checkpoint(folder.display().to_string()),
        state_digest: Some(found.state_digest),
    })
}

fn existing(output_dir: &Path, overwrite: bool) -> Result<Existing> {
    if overwrite {
        let anything = output_dir.join(RUN_RECORD).exists();
        return Ok(if anything {
            Existing::ForeignAdapter
        } else {
            Existing::Nothing
        });
    }
    if let Some(record) = RunRecord::read(output_dir)? {
        return Ok(Existing::Run(record));
    }
    let foreign = output_dir.join("adapter_model.safetensors").exists();
    Ok(if foreign {
        Existing::ForeignAdapter
    } else {
        Existing::Nothing
    })
}

/// Finds out, without a trace, whether the folder or its nearest parent may be written to.
fn check_writable(output_dir: &Path) -> Result<()> {
    let nearest = output_dir
        .ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"));
    let refused = |why: String| {
        Error::new(Code::Unwritable, "output_dir cannot be written")
            .in_file(output_dir)
            .why(why)
            .fix("--set output_dir=FOLDER that you may write to")
    };
    if !nearest.is_dir() {
        return Err(refused(format!("{} is not a folder", nearest.display())));
    }
    let probe = nearest.join(format!(".probe-{}", std::process::id()));
    std::fs::File::create(&probe).map_err(|e| refused(format!("{}: {e}", nearest.display())))?;
    std::fs::remove_file(&probe).map_err(|e| refused(e.to_string()))
}

fn remove_run(output_dir: &Path) -> std::io::Result<()> {
    for name in OWN_FILES {
        let path = output_dir.join(name);
        if path.is_file() {
            std::fs::remove_file(path)?;
        }
    }
    let folders = OWN_FOLDERS.iter().map(|name| output_dir.join(name));
    for folder in folders.chain(checkpoints(output_dir).into_iter().map(|(_, f)| f)) {
        if folder.is_dir() {
            std::fs::remove_dir_all(folder)?;
        }
    }
    Ok(())
}

fn digest(identity: &BTreeMap<String, String>) -> String {
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
