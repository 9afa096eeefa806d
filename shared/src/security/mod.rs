//! How connections are secured, and who may reach a listener. Join tokens will stand here.
//!
//! In: the address a program is to listen on. Out: a refusal while there is no encryption, unless
//! the user asked for it. [`Security`] is what [`net`](crate::net) makes listeners and channels by.

use std::net::SocketAddr;

use crate::error::{Code, Error, Result};

/// How every connection of a program is secured, those that come in and those that go out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Neither encrypted nor authenticated. TLS on both sides will be the next variant.
    #[default]
    Plain,
}

/// [`Security::Plain`], for whoever lends it out.
pub static PLAIN: Security = Security::Plain;

/// Refuses an address that other machines can reach, unless that was asked for.
///
/// # Errors
/// [`Code::NotLoopback`].
pub fn check_loopback(address: SocketAddr, insecure: bool) -> Result<()> {
    if insecure || address.ip().is_loopback() {
        return Ok(());
    }
    Err(Error::new(
        Code::NotLoopback,
        format!("{address} would be open to the network without encryption"),
    )
    .why("until TLS is there, listeners bind to loopback only")
    .fix("--listen 127.0.0.1:PORT, or --insecure on a network you trust"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open_by_default() {
        let open = "0.0.0.0:7400".parse().unwrap();
        assert_eq!(
            check_loopback(open, false).unwrap_err().code,
            Code::NotLoopback
        );
        check_loopback(open, true).unwrap();
        check_loopback("[::1]:7400".parse().unwrap(), false).unwrap();
    }
}
