//! The data of a run: prepared, or found prepared, and published once the run may begin.
//!
//! In: configuration, tokenizer, the folder of prepared datasets. Out: their digests, then their files.
//! Keeps: many rows lie in a hidden folder there until they are published, so the output folder is
//! locked before; they are removed again when the run is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shared::config::RunConfig;
use shared::error::Result;

use super::base::BaseModel;
use super::belongs;
use super::progress;
use crate::data::{self, DataConfig, Ready};

/// The training data of a run, and what it is evaluated on where that has a folder of its own.
pub(super) struct RunData {
    train: Ready,
    validation: Option<Ready>,
}

/// Where the prepared datasets of a run lie.
pub(super) struct Datasets {
    pub(super) train: PathBuf,
    pub(super) validation: Option<PathBuf>,
}

impl RunData {
    /// Prepares the data of a run, or finds them in `prepared`.
    ///
    /// # Errors
    /// As [`data::ready`]; tokens that the embedding has no row for.
    pub(super) fn prepare(config: &RunConfig, base: &BaseModel, prepared: &Path) -> Result<Self> {
        let ready = |config: &DataConfig| {
            let ready = data::ready(
                config,
                &base.tokenizer,
                base.template.as_ref(),
                prepared,
                &mut progress::shown(),
            )?;
            belongs::prepared_within(config, base.model(), &ready, prepared)?;
            Ok(ready)
        };
        let config = DataConfig::from(config);
        let train = ready(&config)?;
        let folder = config.validation_dir.as_deref();
        let validation = folder.map(|folder| ready(&config.of_validation(folder)));
        Ok(Self {
            train,
            validation: validation.transpose()?,
        })
    }

    /// Adds the data to what decides the adapter.
    pub(super) fn identify(&self, identity: &mut BTreeMap<String, String>) {
        identity.insert("dataset".into(), self.train.digest.clone());
        let own = self.validation.as_ref().map(|ready| &ready.digest);
        if let Some(digest) = own.or(self.train.validation.as_ref()) {
            identity.insert("validation".into(), digest.clone());
        }
    }

    /// What was found in the data, for people.
    pub(super) fn notices(&self) -> impl Iterator<Item = String> {
        let validation = self.validation.as_ref();
        let validation = validation.map(|ready| format!("validation: {}", ready.report));
        std::iter::once(self.train.report.to_string()).chain(validation)
    }

    /// Writes the prepared datasets where workers find them.
    ///
    /// # Errors
    /// [`Code::Io`](shared::error::Code::Io) when the folder cannot be written.
    pub(super) fn publish(&self, prepared: &Path) -> Result<Datasets> {
        let train = self.train.publish(prepared)?;
        let validation = match &self.validation {
            Some(ready) => Some(ready.publish(prepared)?),
            None => {
                let split = self.train.validation.as_ref();
                split.map(|digest| data::dataset_path(prepared, digest))
            }
        };
        Ok(Datasets { train, validation })
    }
}
