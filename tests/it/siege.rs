//! Callers that mean no good: whatever they do, others get their answers, and it ends.
//!
//! How fast is told by `make bench-webhook`; here it counts that every answer comes.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headworks_testkit::{ApiServer, Load, Mount, Report};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::program::{Ca, NAME, Probing, Program, SOON, call, files, rests};

const CONNECTIONS: &str = "headworks_webhook_connections";

fn answered(report: &Report) {
    assert!(report.failures.is_empty() && report.denied == 0, "{report}");
}

/// Waits until only `left` connections are open.
async fn only(program: &Program, left: f64) {
    let end = Instant::now() + SOON;
    while program.metric(CONNECTIONS) > left {
        assert!(Instant::now() < end, "{} are open still", program.metric(CONNECTIONS));
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_slow_lorises_are_cut_off_and_nobody_waits_for_them() {
    let ca = Ca::new();
    let program = Program::start(&ca, &["--log", "error"]);
    let load = Load::start_bounded(&program.caller(&ca), 50.0, 16, call);
    let tls = TlsConnector::from(Arc::new(ApiServer::tls([ca.root()]).unwrap()));
    let mut lorises = JoinSet::new();
    for number in 0..100 {
        let (tls, address) = (tls.clone(), program.address());
        lorises.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // A third each: a handshake that never comes, a head that drips, a body that drips.
            if number % 3 == 0 {
                _ = stream.read(&mut [0; 64]).await;
                return;
            }
            let mut stream = tls.connect(NAME.try_into().unwrap(), stream).await.unwrap();
            let head = "POST /mutate-jobflow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
            _ = stream.write_all(head.as_bytes()).await;
            if number % 3 == 1 {
                _ = stream.write_all(b"Content-Length: 1000\r\n\r\n{").await;
            } else {
                _ = stream.write_all(b"X-Drip: ").await;
            }
            let mut part = [0; 64];
            loop {
                // A byte each half second, until the server has had enough.
                match timeout(Duration::from_millis(500), stream.read(&mut part)).await {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(_)) => {}
                    Err(_) => {
                        if stream.write_all(b" ").await.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
    }
    let all = async { while lorises.join_next().await.is_some() {} };
    timeout(SOON, all).await.expect("each is cut off");
    answered(&load.stop().await);
    only(&program, 25.0).await;
    assert!(program.rss() < 200, "{} MiB", program.rss());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_handshakes_holds_nobody_up_and_leaves_nothing_behind() {
    let ca = Ca::new();
    let program = Program::start(&ca, &["--log", "error"]);
    let load = Load::start_bounded(&program.caller(&ca), 20.0, 16, call);
    let tls = TlsConnector::from(Arc::new(ApiServer::tls([ca.root()]).unwrap()));
    let begin = Instant::now();
    let mut flood = JoinSet::new();
    for number in 0..16 {
        let (tls, address) = (tls.clone(), program.address());
        flood.spawn(async move {
            while begin.elapsed() < Duration::from_secs(3) {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                if number % 2 == 0 {
                    // Complete, and gone at once.
                    _ = tls.connect(NAME.try_into().unwrap(), stream).await;
                } else {
                    _ = stream.write_all(&[0x16, 3, 1, 0x7f, 0xff, 1]).await;
                }
            }
        });
    }
    while flood.join_next().await.is_some() {}
    answered(&load.stop().await);
    only(&program, 25.0).await;
    assert!(program.rss() < 200, "{} MiB", program.rss());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_descriptors_open_connections_are_served_and_new_ones_as_soon_as_there_are_some() {
    const ERRORS: &str = "headworks_webhook_accept_errors_total";
    let ca = Ca::new();
    let mount = Arc::new(Mount::new().unwrap());
    mount.swap(&files(&ca.issue())).unwrap();
    let program = Program::start_on(mount, &["prlimit", "--nofile=64:64", "--"], &["--log", "error"]);
    let caller = program.caller(&ca);
    caller.call(&call(0)).await.unwrap();
    let mut probing = Probing::of(&program);
    let hoard = || -> Vec<std::net::TcpStream> {
        let connect = |_| {
            let mut stream = std::net::TcpStream::connect(program.address()).unwrap();
            // A record that is announced and does not come: the handshake's limit is all that ends it.
            stream.write_all(&[0x16, 3, 1, 2, 0]).unwrap();
            stream
        };
        (0..100).map(connect).collect()
    };
    let hoarded = hoard();
    let end = Instant::now() + SOON;
    while probing.metric(ERRORS) < 1.0 {
        assert!(Instant::now() < end, "there are descriptors still");
        sleep(Duration::from_millis(20)).await;
    }
    let (before, begin) = (probing.metric(ERRORS), Instant::now());
    while begin.elapsed() < Duration::from_secs(3) {
        rests(&caller).await;
        caller.call(&call(0)).await.expect("an open connection is served");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(caller.dialled(), 1);
    // It waits up to a second between two attempts. A loop that spins would fail a hundred thousand times.
    let errors = probing.metric(ERRORS) - before;
    assert!(errors < 50.0, "{errors} attempts in three seconds");
    drop(hoarded);
    program.caller(&ca).call(&call(0)).await.expect("there are descriptors again");
}
