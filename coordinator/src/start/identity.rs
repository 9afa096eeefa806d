//! What decides the adapter's bytes, readable and as one digest.
//!
//! In: configuration, base model, first adapter and parent. Out: the identity of the run but for its
//! data, whose digests are added once they are prepared.

use std::collections::BTreeMap;

use shared::config::{self, RunConfig};
use shared::error::Result;
use shared::manifest::{self, ADAPTER_FILE};
use shared::numerics::{GRADIENT_SCALE_BITS, LOSS_SCALE_BITS};
use shared::run_paths::ADAPTER_CONFIG_FILE;
use shared::storage::Folder;

/// The keys of an identity that are known only when the data are prepared.
pub(super) const OF_DATA: &[&str] = &["dataset", "validation"];

/// The identity of a run as far as it is known before its parent and its data are looked at.
///
/// # Errors
/// [`Code::Io`](shared::error::Code::Io) when the first adapter cannot be read,
/// [`Code::DigestDiffers`](shared::error::Code::DigestDiffers) when it is not what the manifest beside it lists.
pub(super) fn fields(config: &RunConfig, base_digest: &str) -> Result<BTreeMap<String, String>> {
    let mut identity = config::identity_fields(config);
    identity.insert("base_model".into(), base_digest.into());
    identity.insert(
        "arithmetic".into(),
        format!("i64 2^-{GRADIENT_SCALE_BITS} 2^-{LOSS_SCALE_BITS}"),
    );
    if let Some(folder) = &config.init_adapter {
        let file = folder.join(ADAPTER_FILE);
        manifest::verify_listed(folder, &[&file, &folder.join(ADAPTER_CONFIG_FILE)])?;
        let file = manifest::file_digest(&Folder::new(folder), ADAPTER_FILE)?;
        identity.insert("init_adapter".into(), file.sha256);
    }
    Ok(identity)
}

/// Digest over everything that decides the adapter.
#[must_use]
pub fn digest(identity: &BTreeMap<String, String>) -> String {
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
