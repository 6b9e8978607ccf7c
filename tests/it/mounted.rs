//! The mounted directory in the program's real times, where the kernel's notices do not come.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headworks_testkit::Mount;

use crate::program::{Ca, Program, call, files};

const LOADED: &str = "headworks_cert_reloads_total{result=\"loaded\",reason=\"\"}";
/// The poll of 10 seconds, and what a busy machine adds.
const BY_POLL: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_directory_made_anew_is_served_by_the_next_poll() {
    let ca = Ca::new();
    let program = Program::start(&ca, &[]);
    fs::remove_dir_all(program.mount.path()).unwrap();
    program.reaches("headworks_cert_watch_backend{backend=\"poll\"}", 1.0);
    fs::create_dir(program.mount.path()).unwrap();
    let begin = Instant::now();
    program.mount.write(&files(&ca.issue())).unwrap();
    program.reaches(LOADED, 2.0);
    assert!(begin.elapsed() < BY_POLL, "{:?}", begin.elapsed());
    program.reaches("headworks_cert_watch_backend{backend=\"notify\"}", 1.0);
    program.caller(&ca).call(&call(0)).await.unwrap();
}

#[tokio::test]
async fn at_the_inotify_limit_it_polls_and_says_so() {
    // A user namespace has a limit of its own, so that nobody else's is touched.
    const NONE: &str = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let by = ["unshare", "--user", "--map-root-user", "sh", "-c", NONE, "sh"];
    if !Command::new(by[0]).args(&by[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this machine lets nobody make a user namespace");
        return;
    }
    let ca = Ca::new();
    let mount = Arc::new(Mount::new().unwrap());
    mount.swap(&files(&ca.issue())).unwrap();
    let program = Program::start_on(mount, &by, &["--log", "info"]);
    program.reaches("headworks_cert_watch_backend{backend=\"poll\"}", 1.0);
    for number in [2.0, 3.0] {
        let begin = Instant::now();
        program.mount.swap(&files(&ca.issue())).unwrap();
        program.reaches(LOADED, number);
        assert!(begin.elapsed() < BY_POLL, "{:?}", begin.elapsed());
    }
    program.caller(&ca).call(&call(0)).await.unwrap();
    let log = fs::read_to_string(&program.log).unwrap();
    assert_eq!(log.matches("polling instead").count(), 1, "one warning:\n{log}");
}
