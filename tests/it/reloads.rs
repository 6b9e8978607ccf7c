//! The certificate changes two hundred times, and no caller learns of it.

use std::time::Instant;

use headworks_testkit::Load;

use crate::program::{Ca, Program, call, files, rests};

const LOADED: &str = "headworks_cert_reloads_total{result=\"loaded\",reason=\"\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_under_load_fail_no_call_and_open_connections_live_on() {
    let ca = Ca::new();
    let program = Program::start(&ca, &["--log", "error"]);
    let keeping = program.caller(&ca);
    let address = program.address();
    let single = keeping.without_keep_alive(move || address);
    // One call at a time over one connection, which was opened before the first reload.
    let old = program.caller(&ca);
    old.call(&call(0)).await.unwrap();
    // 500 a second where the machine can: what is due waits for its turn.
    let kept = Load::start_bounded(&keeping, 400.0, 32, call);
    let singles = Load::start_bounded(&single, 100.0, 8, call);
    let begin = Instant::now();
    for number in 1..=200_u32 {
        program.mount.swap(&files(&ca.issue())).unwrap();
        program.reaches(LOADED, f64::from(number + 1));
        if number <= 10 {
            rests(&old).await;
            old.call(&call(0)).await.unwrap();
            assert_eq!(old.dialled(), 1, "the connection from before reload {number} is gone");
        }
    }
    let took = begin.elapsed();
    for (report, name) in [(kept.stop().await, "kept alive"), (singles.stop().await, "one call each")] {
        assert!(report.failures.is_empty() && report.denied == 0, "{name}: {report}");
        println!("200 reloads in {took:.1?}, {name}: {report}");
    }
    assert!(program.metric("headworks_cert_reloads_total{result=\"rejected\",reason=\"mismatch\"}") < 0.5);
}

#[tokio::test]
async fn what_is_served_is_what_was_mounted_last() {
    let ca = Ca::new();
    let program = Program::start(&ca, &[]);
    // Another authority: who trusts the old one is refused, who trusts the new one is served.
    let next = Ca::new();
    program.mount.swap(&files(&next.issue())).unwrap();
    program.reaches(LOADED, 2.0);
    program.caller(&next).call(&call(0)).await.unwrap();
    let error = program.caller(&ca).call(&call(0)).await.unwrap_err();
    assert_eq!(error.category(), "handshake", "{error}");
    // Half a key: the last good pair stays, and the old callers with it.
    let torn = next.issue();
    let half = &torn.key.expose()[..80];
    program.mount.swap(&[("tls.crt", &torn.cert), ("tls.key", half)]).unwrap();
    program.reaches("headworks_cert_reloads_total{result=\"rejected\",reason=\"malformed_key\"}", 1.0);
    program.caller(&next).call(&call(0)).await.unwrap();
    let ready = crate::cluster::probe(program.probes, "/readyz").unwrap();
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
}
