//! Forces written bytes to the disk, on a thread of its own.
//!
//! In: a request after every write. Out: one forced write for all requests that came meanwhile.
//! Keeps: at most one forced write runs and one is due; the thread sleeps when no request is open and ends when the
//! store is dropped, after the last request.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A file whose written bytes can be forced to the disk; tests have others.
pub(super) trait Durable: Send + 'static {
    fn force(&self) -> io::Result<()>;
}

impl Durable for File {
    fn force(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The thread, and the requests that it serves.
#[derive(Debug)]
pub(super) struct Syncer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    requests: Mutex<Requests>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Requests {
    asked: u64,
    served: u64,
    /// Why the newest forced write failed.
    failure: Option<String>,
    closing: bool,
    /// Whether the thread has ended, so that no request is served any more.
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, mut holds: impl FnMut(&mut Requests) -> bool) -> MutexGuard<'_, Requests> {
        self.changed
            .wait_while(self.lock(), |requests| holds(requests))
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Syncer {
    pub(super) fn start(durable: impl Durable) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let served = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("ledger-sync".into())
            .spawn(move || serve(&served, &durable))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// Asks for the bytes written so far to reach the disk soon.
    pub(super) fn ask(&self) {
        self.queue.lock().asked += 1;
        self.queue.changed.notify_all();
    }

    /// Waits until the bytes written before this call are on the disk.
    pub(super) fn wait(&self) -> Result<(), String> {
        self.waiting()()
    }

    /// A function that waits for the bytes written until now, whenever and on whatever thread it is called.
    pub(super) fn waiting(&self) -> impl FnOnce() -> Result<(), String> + Send + use<> {
        let mut requests = self.queue.lock();
        if requests.failure.is_some() {
            requests.asked += 1;
            self.queue.changed.notify_all();
        }
        let mine = requests.asked;
        drop(requests);
        let queue = Arc::clone(&self.queue);
        move || {
            let requests = queue.wait_while(|requests| requests.served < mine && !requests.ended);
            if requests.served < mine {
                return Err("the store was closed before".into());
            }
            requests.failure.clone().map_or(Ok(()), Err)
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue.lock().closing = true;
        self.queue.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread ends by itself; nobody is left to hear of a panic in it.
            let _ = thread.join();
        }
    }
}

fn serve(queue: &Queue, durable: &impl Durable) {
    loop {
        let mut requests =
            queue.wait_while(|requests| requests.asked == requests.served && !requests.closing);
        if requests.asked == requests.served {
            requests.ended = true;
            drop(requests);
            queue.changed.notify_all();
            return;
        }
        let asked = requests.asked;
        drop(requests);
        let failure = durable.force().err().map(|e| e.to_string());
        let mut requests = queue.lock();
        requests.served = asked;
        requests.failure = failure;
        drop(requests);
        queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Says when it begins, and ends with what it is told.
    struct Gate {
        began: Sender<()>,
        end: Mutex<Receiver<io::Result<()>>>,
    }

    impl Durable for Gate {
        fn force(&self) -> io::Result<()> {
            self.began.send(()).unwrap();
            self.end.lock().unwrap().recv().unwrap()
        }
    }

    fn gate() -> (Syncer, Receiver<()>, Sender<io::Result<()>>) {
        let (began, begins) = channel();
        let (ends, end) = channel();
        let end = Mutex::new(end);
        let syncer = Syncer::start(Gate { began, end }).unwrap();
        (syncer, begins, ends)
    }

    #[test]
    fn requests_that_come_meanwhile_are_served_together() {
        let (syncer, begins, ends) = gate();
        syncer.ask();
        begins.recv().unwrap();
        for _ in 0..100 {
            syncer.ask();
        }
        ends.send(Ok(())).unwrap();
        ends.send(Ok(())).unwrap();
        syncer.wait().unwrap();
        drop(syncer);
        assert_eq!(begins.iter().count(), 1, "one more for a hundred requests");
    }

    struct Disk(Arc<AtomicBool>);

    impl Durable for Disk {
        fn force(&self) -> io::Result<()> {
            if self.0.load(Ordering::SeqCst) {
                return Err(io::Error::other("no disk"));
            }
            Ok(())
        }
    }

    #[test]
    fn a_failure_is_told_and_the_next_wait_tries_again() {
        let broken = Arc::new(AtomicBool::new(true));
        let syncer = Syncer::start(Disk(Arc::clone(&broken))).unwrap();
        syncer.ask();
        assert_eq!(syncer.wait().unwrap_err(), "no disk");
        broken.store(false, Ordering::SeqCst);
        syncer.wait().unwrap();
        syncer.wait().unwrap();
    }

    #[test]
    fn what_was_written_by_now_is_waited_for_and_nothing_later() {
        let (syncer, begins, ends) = gate();
        syncer.ask();
        begins.recv().unwrap();
        let mine = syncer.waiting();
        syncer.ask();
        ends.send(Ok(())).unwrap();
        mine().unwrap();
        begins.recv().unwrap();
        ends.send(Err(io::Error::other("no disk"))).unwrap();
        let late = syncer.waiting();
        drop(ends.send(Ok(())));
        drop(syncer);
        // Served or failed before the end: nobody waits for ever.
        let _ = late();
    }

    #[test]
    fn the_last_request_is_served_before_the_end() {
        let (syncer, begins, ends) = gate();
        ends.send(Ok(())).unwrap();
        syncer.ask();
        drop(syncer);
        assert_eq!(begins.iter().count(), 1);
    }
}
