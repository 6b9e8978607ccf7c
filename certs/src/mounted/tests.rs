use std::fs;

use headworks_testkit::Mount;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};
use tokio_util::sync::DropGuard;

use super::*;
use crate::facts::Facts;
use crate::hooks::{CertEvent, EventKind, Events};
use crate::issue::{Authority, Issued, Lifetimes};
use crate::names::ServiceNames;

const REQUIRED: &str = "svc.ns.svc";
/// Whatever takes longer has failed: a busy machine may need some of it.
const LIMIT: Duration = Duration::from_mins(1);
/// For tests in which a poll must not help.
const NEVER: Duration = Duration::from_hours(1);

fn issued_for(names: &ServiceNames, made: Timestamp) -> Issued {
    let ca = Authority::generate("svc", &Lifetimes::default(), made).unwrap();
    let signer = Authority::from_pem(ca.cert.as_bytes(), &ca.key).unwrap();
    signer.leaf(&names.all(), &Lifetimes::default(), made).unwrap()
}

fn issued() -> Issued {
    issued_for(&ServiceNames::new("svc", "ns"), Timestamp::now())
}

fn serial(issued: &Issued) -> String {
    Facts::of(&crate::pair::chain(issued.cert.as_bytes()).unwrap()[0]).unwrap().serial
}

