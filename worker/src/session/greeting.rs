//! What a worker calls itself.

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

/// Differs at every start: process and nanoseconds; used as a name only.
pub(super) fn incarnation() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!(
        "{:x}-{:x}",
        std::process::id(),
        now.map(|d| d.as_nanos()).unwrap_or_default()
    )
}
