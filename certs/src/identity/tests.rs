use jiff::SignedDuration;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::issue::{Authority, Issued, Lifetimes};

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn ca(made: Timestamp) -> Issued {
    Authority::generate("svc", &Lifetimes::default(), made).unwrap()
}

fn pair() -> Pair {
    pair_of(&ca(now()), now())
}

fn pair_of(ca: &Issued, now: Timestamp) -> Pair {
    let signer = Authority::from_pem(ca.cert.as_bytes(), &ca.key).unwrap();
    let leaf = signer.leaf(&["svc.ns.svc".to_owned()], &Lifetimes::default(), now).unwrap();
    Pair::parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes(), &["svc.ns.svc"], now).unwrap()
}

#[test]
fn installing_swaps_once_and_tells_subscribers() {
    let identity = Identity::new();
    let mut changes = identity.subscribe();
    assert!(identity.current().is_none());
    let (one, two) = (pair(), pair());
    assert!(identity.install(one.clone()));
    assert!(!identity.install(one.clone()), "the same pair again is no change");
    assert!(changes.has_changed().unwrap());
    assert_eq!(changes.borrow_and_update().as_ref().unwrap().serial(), one.serial());
    assert!(identity.clone().install(two.clone()), "clones share the pair");
    assert_eq!(identity.current().unwrap().serial(), two.serial());
    assert_eq!(changes.borrow_and_update().as_ref().unwrap().serial(), two.serial());
}

#[test]
fn readiness_ends_ten_minutes_before_the_certificate() {
    let identity = Identity::new();
    assert_eq!(identity.readiness(now()), Err("no certificate loaded yet".to_owned()));
    let pair = pair();
    let (serial, end) = (pair.serial().to_owned(), pair.not_after());
    identity.install(pair);
    assert_eq!(identity.readiness(now()), Ok(()));
    assert_eq!(identity.readiness(end - EXPIRY_MARGIN), Ok(()));
    assert_eq!(
        identity.readiness(end - EXPIRY_MARGIN + SignedDuration::from_secs(1)),
        Err(format!("certificate {serial} expires at {end}, within 10m"))
    );
    assert_eq!(
        identity.readiness(end + SignedDuration::from_secs(1)),
        Err(format!("certificate {serial} expired at {end}"))
    );
    assert!(identity.readiness(now() - SignedDuration::from_hours(2)).is_err());
}

/// A server that echoes, and a client that trusts only `ca`.
struct Echo {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Echo {
    fn new(identity: &Identity, ca: &Issued) -> Self {
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(crate::pair::chain(ca.cert.as_bytes()).unwrap());
        let client =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.resumption = Resumption::disabled(); // a resumed session shows the certificate it began with
        Self {
            acceptor: TlsAcceptor::from(Arc::new(server.with_cert_resolver(Arc::new(identity.clone())))),
            connector: TlsConnector::from(Arc::new(client)),
        }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<DuplexStream>> {
        let (client, server) = duplex(64 * 1024);
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut tls) = acceptor.accept(server).await else { return };
            let mut byte = [0];
            while tls.read_exact(&mut byte).await.is_ok() && tls.write_all(&byte).await.is_ok() {}
        });
        self.connector.connect(ServerName::try_from("svc.ns.svc").unwrap(), client).await
    }
}

async fn echoes(connection: &mut TlsStream<DuplexStream>) {
    let mut byte = [0];
    connection.write_all(b"x").await.unwrap();
    connection.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
}

fn served(connection: &TlsStream<DuplexStream>) -> Vec<u8> {
    connection.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_under_handshakes_lose_none_and_open_connections_live_on() {
    let ca = ca(Timestamp::now());
    let identity = Identity::new();
    let echo = Arc::new(Echo::new(&identity, &ca));
    assert!(echo.connect().await.is_err(), "without a pair there is no handshake");
    identity.install(pair_of(&ca, Timestamp::now()));
    let mut open = echo.connect().await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (caller, stopped) = (Arc::clone(&echo), stop.clone());
    let calls = tokio::spawn(async move {
        let mut calls = 0;
        while !stopped.is_cancelled() {
            echoes(&mut caller.connect().await.unwrap()).await;
            calls += 1;
        }
        calls
    });
    for _ in 0..200 {
        let next = pair_of(&ca, Timestamp::now());
        let leaf = next.chain()[0].to_vec();
        identity.install(next);
        assert_eq!(served(&echo.connect().await.unwrap()), leaf, "the very next handshake has it");
        echoes(&mut open).await;
    }
    stop.cancel();
    assert!(calls.await.unwrap() > 50);
}
