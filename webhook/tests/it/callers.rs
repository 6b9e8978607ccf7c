//! Handshakes: versions, protocols, reload, and who may call.

use headworks_webhook::{CallerMode, Callers, Limits, Tls, TlsVersion};
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use rustls::{ClientConfig, ProtocolVersion};

use crate::authority::{Ca, known};
use crate::rig::{Client, PATH, Rig, review};

/// Checks that a client of this configuration gets an answer. In TLS 1.3 it learns of a refusal only when it reads.
async fn is_served(rig: &Rig, config: ClientConfig) -> bool {
    let Ok(stream) = rig.dial(config).await else { return false };
    let request =
        Request::post(PATH).header(CONTENT_TYPE, "application/json").body(review("a").into()).unwrap();
    Client::over(stream).await.try_send(request).await.is_ok()
}

#[tokio::test]
async fn a_required_caller_has_a_certificate_of_the_ca_in_one_of_the_names() {
    let callers = Ca::new();
    let require = known(&callers, &["system:apiserver", "other.example"], CallerMode::Require);
    let rig = Rig::start_with(Limits::default(), |options| options.callers = Some(require)).await;
    assert!(is_served(&rig, rig.ca.client_as("apiserver", &callers)).await, "by common name");
    assert!(is_served(&rig, rig.ca.client_as("other.example", &callers)).await, "by DNS name");
    assert!(!is_served(&rig, rig.ca.client_as("jane", &callers)).await, "another name");
    assert!(!is_served(&rig, rig.ca.client_as("apiserver", &rig.ca)).await, "another authority");
    assert!(!is_served(&rig, rig.ca.client()).await, "no certificate");
    rig.metric_is(r#"headworks_webhook_handshake_failures_total{reason="tls"}"#, 3.0).await;
}

#[tokio::test]
async fn without_names_every_certificate_of_the_ca_will_do() {
    let callers = Ca::new();
    let require = known(&callers, &[], CallerMode::Require);
    let rig = Rig::start_with(Limits::default(), |options| options.callers = Some(require)).await;
    assert!(is_served(&rig, rig.ca.client_as("jane", &callers)).await);
    assert!(!is_served(&rig, rig.ca.client_as("jane", &rig.ca)).await);
}

#[tokio::test]
async fn where_callers_are_only_logged_all_are_served_and_unknown_ones_counted() {
    let callers = Ca::new();
    let log = known(&callers, &["apiserver"], CallerMode::Log);
    let rig = Rig::start_with(Limits::default(), |options| options.callers = Some(log)).await;
    assert!(is_served(&rig, rig.ca.client_as("apiserver", &callers)).await);
    rig.metric_is("headworks_webhook_unknown_callers_total", 0.0).await;
    assert!(is_served(&rig, rig.ca.client_as("jane", &callers)).await);
    assert!(is_served(&rig, rig.ca.client_as("apiserver", &rig.ca)).await);
    assert!(is_served(&rig, rig.ca.client()).await);
    rig.metric_is("headworks_webhook_unknown_callers_total", 3.0).await;
}

#[test]
fn an_empty_client_ca_is_refused_when_it_is_configured() {
    let ca = Ca::new();
    let mut options = ca.options();
    options.callers = Some(Callers { roots: Vec::new(), ..known(&ca, &[], CallerMode::Require) });
    assert_eq!(Tls::new(options).unwrap_err().to_string(), "the client CA is empty");
}

#[tokio::test]
async fn a_new_configuration_is_in_force_from_the_next_connection_on() {
    let rig = Rig::start(Limits::default()).await;
    let mut open = rig.client().await;
    let next = Ca::new();
    rig.tls.send(Tls::new(next.options()).unwrap()).unwrap();
    assert!(!is_served(&rig, rig.ca.client()).await);
    assert!(is_served(&rig, next.client()).await);
    assert_eq!(open.post(PATH, review("a")).await.status, 200, "an open connection stays as it is");
}

#[tokio::test]
async fn http1_is_spoken_and_http2_only_where_it_is_switched_on() {
    for (http2, spoken) in [(false, "http/1.1"), (true, "h2")] {
        let rig = Rig::start_with(Limits::default(), |options| options.http2 = http2).await;
        let mut config = rig.ca.client();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = rig.dial(config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(spoken.as_bytes()));
    }
}

#[tokio::test]
async fn tls_1_3_is_preferred_and_1_2_can_be_ruled_out() {
    let rig = Rig::start(Limits::default()).await;
    let newest = rig.dial(rig.ca.client()).await.unwrap();
    assert_eq!(newest.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert!(is_served(&rig, rig.ca.client_1_2()).await);
    let rig = Rig::start_with(Limits::default(), |options| options.min_version = TlsVersion::V1_3).await;
    assert!(is_served(&rig, rig.ca.client()).await);
    assert!(!is_served(&rig, rig.ca.client_1_2()).await);
}
