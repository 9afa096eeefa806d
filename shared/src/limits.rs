//! File descriptors: every connection is one, and a system gives a process only so many.
//!
//! In: nothing but the process itself. Out: its limits, the soft one raised to the hard one, and the
//! reason and remedy where they ran out. Keeps: a limit that cannot be raised is no error; whoever runs
//! out says so by name.

use std::error::Error as StdError;
use std::io;

use crate::error::Error;

/// How many files and connections a process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit that counts now.
    pub soft: u64,
    /// What a process may raise it to by itself.
    pub hard: u64,
}

/// The limits of this process; `None` when the system does not say.
#[must_use]
pub fn open_files() -> Option<OpenFiles> {
    let limit = get()?;
    Some(OpenFiles {
        soft: limit.rlim_cur,
        hard: limit.rlim_max,
    })
}

/// Raises the soft limit on open files to the hard one, and returns what holds then. For the first
/// lines of a program.
pub fn raise_open_files() -> Option<OpenFiles> {
    let limit = get()?;
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };
        // SAFETY: `raised` is a whole rlimit that outlives the call; the call reads it only.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } != 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "RLIMIT_NOFILE stays as it is");
        }
    }
    open_files()
}

fn get() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a whole rlimit that outlives the call, which writes it.
    (unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0).then_some(limit)
}

/// Whether the system had no file descriptor left: this process's limit, or all of the machine's.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Adds reason and remedy to an error that came of `source`, where file descriptors had run out.
#[must_use]
pub fn explain(error: Error, source: &(dyn StdError + 'static)) -> Error {
    let mut cause = Some(source);
    while let Some(found) = cause {
        if found
            .downcast_ref::<io::Error>()
            .is_some_and(is_out_of_files)
        {
            let limit = open_files().map_or_else(
                || "unknown".to_owned(),
                |limit| format!("{} (at most {})", limit.soft, limit.hard),
            );
            return error
                .why(format!(
                    "no file descriptor is left: RLIMIT_NOFILE is {limit}"
                ))
                .fix("raise the hard limit (`ulimit -Hn`, LimitNOFILE= of a systemd unit, --ulimit nofile= of a container), or take fewer workers; `coordinator plan --workers N` counts what is needed");
        }
        cause = found.source();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let raised = raise_open_files().unwrap();
        assert_eq!(raised.soft, raised.hard);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("connecting failed")]
    struct Outer(#[source] io::Error);

    #[test]
    fn running_out_of_descriptors_is_named_with_the_limit_and_the_remedy() {
        let plain = Error::new(Code::Unreachable, "a peer cannot be reached");
        let refused = Outer(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(explain(plain.clone(), &refused), plain);
        for number in [libc::EMFILE, libc::ENFILE] {
            let source = Outer(io::Error::from_raw_os_error(number));
            let error = explain(plain.clone(), &source);
            assert!(error.why[0].contains("RLIMIT_NOFILE"), "{error:?}");
            assert!(error.fix[0].contains("ulimit -Hn"), "{error:?}");
        }
    }
}
