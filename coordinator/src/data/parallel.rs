//! Work on all cores whose results come out in the order of its inputs.
//!
//! In: inputs one after another, work for each. Out: results, in order, to the thread that called.
//! Keeps: no more than a few inputs per thread are on their way, so a slow end holds the beginning
//! up; the first failure in order ends it; a thread that panics is an error and no deadlock.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use shared::error::{Code, Error, Result};

/// Inputs on their way per thread.
const AHEAD: u64 = 4;

/// Cores of this machine.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where the end is, so that nobody takes too much before it.
#[derive(Default)]
struct Gate {
    state: Mutex<(u64, bool)>,
    moved: Condvar,
}

impl Gate {
    /// Waits until input `index` may be taken; false when nothing more is to be done.
    fn wait(&self, index: u64, ahead: u64) -> bool {
        let mut state = hold(&self.state);
        while index >= state.0 + ahead && !state.1 {
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !state.1
    }

    fn set(&self, change: impl FnOnce(&mut (u64, bool))) {
        change(&mut hold(&self.state));
        self.moved.notify_all();
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops everybody when its thread panics.
struct Alarm<'a>(&'a Gate);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set(|state| state.1 = true);
        }
    }
}

/// Does the work for every input; `sink` gets the results in order.
///
/// # Errors
/// The sink's first; [`Code::Internal`] when a thread panics.
pub(crate) fn ordered<T: Send, U: Send>(
    source: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> U + Sync,
    sink: &mut dyn FnMut(U) -> Result<()>,
) -> Result<()> {
    let threads = threads();
    let ahead = AHEAD * threads as u64;
    let gate = Gate::default();
    let source = Mutex::new((source, 0_u64, false));
    let (send, receive) = mpsc::channel();
    let one = |send: mpsc::Sender<(u64, U)>| {
        let _alarm = Alarm(&gate);
        loop {
            let (index, input) = {
                let mut source = hold(&source);
                let index = source.1;
                if source.2 || !gate.wait(index, ahead) {
                    return;
                }
                let Some(input) = source.0.next() else {
                    source.2 = true;
                    return;
                };
                source.1 += 1;
                (index, input)
            };
            if send.send((index, work(input))).is_err() {
                return;
            }
        }
    };
    let one = &one;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|_| {
                let send = send.clone();
                scope.spawn(move || one(send))
            })
            .collect();
        drop(send);
        let done = drain(&receive, &gate, sink);
        gate.set(|state| state.1 = true);
        let joined: Vec<_> = all.into_iter().map(|thread| thread.join()).collect();
        done?;
        if joined.iter().all(std::thread::Result::is_ok) {
            return Ok(());
        }
        Err(Error::new(
            Code::Internal,
            "a thread that prepares data ended without a result",
        ))
    })
}

fn drain<U>(
    receive: &mpsc::Receiver<(u64, U)>,
    gate: &Gate,
    sink: &mut dyn FnMut(U) -> Result<()>,
) -> Result<()> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (index, result) in receive {
        early.insert(index, result);
        while let Some(result) = early.remove(&due) {
            sink(result)?;
            due += 1;
            gate.set(|state| state.0 = due);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_few_are_under_way() {
        let taken = std::sync::atomic::AtomicU64::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        let source = (0..2000_u64).inspect(|_| {
            taken.fetch_add(1, order);
        });
        let mut seen = Vec::new();
        let work = |n: u64| (0..(n * 7919) % 500).fold(n, |n, _| std::hint::black_box(n));
        ordered(source, work, &mut |n| {
            let ahead = taken.load(order) - seen.len() as u64;
            assert!(ahead <= AHEAD * threads() as u64, "{ahead}");
            seen.push(n);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..2000).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_failure_ends_it() {
        let mut last = 0;
        let error = ordered(0.., |n: u64| n, &mut |n| {
            last = n;
            match n {
                70 => Err(Error::new(Code::Io, "full")),
                _ => Ok(()),
            }
        });
        assert_eq!((error.unwrap_err().code, last), (Code::Io, 70));
    }

    #[test]
    fn a_panic_is_an_error() {
        let work = |n: u64| assert!(n != 50, "a test's own panic");
        let error = ordered(0.., work, &mut |()| Ok(())).unwrap_err();
        assert_eq!(error.code, Code::Internal);
    }
}
