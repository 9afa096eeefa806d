//! Lines that are slow or dead, in virtual time: whoever waits is renewed by the bytes of its own wait, and no others.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use shared::error::Code;
use shared::ids::{RunId, Step, Term};
use shared::net::{Dialing, PEER};
use shared::security::PLAIN;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Endpoint, Uri};
use worker::collective::{
    CancelSource, CollectiveError, FailureKind, FeedItem, GrpcCollective, Metered, NoState,
    PeerDial, PeerServer, StateSource, Tally, Traffic, follow,
};
use worker::progress::Counters;

use crate::follow::Frozen;
use crate::group::{
    LIMIT, identity, impatient, inputs, join, members, plain_sum, stalled, start, worker,
};

const TICK: Duration = Duration::from_millis(20);
/// Less than one chunk takes on a slow line.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a line carries away from whoever made the connection, and back to it: bytes each tick; after so many of
/// either it is dead.
#[derive(Clone, Copy)]
struct Pace {
    out: usize,
    back: usize,
    lasts: usize,
}

const FAST: Pace = Pace {
    out: 1 << 20,
    back: 1 << 20,
    lasts: usize::MAX,
};
const SLOW: Pace = Pace {
    out: 1000,
    back: 1000,
    ..FAST
};

fn dead_after(lasts: usize) -> Pace {
    Pace { lasts, ..SLOW }
}

type Accepted = io::Result<DuplexStream>;

/// Where everybody listens.
#[derive(Clone, Default)]
struct Network(Arc<Mutex<BTreeMap<SocketAddr, mpsc::UnboundedSender<Accepted>>>>);

impl Network {
    /// A worker, and its lines to others where they are not fast.
    fn serve(&self, number: u8, state: Arc<dyn StateSource>, lines: &[(u8, Pace)]) -> PeerServer {
        let (door, incoming) = mpsc::unbounded_channel();
        self.0.lock().unwrap().insert(address(number), door);
        let incoming = UnboundedReceiverStream::new(incoming);
        let dial = Arc::new(self.lines(lines));
        PeerServer::serve(incoming, address(number), state, dial, Counters::default())
    }

    fn lines(&self, lines: &[(u8, Pace)]) -> Lines {
        Lines {
            network: self.clone(),
            paces: lines
                .iter()
                .map(|(to, pace)| (address(*to), *pace))
                .collect(),
        }
    }
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, number), 9000))
}

/// The lines of one worker.
struct Lines {
    network: Network,
    paces: BTreeMap<SocketAddr, Pace>,
}

impl PeerDial for Lines {
    fn dial(&self, endpoint: Endpoint, traffic: Traffic) -> Dialing {
        let (network, paces) = (self.network.clone(), self.paces.clone());
        let connect = tower::service_fn(move |uri: Uri| {
            let to: SocketAddr = uri.authority().unwrap().as_str().parse().unwrap();
            let pace = *paces.get(&to).unwrap_or(&FAST);
            // What fits into these has left its sender, as what the kernel has taken.
            let (here, this_end) = duplex(pace.out);
            let (that_end, there) = duplex(pace.back);
            network.0.lock().unwrap()[&to].send(Ok(there)).unwrap();
            let (this, that) = (split(this_end), split(that_end));
            tokio::spawn(carry(this.0, that.1, pace.out, pace.lasts));
            tokio::spawn(carry(that.0, this.1, pace.back, pace.lasts));
            let metered = Metered::new(here, traffic.clone());
            async move { io::Result::Ok(TokioIo::new(metered)) }
        });
        Box::pin(async move { endpoint.connect_with_connector(connect).await })
    }
}

async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    rate: usize,
    lasts: usize,
) {
    let (mut left, mut piece) = (lasts, vec![0; rate]);
    while left > 0 {
        let most = left.min(rate);
        let read = from.read(&mut piece[..most]).await.unwrap_or(0);
        sleep(TICK).await;
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            return;
        }
        left -= read;
    }
    std::future::pending().await
}

type Told = mpsc::UnboundedReceiver<CollectiveError>;

/// All members of a generation, and what each tells of nothing moving.
async fn group<const N: usize>(servers: [&PeerServer; N]) -> Vec<(GrpcCollective, Told)> {
    let mut group = Vec::new();
    for (server, slot) in servers.into_iter().zip(0..) {
        let member = join(server, 1, members(&servers), slot).await;
        group.push(impatient(member, PATIENCE));
    }
    group
}

