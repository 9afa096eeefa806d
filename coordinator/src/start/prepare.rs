//! Everything that can be known before anything of the run is written.
//!
//! In: a [`Request`]. Out: a [`PreparedRun`]. The stations, in order: configuration, base model, parent,
//! output folder, lock, data, decision. Keeps: what is refused on the way leaves the output folder as it
//! was, and another run in it is refused before the data are prepared.

use std::collections::BTreeMap;

use shared::config::{self, Loaded};
use shared::error::Result;
use shared::ledger::Parent;
use shared::run_paths::RunPaths;

use super::base::BaseModel;
use super::folder::OutputFolder;
use super::output_dir::survives_overwrite;
use super::run_data::RunData;
use super::{Request, bounds, identity, parent};
use crate::store::Start;

/// A run about which everything is known; dropped, it leaves no trace.
pub struct PreparedRun {
    pub(super) loaded: Loaded,
    pub(super) base: BaseModel,
    /// The run it trains on from.
    pub(super) parent: Option<Parent>,
    /// What decides the adapter.
    pub(super) identity: BTreeMap<String, String>,
    pub(super) start: Start,
    pub(super) overwrite: bool,
    pub(super) notices: Vec<String>,
    /// Let go before the folder, in which rows may lie.
    pub(super) data: RunData,
    pub(super) folder: OutputFolder,
}

impl PreparedRun {
    /// Where the last coordinator of this run listened: its workers look there.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        let state = self.folder.ledger.as_ref()?.book.state()?;
        Some(state.leader.as_ref()?.address.as_str())
    }
}

/// Looks at everything a run is made of, holds its output folder, and decides what starting it means.
///
/// # Errors
/// Whatever is wrong with configuration, base model, data or output folder.
pub fn prepare(request: &Request) -> Result<PreparedRun> {
    let mut loaded = configuration(request)?;
    let base = BaseModel::look(&loaded.config)?;
    let mut identity = identity::fields(&loaded.config, &base.digest)?;
    let parent = parent::find(&loaded.config, &identity, &base.expected)?;
    if let Some(earlier) = &parent {
        let digest = earlier.parent.state_digest.clone();
        identity.insert("parent".into(), digest);
    }
    let paths = RunPaths::new(&loaded.config.output_dir);
    let mut folder = OutputFolder::look(paths.clone(), request.overwrite)?;
    folder.refuse_other(&identity)?;
    folder.lock()?;
    // Looked at again: another coordinator may have worked here until the lock was taken.
    folder.refuse_other(&identity)?;
    let data = RunData::prepare(&loaded.config, &base, &paths.prepared())?;
    data.identify(&mut identity);
    let start = folder.decide(&identity)?;
    let mut notices = loaded.notices.clone();
    notices.extend(base.remarks.iter().cloned());
    notices.extend(data.notices());
    let parent = parent.map(|earlier| {
        notices.extend(parent::words(&earlier));
        loaded.config.parent = Some(earlier.folder);
        earlier.parent
    });
    Ok(PreparedRun {
        loaded,
        base,
        parent,
        identity,
        start,
        overwrite: request.overwrite,
        notices,
        data,
        folder,
    })
}

/// The configuration, and what it alone says of the run.
fn configuration(request: &Request) -> Result<Loaded> {
    let loaded = config::load(&request.config, &request.set, &request.cwd)?;
    config::check_paths(&loaded.config)?;
    bounds::configuration(&loaded.config)?;
    if request.overwrite {
        survives_overwrite(&loaded.config)?;
    }
    Ok(loaded)
}
