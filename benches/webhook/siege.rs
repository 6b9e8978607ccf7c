//! Other callers' latency while somebody does their worst, and what is left of it afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headworks_testkit::ApiServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};
use tokio_rustls::TlsConnector;

use crate::calls::{Calls, FLOW};
use crate::drive::Driver;
use crate::figures::ms;
use crate::server::{Child, NAME};

pub(crate) async fn run(driver: &Driver<'_>, server: &Child, core: &str, lasting: Duration) {
    println!(
        "\n| others' calls, 200/s, while | p50, ms | p99, ms (< 10) | failed | RSS at its worst, MiB | CPU when idle again |"
    );
    println!("|---|---|---|---|---|---|");
    let quiet = driver.load(FLOW, true, 200.0, lasting).await;
    println!(
        "| nothing else happens | {:.2} | {:.2} | {} | {} | {} |",
        ms(quiet.percentile(0.5)),
        ms(quiet.percentile(0.99)),
        quiet.failures.len(),
        server.rss(),
        idle(server).await
    );
    for (name, attack) in [
        (
            "100 slow lorises, each come again when it is cut off",
            lorises as fn(&Child) -> Vec<JoinHandle<()>>,
        ),
        ("500 handshakes a second, half of them never finished", flood),
    ] {
        let attackers = attack(server);
        let report = driver.load(FLOW, true, 200.0, lasting).await;
        let rss = server.rss();
        attackers.iter().for_each(JoinHandle::abort);
        sleep(Duration::from_secs(6)).await; // the longest that a handshake or a head may take
        println!(
            "| {name} | {:.2} | {:.2} | {} | {rss} | {} |",
            ms(report.percentile(0.5)),
            ms(report.percentile(0.99)),
            report.failures.len(),
            idle(server).await
        );
    }
    descriptors(core, lasting).await;
}

/// CPU of the server over three seconds in which nobody calls.
async fn idle(server: &Child) -> String {
    let (before, begin) = (server.cpu(), Instant::now());
    sleep(Duration::from_secs(3)).await;
    let used = server.cpu().saturating_sub(before);
    format!("{:.1} %", used.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0)
}

fn connector(server: &Child) -> TlsConnector {
    TlsConnector::from(Arc::new(ApiServer::tls([server.root.clone()]).unwrap()))
}

fn lorises(server: &Child) -> Vec<JoinHandle<()>> {
    (0..100)
        .map(|_| {
            let (tls, address) = (connector(server), server.address);
            tokio::spawn(async move {
                loop {
                    _ = loris(&tls, address).await;
                }
            })
        })
        .collect()
}

async fn loris(tls: &TlsConnector, address: SocketAddr) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = tls.connect(NAME.try_into().unwrap(), stream).await?;
    stream.write_all(b"POST /validate-jobflow HTTP/1.1\r\nX-Drip: ").await?;
    loop {
        sleep(Duration::from_millis(500)).await;
        stream.write_all(b"x").await?;
        stream.flush().await?;
    }
}

fn flood(server: &Child) -> Vec<JoinHandle<()>> {
    let (tls, address) = (connector(server), server.address);
    vec![tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(4));
        loop {
            ticks.tick().await;
            let tls = tls.clone();
            tokio::spawn(async move {
                let (Ok(one), Ok(mut other)) =
                    (TcpStream::connect(address).await, TcpStream::connect(address).await)
                else {
                    return;
                };
                _ = tls.connect(NAME.try_into().unwrap(), one).await;
                _ = other.write_all(&[0x16, 3, 1, 2, 0]).await;
                sleep(Duration::from_millis(200)).await;
            });
        }
    })]
}

/// A server of its own that may open 64 files, and all of them are.
async fn descriptors(core: &str, lasting: Duration) {
    let server = Child::start(core, &["prlimit", "--nofile=64:64", "--"]);
    let driver = Driver::new(&server);
    let caller = driver.caller(true);
    let calls = Calls::new();
    caller.call(&calls.call(FLOW, 0)).await.unwrap();
    let mut hoard = Vec::new();
    for _ in 0..100 {
        hoard.push(TcpStream::connect(server.address).await.unwrap());
    }
    let keep = tokio::spawn({
        let address = server.address;
        async move {
            loop {
                for stream in &mut hoard {
                    // The server cuts it off after 5 s: come again.
                    if stream.read(&mut [0; 1]).await.is_ok() {
                        *stream = TcpStream::connect(address).await.unwrap();
                    }
                }
            }
        }
    });
    let (begin, mut ticks, mut took) = (Instant::now(), interval(Duration::from_millis(5)), Vec::new());
    let mut number = 0;
    while begin.elapsed() < lasting {
        ticks.tick().await;
        number += 1;
        let sent = Instant::now();
        caller.call(&calls.call(FLOW, number)).await.unwrap();
        took.push(sent.elapsed());
    }
    let rss = server.rss();
    keep.abort();
    took.sort_unstable();
    let at = |share: usize| ms(took[(took.len() * share / 100).min(took.len() - 1)]);
    sleep(Duration::from_secs(6)).await;
    println!(
        "| no file descriptor is left (one open connection) | {:.2} | {:.2} | 0 | {rss} | {} |",
        at(50),
        at(99),
        idle(&server).await
    );
}
