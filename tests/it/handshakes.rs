//! TLS options of the program: versions, HTTP/2, and who may call.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headworks_certs::ServiceNames;
use headworks_testkit::{ApiServer, Mount};
use jiff::SignedDuration;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::program::{Ca, NAME, Program, SOON, call};

/// A caller with a certificate of `authority` in this name.
fn known(program: &Program, ca: &Ca, authority: &Ca, name: &str) -> ApiServer {
    let (chain, key) = authority.issue_client(name);
    let tls = ApiServer::tls_with_identity([ca.root()], chain, key).unwrap();
    let address = program.address();
    ApiServer::new(NAME, tls, move || address).unwrap()
}

async fn is_served(caller: &ApiServer) -> bool {
    caller.call(&call(0)).await.is_ok()
}

/// Wait until such a caller is served, or is not any more.
async fn becomes(served: bool, caller: impl Fn() -> ApiServer) {
    let end = Instant::now() + SOON;
    while is_served(&caller()).await != served {
        assert!(Instant::now() < end, "waited {SOON:?} for served: {served}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_required_caller_is_known_by_ca_and_name_and_a_new_ca_needs_no_restart() {
    const LOADED: &str = "headworks_client_ca_reloads_total{result=\"loaded\",reason=\"\"}";
    let (ca, first, second) = (Ca::new(), Ca::new(), Ca::new());
    let anchors = Mount::new().unwrap();
    anchors.swap(&[("ca.crt", first.pem())]).unwrap();
    let file = anchors.path().join("ca.crt");
    let file = file.to_str().unwrap();
    let arguments =
        ["--client-auth", "require", "--client-ca", file, "--client-names", "system:apiserver,other.example"];
    let program = Program::start(&ca, &arguments);
    let caller = |authority, name| known(&program, &ca, authority, name);
    let open = caller(&first, "system:apiserver");
    assert!(is_served(&open).await);
    assert!(is_served(&caller(&first, "other.example")).await);
    assert!(!is_served(&caller(&first, "jane.example")).await, "another name");
    assert!(!is_served(&caller(&second, "system:apiserver")).await, "another authority");
    assert!(!is_served(&program.caller(&ca)).await, "no certificate");

    // A bundle of both, then the second alone: a rotation.
    anchors.swap(&[("ca.crt", &format!("{}{}", first.pem(), second.pem()))]).unwrap();
    program.reaches(LOADED, 2.0);
    // It is counted when it is read, and in force a moment later.
    becomes(true, || caller(&second, "system:apiserver")).await;
    assert!(is_served(&caller(&first, "system:apiserver")).await);
    anchors.swap(&[("ca.crt", second.pem())]).unwrap();
    program.reaches(LOADED, 3.0);
    becomes(false, || caller(&first, "system:apiserver")).await;
    assert!(is_served(&caller(&second, "system:apiserver")).await);
    assert!(is_served(&open).await, "a connection that is open stays as it is");
    assert_eq!(open.dialled(), 1);

    // A bad file: the last good CA stays.
    anchors.swap(&[("ca.crt", "-----BEGIN CERTIFICATE-----\nno\n")]).unwrap();
    program.reaches(
        "headworks_client_ca_reloads_total{result=\"rejected\",reason=\"malformed_certificate\"}",
        1.0,
    );
    assert!(is_served(&caller(&second, "system:apiserver")).await);
    assert!(!is_served(&program.caller(&ca)).await);
}

#[tokio::test]
async fn where_callers_are_only_logged_all_are_served_and_strangers_counted() {
    let (ca, callers) = (Ca::new(), Ca::new());
    let anchors = Mount::new().unwrap();
    anchors.write(&[("ca.crt", callers.pem())]).unwrap();
    let file = anchors.path().join("ca.crt");
    let program = Program::start(&ca, &["--client-auth", "log", "--client-ca", file.to_str().unwrap()]);
    assert!(is_served(&known(&program, &ca, &callers, "anyone.example")).await);
    assert!(program.metric("headworks_webhook_unknown_callers_total") < 0.5);
    assert!(is_served(&program.caller(&ca)).await);
    assert!(program.metric("headworks_webhook_unknown_callers_total") > 0.5);
}

#[test]
fn flags_that_contradict_each_other_and_files_that_are_not_there_are_told_at_the_start() {
    for (arguments, told) in [
        (
            &["--client-ca", "/x/ca.crt"][..],
            "--client-ca and --client-names have no effect without --client-auth require or log",
        ),
        (
            &["--client-names", "a"],
            "--client-ca and --client-names have no effect without --client-auth require or log",
        ),
        (&["--client-auth", "log"], "say whose certificates callers have: --client-ca FILE"),
        (&["--client-auth", "require", "--client-ca", "/x/ca.crt"], "cannot use /x/ca.crt as --client-ca"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_headworks"))
            .args(["run", "--no-controllers", "--cert-mode", "mounted"])
            .args(["--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(told), "{arguments:?}: {said}");
    }
}

async fn dial(program: &Program, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(program.address()).await?;
    TlsConnector::from(Arc::new(config)).connect(NAME.try_into().unwrap(), stream).await
}

fn only(version: &'static rustls::SupportedProtocolVersion, ca: &Ca) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.root()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

#[tokio::test]
async fn versions_and_protocols_are_those_of_the_flags() {
    use rustls::version::{TLS12, TLS13};
    let ca = Ca::new();
    let program = Program::start(&ca, &[]);
    for version in [&TLS12, &TLS13] {
        let stream = dial(&program, only(version, &ca)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let program = Program::start(&ca, &["--tls-min-version", "1.3", "--http2"]);
    assert!(dial(&program, only(&TLS12, &ca)).await.is_err());
    let stream = dial(&program, only(&TLS13, &ca)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // A certificate for somebody else never came into service.
    let names = ServiceNames::new("else", "ns").all();
    program.mount.swap(&crate::program::files(&ca.issue_for(&names, SignedDuration::ZERO))).unwrap();
    program.reaches("headworks_cert_reloads_total{result=\"rejected\",reason=\"wrong_name\"}", 1.0);
    dial(&program, only(&TLS13, &ca)).await.unwrap();
}
