//! What an API server does with 429: it asks again, and the user sees nothing.

use std::sync::Arc;
use std::time::Duration;

use headworks_certs::{Authority, Identity, Lifetimes, Pair, ServiceNames};
use headworks_webhook::{
    Admit, Limits, Metrics, Phase, Review, Server, Service, Shutdown, Tls, TlsOptions, TlsVersion, Verdict,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::cluster::{cluster, eventually};

/// Takes its time.
struct Slow;

impl Admit for Slow {
    fn kinds(&self) -> &[&'static str] {
        &["ConfigMap"]
    }
    fn mutate(&self, _: Review) -> Verdict {
        Verdict::allow()
    }
    fn validate(&self, _: Review) -> Verdict {
        std::thread::sleep(Duration::from_millis(300));
        Verdict::allow()
    }
}

#[test]
fn a_call_that_is_put_off_is_made_again_and_the_user_sees_no_error() {
    let cluster = cluster();
    let now = jiff::Timestamp::now();
    let lifetimes = Lifetimes::default();
    let names = ServiceNames { extra: vec!["127.0.0.1".into()], ..ServiceNames::new("slow", "default") };
    let ca = Authority::generate("overload test", &lifetimes, now).unwrap();
    let leaf = Authority::from_pem(ca.cert.as_bytes(), &ca.key)
        .unwrap()
        .leaf(&names.all(), &lifetimes, now)
        .unwrap();
    let pair =
        Pair::parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes(), &[names.required()], now).unwrap();
    let identity = Identity::new();
    identity.install(pair);

    // One at a time and nobody waits: the second of two calls is put off.
    let mut registry = Registry::default();
    let limits = Limits { in_flight: 1, queue: 0, ..Limits::default() };
    let service =
        Service::new(limits, Metrics::new(&mut registry)).route("/slow", Phase::Validate, Arc::new(Slow));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = Tls::new(TlsOptions {
        identity: Arc::new(identity),
        min_version: TlsVersion::default(),
        http2: false,
        callers: None,
    })
    .unwrap();
    let (_keep, tls) = tokio::sync::watch::channel(tls);
    runtime.spawn(Server::new(Arc::new(service), tls, Shutdown::new()).run(listener));

    cluster.must(&["create", "namespace", "overload"], "");
    let bundle = base64(&ca.cert);
    cluster.must(
        &["apply", "-f", "-"],
        &format!(
            "{{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {{name: slow}}, \
             webhooks: [{{name: slow.example.com, admissionReviewVersions: [v1], sideEffects: None, failurePolicy: Fail, \
             timeoutSeconds: 20, clientConfig: {{url: \"https://127.0.0.1:{port}/slow\", caBundle: {bundle}}}, \
             rules: [{{apiGroups: [\"\"], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}}], \
             namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: overload}}}}}}]}}"
        ),
    );
    let overloads = || {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix("headworks_webhook_overload_total "))
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let mut round = 0;
    eventually("two calls to meet", || {
        round += 1;
        let creates: Vec<_> = (0..4)
            .map(|i| {
                let name = format!("c{round}-{i}");
                std::thread::spawn(move || {
                    cluster.kubectl(&["-n", "overload", "create", "configmap", &name], "")
                })
            })
            .collect();
        for create in creates {
            let said = create.join().unwrap();
            assert!(said.ok, "the user sees an error: {}", said.err);
        }
        (overloads() > 0).then_some(())
    });
    cluster.must(&["delete", "validatingwebhookconfiguration", "slow"], "");
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
