use std::io;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch::Sender;
use tower::service_fn;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::hooks::{Events, Hooks};
use crate::identity::Identity;
use crate::managed::config::ManagedConfig;
use crate::managed::plan::cluster::ClusterState;
use crate::names::ServiceNames;

/// Stands for key material.
const KEY: &str = "MHcCAQEEIN-this-is-secret";

/// Keeps every log line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// An API server whose only Secret cannot be decoded, by list or by get: a client's error quotes the text it finds in
/// place of a map.
fn client() -> Client {
    let answer = |request: Request<Body>| async move {
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "data": KEY,
        });
        let listed = request.uri().query().is_some_and(|query| query.contains("fieldSelector"));
        let body = if listed {
            serde_json::json!({
                "apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "1"}, "items": [secret],
            })
        } else {
            secret
        };
        Ok::<_, io::Error>(Response::new(Body::from(body.to_string().into_bytes())))
    };
    Client::new(service_fn(answer), "ns")
}

#[tokio::test]
async fn an_error_that_quotes_the_secret_reaches_neither_a_log_line_nor_an_event() {
    let log = Log::default();
    let writer = log.clone();
    // kube's client logs what it cannot decode, body and all: its target is not logged by `headworks` either.
    let ours = filter_fn(|metadata| metadata.target().starts_with("headworks"));
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_filter(ours);
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let tick = Duration::from_millis(20);
    let config = ManagedConfig { tick, ..ManagedConfig::new("tls", ServiceNames::new("svc", "ns")) };
    let api = Api::new(client(), &config);
    let (events, mut published) = Events::channel();
    let hooks = Hooks { events, ..Hooks::default() };
    let cluster = Sender::new(ClusterState::unread(config.configurations()));
    let store = Store::new(cluster, &config, Identity::new(), hooks);
    let watched = "watch interrupted: an answer could not be decoded";
    let read = "the API server refused: an answer could not be decoded";
    let logged = async {
        while !(log.text().contains(watched) && log.text().contains(read)) {
            sleep(tick).await;
        }
    };
    tokio::select! {
        () = watch(&api, &store, config.tick) => {}
        () = logged => {}
        () = sleep(Duration::from_mins(1)) => panic!("{}", log.text()),
    }

    let error = api.get_secret().await.unwrap_err();
    let ApiError::Kube(raw) = &error else { panic!("{error}") };
    assert!(raw.to_string().contains(KEY), "the client quotes what it cannot decode: {raw}");
    assert_eq!(error.to_string(), "the API server refused: an answer could not be decoded");

    let text = log.text();
    let quoting: Vec<_> = text.lines().filter(|line| line.contains(KEY)).collect();
    assert!(quoting.is_empty(), "{quoting:?}");
    assert!(published.try_recv().is_err());
}
