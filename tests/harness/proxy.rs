//! A TCP proxy that a test puts between a worker and the coordinator, to be a bad network.
//!
//! In: where to go. Out: an address to join at. It can cut every connection with a reset, swallow
//! one or both directions without a word, delay what passes, and bound its speed. A connection that
//! is made while something is swallowed stays silent too. Between two workers it stands on an address
//! of its own, which the one behind it advertises.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Both ends of one connection.
#[derive(Debug)]
struct Ends {
    near: TcpStream,
    far: TcpStream,
    /// The near end is gone, and the far one must not hear of it.
    orphaned: AtomicBool,
}

/// How the line behaves.
#[derive(Debug, Default)]
struct Line {
    swallow_up: AtomicBool,
    swallow_down: AtomicBool,
    delay_ms: AtomicU64,
    bytes_per_second: AtomicU64,
    open: Mutex<Vec<Arc<Ends>>>,
    /// Far ends that nobody closes before the test is over.
    orphans: Mutex<Vec<Arc<Ends>>>,
}

/// A line that can be spoiled.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
}

impl Proxy {
    /// Passes everything on to `target`, until told otherwise.
    #[must_use]
    pub fn to(target: &str) -> Self {
        let target = target.parse().unwrap_or_else(|e| panic!("{target}: {e}"));
        Self::between(TcpListener::bind("127.0.0.1:0"), |_| target)
    }

    /// A line to a worker of this machine that is about to start: whoever dials [`Proxy::HOST`] at the
    /// port of this address reaches the same port of the loopback address.
    #[must_use]
    pub fn to_peer() -> Self {
        let here = |own: SocketAddr| SocketAddr::from(([127, 0, 0, 1], own.port()));
        Self::between(TcpListener::bind((Self::HOST, 0)), here)
    }

    /// What a worker behind [`Proxy::to_peer`] advertises.
    pub const HOST: &str = "127.0.0.2";

    /// What a worker behind [`Proxy::to_peer`] listens at.
    #[must_use]
    pub fn peer(&self) -> String {
        format!("127.0.0.1:{}", self.address.port())
    }

    fn between(
        listener: std::io::Result<TcpListener>,
        target: impl FnOnce(SocketAddr) -> SocketAddr,
    ) -> Self {
        let listener = listener.unwrap_or_else(|e| panic!("{e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("{e}"));
        let target = target(address);
        let line = Arc::new(Line::default());
        let shared = Arc::clone(&line);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Nobody there: the caller finds out as it would without a proxy.
                let Ok(far) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) else {
                    reset(&near);
                    continue;
                };
                join(&shared, near, far);
            }
        });
        Self { address, line }
    }

    /// Where to join instead.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Resets every connection; new ones may be made.
    pub fn reset(&self) {
        for ends in std::mem::take(&mut *lock(&self.line.open)) {
            reset(&ends.near);
            reset(&ends.far);
        }
    }

    /// Resets every connection as whoever dialed sees it; the target hears nothing of it.
    pub fn reset_near(&self) {
        let open = std::mem::take(&mut *lock(&self.line.open));
        for ends in &open {
            ends.orphaned.store(true, Ordering::SeqCst);
            reset(&ends.near);
        }
        lock(&self.line.orphans).extend(open);
    }

    /// Swallows what goes to the target, and what comes back.
    pub fn swallow(&self, up: bool, down: bool) {
        self.line.swallow_up.store(up, Ordering::SeqCst);
        self.line.swallow_down.store(down, Ordering::SeqCst);
    }

    /// Holds everything back this long.
    pub fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.line.delay_ms.store(millis, Ordering::SeqCst);
    }

    /// Passes at most so many bytes in a second, each way; 0 is no bound.
    pub fn speed(&self, bytes_per_second: u64) {
        self.line
            .bytes_per_second
            .store(bytes_per_second, Ordering::SeqCst);
    }
}

fn lock(ends: &Mutex<Vec<Arc<Ends>>>) -> std::sync::MutexGuard<'_, Vec<Arc<Ends>>> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes with RST, not with FIN.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

fn join(line: &Arc<Line>, near: TcpStream, far: TcpStream) {
    for stream in [&near, &far] {
        let _ = stream.set_nodelay(true);
    }
    let ends = Arc::new(Ends {
        near,
        far,
        orphaned: AtomicBool::new(false),
    });
    lock(&line.open).push(Arc::clone(&ends));
    let (up, of_up) = (Arc::clone(line), Arc::clone(&ends));
    std::thread::spawn(move || {
        pass(
            &of_up.near,
            &of_up.far,
            &up,
            &up.swallow_up,
            &of_up.orphaned,
        );
    });
    let down = Arc::clone(line);
    std::thread::spawn(move || {
        pass(
            &ends.far,
            &ends.near,
            &down,
            &down.swallow_down,
            &ends.orphaned,
        );
    });
}

fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    line: &Line,
    swallow: &AtomicBool,
    orphaned: &AtomicBool,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        // A slow line moves a little all the time, instead of much now and then.
        let most = match line.bytes_per_second.load(Ordering::SeqCst) {
            0 => buffer.len(),
            speed => usize::try_from(speed / 10)
                .unwrap_or(usize::MAX)
                .clamp(1, buffer.len()),
        };
        let read = match from.read(&mut buffer[..most]) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let delay = line.delay_ms.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(delay));
        let speed = line.bytes_per_second.load(Ordering::SeqCst);
        let micros = (read as u64).saturating_mul(1_000_000).checked_div(speed);
        std::thread::sleep(Duration::from_micros(micros.unwrap_or(0)));
        if swallow.load(Ordering::SeqCst) || orphaned.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Nothing passes a black hole, not even the end.
    while swallow.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(20));
    }
    if orphaned.load(Ordering::SeqCst) {
        return;
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
