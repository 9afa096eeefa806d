//! What a loaded run is: what the device thread hands to the state thread and the session.

use std::sync::Arc;

use shared::config::RunConfig;
use shared::evaluation::EvaluationPlan;
use shared::plan::Plan;

use super::sums::BufferPool;
use crate::adapter::AdapterLayout;

/// A loaded run, as far as the state thread and the session need it.
#[derive(Clone, Debug)]
pub struct LoadedRun {
    /// The resolved configuration.
    pub config: Arc<RunConfig>,
    /// Names and places of the adapter's tensors.
    pub layout: Arc<AdapterLayout>,
    /// A and B of what PiSSA took out of the base model, flat and in canonical order; `None` for other inits.
    pub pissa_initial: Option<Arc<Vec<f32>>>,
    /// Steps and micro-batches of the whole run, the same on every worker and on the coordinator.
    pub plan: Arc<Plan>,
    /// Micro-batches of one evaluation, and how many integers it comes to.
    pub evaluation: Arc<EvaluationPlan>,
    /// Pool that the device takes its buffers of integers from, and that the sums give them back to.
    pub pool: BufferPool,
}
