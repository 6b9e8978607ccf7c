//! API servers as far as TLS goes: each trusts the caBundles that it has seen, which may be old, and calls the replicas
//! that are ready.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headworks_certs::{Identity, Readiness};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::duplex;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::TestCluster;

/// Greatest age of the bundle that a caller may use.
pub(crate) const LAG: Duration = Duration::from_secs(1);

type Replicas = Arc<Mutex<Vec<(String, Identity, Readiness)>>>;

pub(crate) struct Callers {
    replicas: Replicas,
    calls: JoinHandle<Result<usize, String>>,
    stop: DropGuard,
}

impl Callers {
    pub(crate) fn start(cluster: Arc<TestCluster>) -> Self {
        let (replicas, stop) = (Replicas::default(), CancellationToken::new());
        let calls = tokio::spawn(call(cluster, Arc::clone(&replicas), stop.clone()));
        Self { replicas, calls, stop: stop.drop_guard() }
    }

    pub(crate) fn add(&self, name: &str, identity: &Identity, readiness: &Readiness) {
        self.replicas.lock().unwrap().push((name.to_owned(), identity.clone(), readiness.clone()));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.replicas.lock().unwrap().retain(|(one, ..)| one != name);
    }

    /// Returns the number of calls, if none has failed.
    pub(crate) async fn end(self) -> Result<usize, String> {
        drop(self.stop);
        self.calls.await.unwrap()
    }
}

async fn call(
    cluster: Arc<TestCluster>,
    replicas: Replicas,
    stop: CancellationToken,
) -> Result<usize, String> {
    let mut seen: VecDeque<(Instant, Vec<Vec<u8>>)> = VecDeque::new();
    let mut calls = 0;
    while !stop.is_cancelled() {
        seen.push_back((Instant::now(), cluster.bundles().await));
        // The oldest is what was right when `LAG` began.
        while seen.get(1).is_some_and(|(at, _)| at.elapsed() > LAG) {
            seen.pop_front();
        }
        let ready: Vec<_> = replicas.lock().unwrap().clone();
        for (name, identity, readiness) in ready {
            if readiness.check(jiff::Timestamp::now()).is_err() {
                continue;
            }
            let views = [seen.front(), seen.get(seen.len() / 2), seen.back()];
            for bundle in views.into_iter().flatten().flat_map(|(_, bundles)| bundles) {
                handshake(&identity, bundle, &cluster.required()).await.map_err(|error| {
                    let serial = identity.current().map(|pair| pair.serial().to_owned());
                    format!("after {calls} calls, {name} with {serial:?}: {error}")
                })?;
                calls += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(calls)
}

async fn handshake(identity: &Identity, bundle: &[u8], name: &str) -> std::io::Result<()> {
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok));
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::disabled();
    let acceptor = TlsAcceptor::from(Arc::new(server.with_cert_resolver(Arc::new(identity.clone()))));
    let connector = TlsConnector::from(Arc::new(client));
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (called, _) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    called.map(|_| ())
}
