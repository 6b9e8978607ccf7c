//! From SIGTERM to the end: the real program, its real times.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headworks_testkit::{ApiServer, Load};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::program::{Ca, NAME, Program, SOON, call};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_signal_ends_it_at_once_though_callers_keep_coming() {
    let ca = Ca::new();
    let mut program = Program::start(&ca, &[]);
    let caller = program.caller(&ca);
    let load = Load::start(&caller, 20.0, call);
    program.signal("TERM");
    sleep(Duration::from_secs(2)).await;
    caller.call(&call(0)).await.expect("a lame duck still answers");
    let second = Instant::now();
    program.signal("TERM");
    assert!(program.ended(SOON).success());
    // Callers keep the lame duck up to its cap, 25 s after the first signal.
    assert!(second.elapsed() < Duration::from_secs(15), "{:?}", second.elapsed());
    load.stop().await;
}

#[tokio::test]
async fn a_connection_that_was_idle_for_95_seconds_is_still_served() {
    let ca = Ca::new();
    let program = Program::start(&ca, &[]);
    let tls = TlsConnector::from(Arc::new(ApiServer::tls([ca.root()]).unwrap()));
    let stream = TcpStream::connect(program.address()).await.unwrap();
    let mut stream = tls.connect(NAME.try_into().unwrap(), stream).await.unwrap();
    // One that never carried a call is kept as long.
    let unused = TcpStream::connect(program.address()).await.unwrap();
    let mut unused = tls.connect(NAME.try_into().unwrap(), unused).await.unwrap();
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 404 Not Found");
    sleep(Duration::from_secs(95)).await;
    for stream in [&mut stream, &mut unused] {
        assert_eq!(ask(stream).await, "HTTP/1.1 404 Not Found");
    }
}

/// One request by hand; the status line of its answer, of which the rest is read too.
async fn ask(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> String {
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"at this path\n") {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "closed after {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&part[..length]);
    }
    String::from_utf8(text).unwrap().lines().next().unwrap().to_owned()
}

/// With HEADWORKS_LONG ninety, as `make test-restarts` asks for; a few otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_of_the_program_behind_a_switch_that_flips_late_lose_no_call() {
    let restarts = if std::env::var_os("HEADWORKS_LONG").is_some() { 90 } else { 5 };
    let ca = Ca::new();
    let mut current = Program::start(&ca, &["--log", "error"]);
    let switch = Arc::new(Mutex::new(current.address()));
    let route = {
        let switch = switch.clone();
        move || *switch.lock().unwrap()
    };
    let keeping = ca.caller(route.clone());
    let single = keeping.without_keep_alive(route);
    let kept = Load::start_bounded(&keeping, 150.0, 32, call);
    let singles = Load::start_bounded(&single, 50.0, 8, call);
    let mut stopping = Vec::new();
    for _ in 0..restarts {
        let next = Program::start(&ca, &["--log", "error"]);
        current.signal("TERM");
        sleep(Duration::from_secs(1)).await; // the Endpoints are behind
        *switch.lock().unwrap() = next.address();
        stopping.push(std::mem::replace(&mut current, next));
    }
    for program in &mut stopping {
        assert!(program.ended(SOON).success());
    }
    for (report, name) in [(kept.stop().await, "kept alive"), (singles.stop().await, "one call each")] {
        assert!(report.failures.is_empty() && report.denied == 0, "{name}: {report}");
        println!("{restarts} restarts, {name}: {report}");
    }
}
