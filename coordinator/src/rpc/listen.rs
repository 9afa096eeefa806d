//! The coordinator's listening socket, and what is said when it cannot be had.

use std::io;
use std::net::SocketAddr;

use shared::error::{Code, Error, Result};
use shared::limits;
use shared::net::{Listener, SESSION};
use shared::security::Security;

/// What is said while no file descriptor is left.
pub const NO_WORKER_CAN_CONNECT: &str =
    "no worker can connect: the coordinator has no file descriptor left";

/// Listens at an address; port 0 picks a free port. Must be called inside a runtime.
///
/// # Errors
/// [`Code::PortInUse`].
pub fn bind(address: SocketAddr, security: &Security) -> Result<Listener> {
    SESSION.listen(address, security).map_err(|e| {
        let what = if e.kind() == io::ErrorKind::AddrInUse {
            format!("{address} is in use")
        } else {
            format!("cannot listen on {address}")
        };
        let error = Error::new(Code::PortInUse, what).why(e.to_string());
        limits::explain(error, &e)
            .fix("--listen ADDR:PORT with another port; port 0 picks a free one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let held = bind("127.0.0.1:0".parse().unwrap(), &Security::Plain).unwrap();
        let bound = held.address();
        let error = bind(bound, &Security::Plain).unwrap_err();
        assert_eq!(error.code, Code::PortInUse);
        assert!(error.what.contains(&bound.to_string()));
    }
}
