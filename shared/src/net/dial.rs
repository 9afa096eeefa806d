//! How a connection of the session is opened: over TCP, or through whatever network a test stands up.

use std::future::Future;
use std::pin::Pin;

use tonic::transport::{Channel, Endpoint, Error};

use crate::security::{PLAIN, Security};

/// A connection that is being opened.
pub type Dialing = Pin<Box<dyn Future<Output = std::result::Result<Channel, Error>> + Send>>;

/// Opens connections; what the endpoint says of deadlines and keep-alive holds for all of them.
pub trait Dial: Send + Sync {
    /// Opens one connection to the endpoint, without a second try.
    fn dial(&self, endpoint: Endpoint) -> Dialing;

    /// How the connections are secured. A network within a test needs nothing.
    fn security(&self) -> &Security {
        &PLAIN
    }
}

/// The network of this machine.
#[derive(Clone, Debug, Default)]
pub struct Tcp(pub Security);

impl Dial for Tcp {
    fn dial(&self, endpoint: Endpoint) -> Dialing {
        Box::pin(async move { endpoint.connect().await })
    }

    fn security(&self) -> &Security {
        &self.0
    }
}
