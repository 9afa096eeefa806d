//! Where the coordinator listens.

use std::net::SocketAddr;

use shared::error::{Code, Error, Result};
use tokio::net::TcpListener;

/// Binds; port 0 picks one.
///
/// # Errors
/// [`Code::PortInUse`].
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|e| {
        let what = if e.kind() == std::io::ErrorKind::AddrInUse {
            format!("{address} is in use")
        } else {
            format!("cannot listen on {address}")
        };
        Error::new(Code::PortInUse, what)
            .why(e.to_string())
            .fix("--listen ADDR:PORT with another port; port 0 picks a free one")
    })?;
    let bound = listener
        .local_addr()
        .map_err(|e| Error::new(Code::PortInUse, "no local address").why(e.to_string()))?;
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (_held, bound) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = bind(bound).await.unwrap_err();
        assert_eq!(error.code, Code::PortInUse);
        assert!(error.what.contains(&bound.to_string()));
    }
}