fn files(issued: &Issued) -> [(&'static str, &str); 2] {
    [("tls.crt", &issued.cert), ("tls.key", issued.key.expose())]
}

/// A running source.
struct Running {
    identity: Identity,
    events: tokio::sync::mpsc::UnboundedReceiver<CertEvent>,
    warned: Vec<CertEvent>,
    registry: prometheus_client::registry::Registry,
    _stop: DropGuard,
}

impl Running {
    fn start(dir: &Mount, poll: Duration) -> Self {
        let mut registry = prometheus_client::registry::Registry::default();
        let (sender, events) = Events::channel();
        let hooks =
            Hooks { metrics: crate::Metrics::registered(&mut registry), events: sender, ..Hooks::default() };
        let (identity, shutdown) = (Identity::new(), CancellationToken::new());
        let config = MountedConfig { poll, ..MountedConfig::new(dir.path(), REQUIRED) };
        tokio::spawn(run(config, identity.clone(), hooks, shutdown.clone()));
        Self { identity, events, warned: Vec::new(), registry, _stop: shutdown.drop_guard() }
    }

    #[track_caller]
    fn serves(&self, issued: &Issued) -> impl Future<Output = ()> {
        let (serial, mut changes) = (serial(issued), self.identity.subscribe());
        let caller = std::panic::Location::caller();
        async move {
            let served = changes.wait_for(|pair| pair.as_ref().is_some_and(|pair| pair.serial() == serial));
            let in_time = timeout(LIMIT, served).await;
            assert!(in_time.is_ok(), "{caller}: not served within {LIMIT:?}");
        }
    }

    /// The next warning with this reason; others wait for their own turn.
    async fn warns(&mut self, reason: &str) -> String {
        loop {
            if let Some(at) = self.warned.iter().position(|event| event.reason == reason) {
                return self.warned.remove(at).message;
            }
            let event = timeout(LIMIT, self.events.recv()).await.expect(reason).unwrap();
            if event.kind == EventKind::Warning {
                self.warned.push(event);
            }
        }
    }

    /// Waits until the metrics contain this: a pair is served a moment before it is counted.
    #[track_caller]
    fn shows(&self, line: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + LIMIT;
            while !self.metrics().contains(line) {
                assert!(Instant::now() < deadline, "{caller}: {line} not in\n{}", self.metrics());
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

#[cfg(unix)]
#[tokio::test]
async fn fifty_swaps_as_kubelet_does_them_are_each_served_without_a_poll() {
    let dir = Mount::new().unwrap();
    let first = issued();
    dir.swap(&files(&first)).unwrap();
    let source = Running::start(&dir, NEVER);
    source.serves(&first).await;
    for _ in 0..50 {
        let next = issued();
        dir.swap(&files(&next)).unwrap();
        source.serves(&next).await;
    }
    source.shows("headworks_cert_reloads_total{result=\"loaded\",reason=\"\"} 51").await;
    assert!(!source.metrics().contains("result=\"rejected\""), "no swap was seen halfway");
}

#[tokio::test]
async fn files_written_in_place_are_served() {
    let dir = Mount::new().unwrap();
    dir.write(&files(&issued())).unwrap();
    let source = Running::start(&dir, NEVER);
    for _ in 0..5 {
        let next = issued();
        dir.write(&files(&next)).unwrap();
        source.serves(&next).await;
    }
}

#[tokio::test]
async fn files_renamed_over_are_served() {
    let dir = Mount::new().unwrap();
    dir.write(&files(&issued())).unwrap();
    let source = Running::start(&dir, NEVER);
    for _ in 0..5 {
        let next = issued();
        dir.rename_over(&files(&next)).unwrap();
        source.serves(&next).await;
    }
}

#[tokio::test]
async fn a_directory_deleted_and_made_again_is_served_by_poll_and_watched_again() {
    let dir = Mount::new().unwrap();
    let first = issued();
    dir.write(&files(&first)).unwrap();
    let mut source = Running::start(&dir, Duration::from_millis(300));
    source.serves(&first).await;
    for _ in 0..3 {
        fs::remove_dir_all(dir.path()).unwrap();
        assert!(source.warns("CertificateWatchUnavailable").await.contains("polling instead"));
        assert!(source.warns("CertificateRejected").await.contains("stays in service"));
        source.shows("headworks_cert_watch_backend{backend=\"poll\"} 1").await;
        let next = issued();
        fs::create_dir(dir.path()).unwrap();
        dir.write(&files(&next)).unwrap();
        source.serves(&next).await;
        source.shows("headworks_cert_watch_backend{backend=\"notify\"} 1").await;
    }
}

#[tokio::test]
async fn a_directory_that_comes_late_is_found() {
    let dir = Mount::new().unwrap();
    fs::remove_dir(dir.path()).unwrap();
    let mut source = Running::start(&dir, Duration::from_millis(200));
    assert!(source.warns("CertificateWatchUnavailable").await.contains("polling instead"));
    assert!(source.warns("CertificateRejected").await.contains("no certificate is in service"));
    let next = issued();
    fs::create_dir(dir.path()).unwrap();
    dir.write(&files(&next)).unwrap();
    source.serves(&next).await;
}

#[tokio::test]
async fn what_is_bad_is_refused_by_name_and_the_last_good_pair_stays() {
    let dir = Mount::new().unwrap();
    let good = issued();
    dir.write(&files(&good)).unwrap();
    let mut source = Running::start(&dir, NEVER);
    source.serves(&good).await;
    let day = SignedDuration::from_hours(24);
    let (now, names) = (Timestamp::now(), ServiceNames::new("svc", "ns"));
    let (one, other) = (issued(), issued());
    let cut = |pem: &str| pem[..pem.len() / 2].to_owned();
    let key = |issued: &Issued| issued.key.expose().to_owned();
    let expired = issued_for(&names, now - day * 15);
    let future = issued_for(&names, now + day);
    let stranger = issued_for(&ServiceNames::new("else", "ns"), now);
    let cases = [
        (cut(&one.cert), key(&one), "malformed_certificate"),
        (one.cert.clone(), cut(one.key.expose()), "malformed_key"),
        (one.cert.clone(), key(&other), "mismatch"),
        (expired.cert.clone(), key(&expired), "expired"),
        (future.cert.clone(), key(&future), "not_yet_valid"),
        (stranger.cert.clone(), key(&stranger), "wrong_name"),
        (String::new(), key(&one), "empty"),
    ];
    for (cert, key, category) in cases {
        dir.write(&[("tls.crt", &cert), ("tls.key", &key)]).unwrap();
        let message = source.warns("CertificateRejected").await;
        assert!(message.ends_with(&format!("certificate {} stays in service", serial(&good))), "{message}");
        let counted = format!("headworks_cert_reloads_total{{result=\"rejected\",reason=\"{category}\"}}");
        source.shows(&counted).await;
        assert_eq!(source.identity.current().unwrap().serial(), serial(&good));
    }
    fs::remove_file(dir.path().join("tls.key")).unwrap();
    assert!(source.warns("CertificateRejected").await.contains("cannot read"));
    dir.write(&files(&one)).unwrap();
    source.serves(&one).await;
}

#[tokio::test]
async fn a_pair_from_the_future_is_taken_once_its_time_comes() {
    let dir = Mount::new().unwrap();
    let start = Timestamp::now();
    let ahead = issued_for(
        &ServiceNames::new("svc", "ns"),
        start + SignedDuration::from_hours(1) + SignedDuration::from_secs(15),
    );
    dir.write(&files(&ahead)).unwrap();
    let mut source = Running::start(&dir, Duration::from_millis(200));
    assert!(source.warns("CertificateRejected").await.contains("valid only from"));
    source.serves(&ahead).await;
}

#[tokio::test]
async fn only_the_series_of_the_served_certificate_remains() {
    let dir = Mount::new().unwrap();
    let (first, second) = (issued(), issued());
    dir.write(&files(&first)).unwrap();
    let source = Running::start(&dir, NEVER);
    source.serves(&first).await;
    dir.write(&files(&second)).unwrap();
    source.serves(&second).await;
    source
        .shows(&format!("headworks_cert_not_after_seconds{{kind=\"leaf\",serial=\"{}\"}}", serial(&second)))
        .await;
    let metrics = source.metrics();
    assert!(!metrics.contains(&serial(&first)), "{metrics}");
}