/// Everybody reduces, and gets the total; how often each told that nothing moved.
async fn reduce<const N: usize>(servers: [&PeerServer; N]) -> Vec<usize> {
    let (parts, source) = (inputs(N, 200_000, 3), CancelSource::new());
    let began = Instant::now();
    let mut running = Vec::new();
    for ((member, told), part) in group(servers).await.into_iter().zip(&parts) {
        running.push((start(member, (1, 0), part, source.token()), told));
    }
    let (mut tellings, mut left) = (Vec::new(), Vec::new());
    for (one, mut told) in running {
        let (member, outcome) = one.await.unwrap();
        assert_eq!(outcome.unwrap(), plain_sum(&parts));
        // Who has ended stays until all have.
        left.push(member);
        tellings.push(std::iter::from_fn(|| told.try_recv().ok()).count());
    }
    assert!(began.elapsed() > PATIENCE * 5, "{:?}", began.elapsed());
    tellings
}

#[tokio::test(start_paused = true)]
async fn a_line_on_which_one_chunk_takes_longer_than_the_patience_moves() {
    let network = Network::default();
    let idle = || Arc::new(NoState);
    // What the first sends leaves it at once, and it hears by the other's connection alone; the second hears nothing
    // for as long as it sends.
    let first = network.serve(1, idle(), &[]);
    let second = network.serve(2, idle(), &[(1, SLOW)]);
    assert_eq!(reduce([&first, &second]).await, [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_totals_that_are_slow_between_others_says_so_and_waits() {
    let network = Network::default();
    let idle = || Arc::new(NoState);
    let first = network.serve(1, idle(), &[(2, SLOW)]);
    let second = network.serve(2, idle(), &[(1, SLOW)]);
    let third = network.serve(3, idle(), &[]);
    let tellings = reduce([&first, &second, &third]).await;
    assert_eq!(tellings[..2], [0, 0]);
    assert!(tellings[2] > 2, "{tellings:?}");
}

#[tokio::test(start_paused = true)]
async fn a_joiner_waits_for_a_line_on_which_one_piece_takes_longer_than_its_patience() {
    let network = Network::default();
    let state = Bytes::from(vec![7; 800_000]);
    let giver = network.serve(1, Frozen::new(state.clone()), &[]);
    let (address, run) = (giver.address().to_string(), RunId("r".to_owned()));
    let began = Instant::now();
    let line = network.lines(&[(1, SLOW)]);
    let way = (&line as &dyn PeerDial, Tally::default());
    let following = follow(way, &address, &run, Term(1), Step(12), PATIENCE).await;
    let fed = following.unwrap().next().await.unwrap();
    assert_eq!(fed, FeedItem::State(Step(12), state.clone()));
    assert!(began.elapsed() > PATIENCE * 5, "{:?}", began.elapsed());

    // A line that dies in the middle of it is another matter.
    let line = network.lines(&[(1, dead_after(400_000))]);
    let way = (&line as &dyn PeerDial, Tally::default());
    let following = follow(way, &address, &run, Term(1), Step(12), PATIENCE).await;
    let mut following = following.unwrap();
    let ended = timeout(LIMIT, following.next()).await.expect("hangs");
    assert_eq!(ended.unwrap_err().code, Code::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn neither_a_download_nor_a_knock_gives_an_all_reduce_more_time() {
    let network = Network::default();
    let state = Bytes::from(vec![7; 2_000_000]);
    let giver = network.serve(1, Frozen::new(state.clone()), &[(2, dead_after(100_000))]);
    let other = network.serve(2, Arc::new(NoState), &[(1, dead_after(100_000))]);
    let address = giver.address().to_string();

    let (line, theirs) = (network.lines(&[(1, SLOW)]), address.clone());
    let download = tokio::spawn(async move {
        let (way, run) = ((&line as &dyn PeerDial, Tally::default()), identity(1).run);
        let following = follow(way, &theirs, &run, Term(1), Step(12), PATIENCE).await;
        following.unwrap().next().await.unwrap()
    });
    let line = network.lines(&[(1, SLOW)]);
    let knocking = tokio::spawn(async move {
        loop {
            let endpoint = PEER.endpoint(&PLAIN, &address).unwrap();
            let _open = line.dial(endpoint, Traffic::default()).await.unwrap();
            sleep(PATIENCE / 4).await;
        }
    });

    let (part, source) = (inputs(1, 200_000, 3).remove(0), CancelSource::new());
    let mut both = group([&giver, &other]).await;
    let _hanging = both.pop();
    let (member, mut told) = both.remove(0);
    let began = Instant::now();
    let _reducing = start(member, (1, 0), &part, source.token());
    sleep(PATIENCE + TICK * 50).await;
    let heard = giver.progress().read().moved;
    let failure = stalled(&mut told).await;
    assert_eq!(failure.kind, FailureKind::Stalled);
    assert_eq!(failure.culprit, Some(worker(1)));
    // The line carried what it could, and then the wait began.
    let most = TICK * 100 + PATIENCE * 2;
    assert!(began.elapsed() <= most, "{:?}", began.elapsed());
    assert!(!download.is_finished());
    sleep(PATIENCE).await;
    assert_eq!(giver.progress().read().moved, heard);
    knocking.abort();
    assert_eq!(download.await.unwrap(), FeedItem::State(Step(12), state));
}
