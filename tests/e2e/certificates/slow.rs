//! A way to the API server on which everything comes late, and not in the order in which it was sent.
//!
//! A TCP proxy on this machine that the pods go through; it reads nothing, TLS passes. What the API server sends is held
//! back for a random time, on every connection another. A watch has a connection of its own, so one replica sees a new
//! Secret before a new bundle and another replica the other way round.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::rig::Detour;
use crate::runtime;

/// The proxy. It ends when it is dropped, and its connections with it.
pub(super) struct Slow {
    pub(super) detour: Detour,
    most: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Slow {
    /// In front of the API server, delaying nothing yet; `None` where pods cannot reach this machine. `hack/cluster`
    /// puts the API server of a node at 10.243.N.2, and this machine at 10.243.N.1.
    pub(super) fn new() -> Option<Self> {
        let seed = std::env::var("HEADWORKS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        eprintln!("HEADWORKS_SEED={seed}");
        runtime().block_on(async {
            let config = Config::infer().await.unwrap();
            let server: IpAddr = config.cluster_url.host()?.parse().ok()?;
            let IpAddr::V4(address) = server else { return None };
            let [10, 243, n, 2] = address.octets() else { return None };
            let upstream = SocketAddr::new(server, config.cluster_url.port_u16()?);
            let listener = TcpListener::bind((Ipv4Addr::new(10, 243, n, 1), 0)).await.ok()?;
            let local = listener.local_addr().unwrap();
            let most = Arc::<AtomicU64>::default();
            let mut task = JoinSet::new();
            task.spawn(serve(listener, upstream, most.clone(), seed));
            let detour = Detour { address: local.ip().to_string(), port: local.port() };
            Some(Self { detour, most, _task: task })
        })
    }

    /// From now on hold back everything for up to so long.
    pub(super) fn delay(&self, most: Duration) {
        self.most.store(u64::try_from(most.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

async fn serve(listener: TcpListener, upstream: SocketAddr, most: Arc<AtomicU64>, seed: u64) {
    let mut connections = JoinSet::new();
    for number in 0u64.. {
        let Ok((down, _)) = listener.accept().await else { return };
        let Ok(up) = TcpStream::connect(upstream).await else { continue };
        let ((down_read, down_write), (up_read, up_write)) = (down.into_split(), up.into_split());
        connections.spawn(at_once(down_read, up_write));
        connections.spawn(late(up_read, down_write, most.clone(), seed ^ number.rotate_left(32)));
        while connections.try_join_next().is_some() {}
    }
}

async fn at_once(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

async fn late(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    most: Arc<AtomicU64>,
    mut seed: u64,
) {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let write = async move {
        while let Some((due, bytes)) = queued.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let read = async move {
        let (mut buffer, mut last) = (vec![0; 64 << 10], Instant::now());
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let most = most.load(Ordering::Relaxed);
            seed = mixed(seed);
            // A stream stays a stream: nothing overtakes what was sent before it.
            last = last.max(Instant::now() + Duration::from_millis(if most == 0 { 0 } else { seed % most }));
            if queue.send((last, buffer[..n].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

/// The next of a row of numbers without a pattern.
fn mixed(seed: u64) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.finish()
}
