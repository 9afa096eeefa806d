//! The numbers of the peer service, and how a peer is reached.

use std::time::Duration;

use shared::net::{CONNECT_TIMEOUT, PEER};
use tonic::transport::Channel;

use super::metered::PeerDial;
use super::traffic::Traffic;
use super::{CollectiveError, FailureKind};

/// Elements of one chunk: 512 KiB of values.
pub(super) const CHUNK_ELEMENTS: usize = 64 * 1024;
/// Chunks that wait per sender between the network and the sum, and between the sum and the network.
pub(super) const QUEUED_CHUNKS: usize = 4;
/// How long a collective that is given up may take to deliver what it has queued.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// Connects to a peer service, `host:port`; a handshake may take `patience`.
pub(super) async fn connect(
    dial: &dyn PeerDial,
    address: &str,
    traffic: Traffic,
    patience: Duration,
) -> Result<Channel, CollectiveError> {
    let unreachable = |reason: String| {
        CollectiveError::new(
            FailureKind::Unreachable,
            format!("the peer service at {address} cannot be reached: {reason}"),
        )
    };
    let endpoint = PEER
        .endpoint(dial.security(), address)
        .map_err(|e| unreachable(with_sources(&e)))?
        .connect_timeout(patience.max(CONNECT_TIMEOUT));
    let connected = dial.dial(endpoint, traffic).await;
    connected.map_err(|e| unreachable(with_sources(&e)))
}

/// An error and everything under it in one line: the outermost text alone says little.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
