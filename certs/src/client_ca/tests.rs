use headworks_testkit::Mount;
use jiff::SignedDuration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::DropGuard;

use super::*;
use crate::hooks::{CertEvent, EventKind};
use crate::issue::{Authority, Lifetimes};
use crate::names::ServiceNames;

/// Whatever takes longer has failed: a busy machine may need some of it.
const LIMIT: Duration = Duration::from_mins(1);
/// For tests in which a poll must not help.
const NEVER: Duration = Duration::from_hours(1);

fn authority(made: Timestamp) -> String {
    Authority::generate("callers", &Lifetimes::default(), made).unwrap().cert
}

fn ca() -> String {
    authority(Timestamp::now())
}

fn der(pem: &str) -> Roots {
    pair::chain(pem.as_bytes()).unwrap()
}

struct Running {
    dir: Mount,
    roots: watch::Receiver<Roots>,
    events: tokio::sync::mpsc::UnboundedReceiver<CertEvent>,
    registry: prometheus_client::registry::Registry,
    _stop: DropGuard,
}

impl Running {
    async fn start(first: &str, poll: Duration) -> Self {
        let dir = Mount::new().unwrap();
        dir.swap(&[("ca.crt", first)]).unwrap();
        let mut registry = prometheus_client::registry::Registry::default();
        let metrics = ClientCaMetrics::registered(&mut registry);
        let (events, heard) = Events::channel();
        let hooks = Hooks { events, ..Hooks::default() };
        let config = ClientCaConfig { poll, ..ClientCaConfig::new(dir.path().join("ca.crt")) };
        let ca = ClientCa::open(config, hooks, metrics).await.unwrap();
        let (roots, shutdown) = (ca.roots(), CancellationToken::new());
        tokio::spawn(ca.run(shutdown.clone()));
        Self { dir, roots, events: heard, registry, _stop: shutdown.drop_guard() }
    }

    async fn trusts(&mut self, pem: &str) {
        let wanted = der(pem);
        let changed = timeout(LIMIT, self.roots.wait_for(|roots| *roots == wanted)).await;
        assert!(changed.is_ok(), "not in force");
    }

    async fn warns(&mut self, reason: &str) -> String {
        loop {
            let event = timeout(LIMIT, self.events.recv()).await.expect(reason).unwrap();
            if event.kind == EventKind::Warning && event.reason == reason {
                return event.message;
            }
        }
    }

    async fn shows(&self, line: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
            if text.contains(line) {
                return;
            }
            assert!(Instant::now() < deadline, "{line} not in\n{text}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn swaps_renames_and_files_written_in_place_are_put_in_force() {
    let mut running = Running::start(&ca(), NEVER).await;
    for _ in 0..5 {
        let next = ca() + &ca();
        running.dir.swap(&[("ca.crt", &next)]).unwrap();
        running.trusts(&next).await;
    }
    let mut plain = Running::start(&ca(), NEVER).await;
    std::fs::remove_file(plain.dir.path().join("..data")).unwrap();
    std::fs::remove_file(plain.dir.path().join("ca.crt")).unwrap();
    for _ in 0..3 {
        let next = ca();
        plain.dir.rename_over(&[("ca.crt", &next)]).unwrap();
        plain.trusts(&next).await;
        let next = ca();
        plain.dir.write(&[("ca.crt", &next)]).unwrap();
        plain.trusts(&next).await;
    }
}

#[tokio::test]
async fn what_is_bad_is_refused_by_name_and_the_last_good_cas_stay() {
    let good = ca();
    let mut running = Running::start(&good, NEVER).await;
    let now = Timestamp::now();
    let issuer = Authority::generate("callers", &Lifetimes::default(), now).unwrap();
    let signer = Authority::from_pem(issuer.cert.as_bytes(), &issuer.key).unwrap();
    let leaf = signer.leaf(&ServiceNames::new("svc", "ns").all(), &Lifetimes::default(), now).unwrap();
    let expired = authority(now - SignedDuration::from_hours(24 * 800));
    for (pem, category, words) in [
        (String::new(), "empty", "is empty"),
        (good[..good.len() / 2].to_owned(), "malformed_certificate", "malformed"),
        (good.clone() + &leaf.cert, "not_ca", "certificate 2 in it is no CA certificate"),
        (expired, "expired", "every CA certificate in it has expired"),
    ] {
        running.dir.swap(&[("ca.crt", &pem)]).unwrap();
        let message = running.warns("ClientCaRejected").await;
        assert!(
            message.contains(words) && message.ends_with("; the last good one stays in force"),
            "{message}"
        );
        running
            .shows(&format!("headworks_client_ca_reloads_total{{result=\"rejected\",reason=\"{category}\"}}"))
            .await;
        assert_eq!(*running.roots.borrow(), der(&good));
    }
    let next = ca();
    running.dir.swap(&[("ca.crt", &next)]).unwrap();
    running.trusts(&next).await;
}

#[tokio::test]
async fn a_directory_made_anew_is_seen_by_poll_and_watched_again() {
    let mut running = Running::start(&ca(), Duration::from_millis(200)).await;
    running.shows("headworks_client_ca_watch_backend{backend=\"notify\"} 1").await;
    std::fs::remove_dir_all(running.dir.path()).unwrap();
    assert!(running.warns("ClientCaWatchUnavailable").await.contains("polling instead"));
    running.shows("headworks_client_ca_watch_backend{backend=\"poll\"} 1").await;
    let next = ca();
    std::fs::create_dir(running.dir.path()).unwrap();
    running.dir.write(&[("ca.crt", &next)]).unwrap();
    running.trusts(&next).await;
    running.shows("headworks_client_ca_watch_backend{backend=\"notify\"} 1").await;
}

#[tokio::test]
async fn there_is_no_start_without_a_good_file() {
    let dir = Mount::new().unwrap();
    let open = async || {
        let config = ClientCaConfig::new(dir.path().join("ca.crt"));
        ClientCa::open(config, Hooks::default(), ClientCaMetrics::default()).await.map(drop)
    };
    assert!(open().await.unwrap_err().to_string().starts_with("cannot read `"));
    dir.write(&[("ca.crt", &"x".repeat(2 << 20))]).unwrap();
    assert!(open().await.unwrap_err().to_string().ends_with("it is larger than 1 MiB"));
    dir.write(&[("ca.crt", &ca())]).unwrap();
    open().await.unwrap();
}
