//! What a worker calls itself.

use std::net::{Ipv6Addr, SocketAddr};

/// The name that people read.
pub(super) fn host_and_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() {
        "worker"
    } else {
        host.trim()
    };
    format!("{host}:{}", std::process::id())
}

/// Where peers reach a worker that listens at `bound`, `host:port`: under the name it was given, if any.
pub(super) fn peer_address(bound: SocketAddr, advertise: Option<&str>) -> String {
    match advertise {
        None => bound.to_string(),
        Some(host) if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]:{}", bound.port()),
        Some(host) => format!("{host}:{}", bound.port()),
    }
}

/// Differs at every start: process and nanoseconds; used as a name only.
pub(super) fn incarnation() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!(
        "{:x}-{:x}",
        std::process::id(),
        now.map(|d| d.as_nanos()).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_either_family_can_be_dialled() {
        let (four, six) = ("10.0.0.1:9000", "[fd00::1]:9000");
        let cases = [
            (four, None, four),
            (six, None, six),
            (four, Some("node-1"), "node-1:9000"),
            (four, Some("fd00::1"), six),
            (four, Some("[fd00::1]"), six),
        ];
        for (bound, advertise, expected) in cases {
            let bound = bound.parse().unwrap();
            assert_eq!(peer_address(bound, advertise), expected);
            let endpoint = shared::net::PEER.endpoint(&shared::security::PLAIN, expected);
            assert_eq!(endpoint.unwrap().uri().port_u16(), Some(9000));
        }
    }
}
