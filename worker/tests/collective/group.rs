//! Members of one generation in one process, and integers to sum.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{Attempt, Generation, Identity, RunId, Slot, Step, Term, WorkerId};
use shared::security::Security;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use worker::collective::{
    Buffer, Cancel, CancelSource, Collective, CollectiveError, GrpcCollective, MemberAddress,
    NoState, PeerServer,
};
use worker::progress::Counters;

/// Nothing here may take longer.
pub const LIMIT: Duration = Duration::from_secs(60);
/// A free port.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub type Outcome = Result<Vec<i64>, CollectiveError>;

pub fn identity(generation: u64) -> Identity {
    Identity {
        run: RunId("00ff00ff00ff00ff".to_owned()),
        term: Term(1),
        generation: Generation(generation),
        ..Identity::default()
    }
}

pub fn worker(index: usize) -> WorkerId {
    WorkerId(format!("w{index}"))
}

/// Deterministic integers over the whole range, many of them extremes.
pub fn integers(seed: u64, count: usize) -> Vec<i64> {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        match z % 17 {
            0 => i64::MAX,
            1 => i64::MIN,
            _ => (z ^ (z >> 31)).cast_signed(),
        }
    };
    (0..count).map(|_| draw()).collect()
}

/// One vector per member.
pub fn inputs(world_size: usize, length: usize, seed: u64) -> Vec<Arc<Vec<i64>>> {
    (0..world_size)
        .map(|slot| Arc::new(integers(seed * 1000 + slot as u64, length)))
        .collect()
}

pub fn plain_sum(inputs: &[Arc<Vec<i64>>]) -> Vec<i64> {
    let mut sum = vec![0_i64; inputs[0].len()];
    for input in inputs {
        for (total, value) in sum.iter_mut().zip(input.iter()) {
            *total = total.wrapping_add(*value);
        }
    }
    sum
}

pub async fn serve() -> PeerServer {
    let state = Arc::new(NoState);
    let bound = PeerServer::bind(LOOPBACK, Security::Plain, state, Counters::default());
    bound.unwrap().0
}

pub async fn servers(count: usize) -> Vec<PeerServer> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(serve().await);
    }
    servers
}

/// Workers 0, 1, 2, ... in slots of the same number.
pub fn members(servers: &[&PeerServer]) -> Vec<MemberAddress> {
    let member = |(server, slot): (&&PeerServer, u32)| MemberAddress {
        worker: worker(slot as usize),
        slot: Slot(slot),
        address: server.address().to_string(),
    };
    servers.iter().zip(0..).map(member).collect()
}

/// Worker `me` of a generation of all `servers`.
pub async fn join(
    server: &PeerServer,
    generation: u64,
    members: Vec<MemberAddress>,
    me: u32,
) -> GrpcCollective {
    let identity = identity(generation);
    let connected = GrpcCollective::connect(server, &identity, members, Slot(me), LIMIT);
    tokio::time::timeout(LIMIT, connected)
        .await
        .expect("hangs")
        .unwrap()
}

/// Everybody in one generation.
pub async fn connect(servers: &[&PeerServer], generation: u64) -> Vec<GrpcCollective> {
    let mut group = Vec::new();
    for (server, slot) in servers.iter().zip(0..) {
        group.push(join(server, generation, members(servers), slot).await);
    }
    group
}

/// The same member, and what it tells of an all-reduce on which nothing moves for so long.
pub fn impatient(
    member: GrpcCollective,
    patience: Duration,
) -> (GrpcCollective, mpsc::UnboundedReceiver<CollectiveError>) {
    let (tell, told) = mpsc::unbounded_channel();
    let stalled = move |_, _, error| {
        // A test that ends hears nothing more.
        let _ = tell.send(error);
    };
    (member.telling(patience, stalled), told)
}

/// What it tells first.
pub async fn stalled(told: &mut mpsc::UnboundedReceiver<CollectiveError>) -> CollectiveError {
    let first = tokio::time::timeout(LIMIT, told.recv());
    first.await.expect("hangs").unwrap()
}

/// One member's all-reduce in the background; hands the member back.
pub fn start(
    mut member: GrpcCollective,
    (step, attempt): (u64, u32),
    input: &Arc<Vec<i64>>,
    cancel: Cancel,
) -> JoinHandle<(GrpcCollective, Outcome)> {
    let input = Arc::clone(input);
    tokio::spawn(async move {
        let (now, room) = ((Step(step), Attempt(attempt)), Buffer::default());
        let reducing = member.all_reduce(now.0, now.1, input.into(), room, cancel);
        let outcome = tokio::time::timeout(LIMIT, reducing).await.expect("hangs");
        let total = outcome.map(|total| Arc::unwrap_or_clone(total.into_host()));
        (member, total)
    })
}

/// All members reduce the same step; every total is checked against the plain sum.
pub async fn reduce_all(
    group: Vec<GrpcCollective>,
    now: (u64, u32),
    inputs: &[Arc<Vec<i64>>],
) -> Vec<GrpcCollective> {
    let source = CancelSource::new();
    let running: Vec<_> = group
        .into_iter()
        .zip(inputs)
        .map(|(member, input)| start(member, now, input, source.token()))
        .collect();
    let expected = plain_sum(inputs);
    let mut back = Vec::new();
    for one in running {
        let (member, outcome) = one.await.unwrap();
        assert!(
            outcome.unwrap() == expected,
            "step and attempt {now:?}: wrong total"
        );
        back.push(member);
    }
    back
}
