//! What the engine is told of a run that is set up.

use std::path::Path;
use std::time::Duration;

use shared::config::DeviceClassPolicy;
use shared::error::Result;
use shared::evaluation::Patience;
use shared::ledger::State;
use shared::manifest::{ExpectedTensor, Manifest};
use shared::run_paths::RunPaths;
use shared::storage::Folder;
use shared::wire::message::{SyncSource, Welcome};

use super::setup::RunSetup;
use crate::engine::{Options, Timeouts};

/// How many workers are asked for on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crew {
    /// The run pauses below this many; that of the configuration where none is given.
    pub min_workers: Option<u32>,
    /// The run's first step waits for this many; the larger of the least and the local ones where none is given, and in a
    /// run that has steps.
    pub wait_workers: Option<u32>,
    /// Worker processes that this coordinator starts itself.
    pub local_workers: u32,
}

/// The engine's options.
///
/// # Errors
/// Those of the times, of the checkpoint the run goes on from, and of a configuration that is no JSON.
pub(super) fn options(setup: &RunSetup, crew: Crew) -> Result<Options> {
    let config = &setup.config;
    let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let min_workers = crew.min_workers.unwrap_or(config.min_workers);
    let all = min_workers.max(crew.local_workers);
    // Of a run that has steps, the same command must go on when one of its hosts is gone for good.
    let has_steps = |state: &State| state.highest() > state.run.begins_after;
    let begun = setup.store.state().is_some_and(has_steps);
    let wait_workers = crew.wait_workers.filter(|_| !begun).unwrap_or(all);
    Ok(Options {
        run: setup.record.run_id.clone(),
        term: setup.record.term,
        welcome: Welcome {
            config_json: config.to_json()?,
            base_digest: setup.base.digest.clone(),
            dataset_path: setup.work.dataset.display().to_string(),
            run_identity: setup.record.run_identity.clone(),
            evaluation_sets: setup.work.evaluation_sets.clone(),
            prompts: setup.base.prompts.clone(),
            ..Welcome::default()
        },
        device: config.device.clone(),
        strict_devices: config.device_class == DeviceClassPolicy::Strict,
        device_class: class_before(setup)?,
        min_workers: count(min_workers),
        max_workers: config.max_workers.map_or(usize::MAX, count),
        wait_workers: count(wait_workers),
        save_steps: config.save_steps,
        save_total_limit: config.save_total_limit,
        best_is_the_result: config.evaluation.patience.is_some(),
        parameters: parameters(&setup.base.expected),
        audit_rate: config.audit_rate,
        stability: config.stability.clone(),
        patience: Patience {
            evaluations: config.evaluation.patience,
            threshold: config.evaluation.threshold,
        },
        timeouts: Timeouts::new(
            Duration::from_secs_f64(config.failure_detection),
            Duration::from_secs_f64(config.ride_through),
        )?,
        staging: RunPaths::new(&config.output_dir).staging(),
    })
}

/// How many numbers are trained.
fn parameters(expected: &[ExpectedTensor]) -> u64 {
    let elements = expected.iter().map(|tensor| tensor.shape.iter().product());
    elements.map(|elements: usize| elements as u64).sum()
}

/// The device class of the checkpoint that this run goes on from: under `strict` its workers are of
/// that one. What it took from another run binds nobody.
fn class_before(setup: &RunSetup) -> Result<Option<String>> {
    let SyncSource::Checkpoint(folder) = &setup.from.source else {
        return Ok(None);
    };
    let folder = Path::new(folder);
    if !folder.starts_with(&setup.config.output_dir) {
        return Ok(None);
    }
    let mut classes = Manifest::read(&Folder::new(folder))?.device_classes;
    let only = classes.pop_first();
    Ok(only.filter(|_| classes.is_empty()))
}
