//! `coordinator plan`: what a run will compute, store, send, need and take.
//!
//! In: the configuration, the base model's `config.json` and tokenizer, the data. Out: an
//! [`Estimate`]. Keeps: no weight is read, and nothing stays written: many rows lie in a hidden folder
//! of `output_dir` until it ends. Data that was prepared before is used again.

use std::path::Path;

use shared::config::{self, RunConfig};
use shared::error::Result;
use shared::limits;
use shared::model::{self, AdapterShape, ModelConfig};
use shared::plan::Plan;
use shared::run_paths::RunPaths;
use shared::text::{ChatTemplate, TextTokenizer};

use super::PlanArgs;
use crate::data::{self, DataConfig, Progress};
use crate::estimate::advice::Advice;
use crate::estimate::{Estimate, Samples, Subject, pace};
use crate::start::belongs;
use crate::store;

/// Plans a run. Nothing stays written.
///
/// # Errors
/// Whatever is wrong with configuration, `config.json`, tokenizer or data.
pub fn run(args: &PlanArgs, cwd: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Estimate> {
    let config = config::load(&args.config, &args.set, cwd)?.config;
    config::check_paths(&config)?;
    let shape = ModelConfig::load(&config.base_model)?;
    let adapter = AdapterShape::new(&(&config).into(), &shape)?;
    let tokenizer = TextTokenizer::load(&config.base_model)?;
    let template = ChatTemplate::find(&config.base_model)?;
    let data = DataConfig::from(&config);
    let remarks = belongs::remarks(&config.base_model, &shape, &tokenizer, template.as_ref())?;
    let folder = RunPaths::new(&config.output_dir).prepared();
    let ready = data::ready(&data, &tokenizer, template.as_ref(), &folder, progress)?;
    let model = belongs::Model {
        shape: &shape,
        tokenizer: &tokenizer,
        template: template.as_ref(),
    };
    belongs::prepared_within(&data, model, &ready, &folder)?;
    let (lengths, target_tokens) = ready.sizes(&folder)?;
    let plan = Plan::new(&config, target_tokens.clone(), lengths.clone());
    let earlier = earlier(&config, &plan, &ready.digest);
    let mut estimate = Estimate::new(&Subject {
        file: args.config.display().to_string(),
        config: &config,
        shape: &shape,
        adapter: &adapter,
        stored_value_bytes: stored(&config.base_model),
        stored_quantization: model::announced_in(&config.base_model)?,
        plan: &plan,
        samples: &Samples {
            lengths,
            target_tokens,
        },
        workers: u64::from(args.workers),
        open_files: limits::open_files().map(|limit| limit.hard),
        rate: args.rate,
        earlier,
    });
    estimate
        .advice
        .extend(remarks.into_iter().map(|text| Advice {
            about: "base_model",
            text,
            evidence: "the files of the base model".into(),
        }));
    Ok(estimate)
}

/// Bytes of a value in the weight files, as `config.json` names their type; transformers' own default
/// is f32.
fn stored(base: &Path) -> u64 {
    let text = std::fs::read_to_string(base.join("config.json")).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let named = value.get("dtype").or_else(|| value.get("torch_dtype"));
    match named.and_then(serde_json::Value::as_str) {
        Some("bfloat16" | "float16") => 2,
        _ => 4,
    }
}

/// What a run of the same work measured, or why there is none.
fn earlier(
    config: &RunConfig,
    plan: &Plan,
    dataset: &str,
) -> std::result::Result<pace::Measured, String> {
    let paths = RunPaths::new(&config.output_dir);
    let reading = store::read(&paths.ledger(), |_, _| Ok(()));
    let state = reading.ok().flatten().and_then(|r| r.book.into_state());
    let state = state.ok_or("there is no earlier run in output_dir")?;
    let mut now = config::identity_fields(config);
    now.insert("dataset".into(), dataset.to_owned());
    let mut then = state.run.identity;
    for fields in [&mut now, &mut then] {
        fields.retain(|part, _| part != "arithmetic" && config::changes_pace(part));
    }
    if let Some(first) = config::difference(&then, &now).first() {
        return Err(format!(
            "the run in output_dir computes other steps ({first})"
        ));
    }
    let measured = pace::measured(&paths.cluster_log(), plan);
    measured.ok_or_else(|| "the run in output_dir has committed no step".into())
}
