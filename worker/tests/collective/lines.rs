//! Lines that are slow or dead, in virtual time: a wait follows the bytes it is about, and no others.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use shared::error::Code;
use shared::ids::{RunId, Slot, Step, Term};
use shared::wire::Dialing;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Endpoint, Uri};
use worker::collective::{
    CancelSource, FailureKind, Fed, GrpcCollective, Metered, NoState, PeerDial, PeerServer,
    StateSource, Tally, Traffic, follow,
};
use worker::progress::Counters;

use crate::follow::Frozen;
use crate::group::{identity, inputs, members, plain_sum, start, worker};

/// A line carries at most so many bytes each tick.
const PIECE: usize = 1000;
const TICK: Duration = Duration::from_millis(20);
/// Less than one chunk takes on such a line.
const PATIENCE: Duration = Duration::from_secs(2);

type Accepted = io::Result<DuplexStream>;

/// Where everybody listens.
#[derive(Clone, Default)]
struct Network(Arc<Mutex<BTreeMap<SocketAddr, mpsc::UnboundedSender<Accepted>>>>);

impl Network {
    /// A worker whose links to others carry so many bytes before nothing moves on them.
    fn serve(&self, number: u8, state: Arc<dyn StateSource>, carries: usize) -> PeerServer {
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, number), 9000));
        let (door, incoming) = mpsc::unbounded_channel();
        self.0.lock().unwrap().insert(address, door);
        let incoming = UnboundedReceiverStream::new(incoming);
        let dial = Arc::new(self.line(carries));
        PeerServer::serve(incoming, address, state, dial, Counters::default())
    }

    fn line(&self, carries: usize) -> Line {
        Line {
            network: self.clone(),
            carries,
        }
    }
}

/// Lines that carry so many bytes, each way.
struct Line {
    network: Network,
    carries: usize,
}

impl PeerDial for Line {
    fn dial(&self, endpoint: Endpoint, traffic: Traffic) -> Dialing {
        let (network, carries) = (self.network.clone(), self.carries);
        let connect = tower::service_fn(move |uri: Uri| {
            let address: SocketAddr = uri.authority().unwrap().as_str().parse().unwrap();
            let ((here, this_end), (that_end, there)) = (duplex(PIECE), duplex(PIECE));
            network.0.lock().unwrap()[&address].send(Ok(there)).unwrap();
            let (this, that) = (split(this_end), split(that_end));
            tokio::spawn(carry(this.0, that.1, carries));
            tokio::spawn(carry(that.0, this.1, carries));
            let metered = Metered::new(here, traffic.clone());
            async move { io::Result::Ok(TokioIo::new(metered)) }
        });
        Box::pin(async move { endpoint.connect_with_connector(connect).await })
    }
}

async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, bytes: usize) {
    let (mut left, mut piece) = (bytes, [0; PIECE]);
    while left > 0 {
        let most = left.min(PIECE);
        let read = from.read(&mut piece[..most]).await.unwrap_or(0);
        sleep(TICK).await;
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            return;
        }
        left -= read;
    }
    std::future::pending().await
}

/// Both members of a generation.
async fn pair(servers: [&PeerServer; 2]) -> Vec<GrpcCollective> {
    let mut pair = Vec::new();
    for (server, slot) in servers.into_iter().zip(0..) {
        let all = members(&servers);
        let member = GrpcCollective::connect(server, &identity(1), all, Slot(slot)).await;
        pair.push(member.unwrap().with_patience(PATIENCE));
    }
    pair
}

#[tokio::test(start_paused = true)]
async fn an_all_reduce_waits_for_a_line_on_which_one_chunk_takes_longer_than_its_patience() {
    let network = Network::default();
    let idle = || Arc::new(NoState);
    let servers = [1, 2].map(|number| network.serve(number, idle(), usize::MAX));
    let (parts, source) = (inputs(2, 100_000, 3), CancelSource::new());
    let began = Instant::now();
    let running = pair(servers.each_ref()).await.into_iter().zip(&parts);
    let running: Vec<_> = running
        .map(|(member, part)| start(member, (1, 0), part, source.token()))
        .collect();
    for one in running {
        assert_eq!(one.await.unwrap().1.unwrap(), plain_sum(&parts));
    }
    assert!(began.elapsed() > PATIENCE * 5, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_joiner_waits_for_a_line_on_which_one_piece_takes_longer_than_its_patience() {
    let network = Network::default();
    let state = Bytes::from(vec![7; 800_000]);
    let giver = network.serve(1, Frozen::new(state.clone()), usize::MAX);
    let (address, run) = (giver.address().to_string(), RunId("r".to_owned()));
    let began = Instant::now();
    let line = network.line(usize::MAX);
    let way = (&line as &dyn PeerDial, Tally::default());
    let following = follow(way, &address, &run, Term(1), Step(12), PATIENCE).await;
    let fed = following.unwrap().next().await.unwrap();
    assert_eq!(fed, Fed::State(Step(12), state.clone()));
    assert!(began.elapsed() > PATIENCE * 5, "{:?}", began.elapsed());

    // A line that dies in the middle of it is another matter.
    let line = network.line(400_000);
    let way = (&line as &dyn PeerDial, Tally::default());
    let following = follow(way, &address, &run, Term(1), Step(12), PATIENCE).await;
    let failure = following.unwrap().next().await.unwrap_err();
    assert_eq!(failure.code, Code::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn neither_a_download_nor_a_knock_gives_an_all_reduce_more_time() {
    let network = Network::default();
    let state = Bytes::from(vec![7; 2_000_000]);
    let giver = network.serve(1, Frozen::new(state.clone()), 100_000);
    let other = network.serve(2, Arc::new(NoState), 100_000);
    let address = giver.address().to_string();

    let (line, theirs) = (network.line(usize::MAX), address.clone());
    let download = tokio::spawn(async move {
        let (way, run) = ((&line as &dyn PeerDial, Tally::default()), identity(1).run);
        let following = follow(way, &theirs, &run, Term(1), Step(12), PATIENCE).await;
        following.unwrap().next().await.unwrap()
    });
    let line = network.line(usize::MAX);
    let knocking = tokio::spawn(async move {
        loop {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let _open = line.dial(endpoint, Traffic::default()).await.unwrap();
            sleep(PATIENCE / 4).await;
        }
    });

    let (parts, source) = (inputs(2, 100_000, 3), CancelSource::new());
    let mut pair = pair([&giver, &other]).await;
    let hanging = pair.pop().unwrap();
    let began = Instant::now();
    let part = Arc::clone(&parts[0]);
    let reducing = start(pair.remove(0), (1, 0), &part, source.token());
    sleep(PATIENCE + TICK * 50).await;
    let heard = giver.progress().read().moved;
    let (_linked, outcome) = reducing.await.unwrap();
    let failure = outcome.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deadline);
    assert_eq!(failure.culprit, Some(worker(1)));
    // The line carried what it could, and then the wait began.
    let most = TICK * 100 + PATIENCE * 2;
    assert!(began.elapsed() <= most, "{:?}", began.elapsed());
    assert!(!download.is_finished());
    sleep(PATIENCE).await;
    assert_eq!(giver.progress().read().moved, heard);
    knocking.abort();
    assert_eq!(download.await.unwrap(), Fed::State(Step(12), state));
    drop(hanging);
}
