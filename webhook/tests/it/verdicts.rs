//! Verdicts over the wire, and what is no verdict.

use base64::Engine as _;
use headworks_webhook::{Limits, Metrics, Phase, Probes, Service, Shutdown};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{PATH, Rig, Rules, review};

#[tokio::test]
async fn one_connection_carries_many_reviews() {
    let rig = Rig::start(Limits::default()).await;
    let mut client = rig.client().await;
    for name in ["a", "b"] {
        let answer = client.post(&format!("{PATH}?timeout=5s"), review(name)).await;
        assert_eq!(answer.review(), json!({"uid": format!("uid-{name}"), "allowed": true}));
    }
    let answer = client.post("/mutate-jobflow", review("a")).await.review();
    assert_eq!(answer["patchType"], "JSONPatch");
    let patch = base64::engine::general_purpose::STANDARD.decode(answer["patch"].as_str().unwrap()).unwrap();
    assert_eq!(patch, br#"[{"op":"add","path":"/x","value":1}]"#);
    rig.metric_is("headworks_webhook_connections", 1.0).await;
    let reviews = "headworks_webhook_review_duration_seconds_count";
    rig.metric_is(&format!(r#"{reviews}{{kind="JobFlow",operation="CREATE",decision="allowed"}}"#), 2.0)
        .await;
    rig.metric_is(&format!(r#"{reviews}{{kind="JobFlow",operation="CREATE",decision="patched"}}"#), 1.0)
        .await;
}

#[tokio::test]
async fn a_panic_answers_its_own_request_and_the_next_on_the_connection_is_well() {
    let rig = Rig::start(Limits { in_flight: 1, queue: 0, ..Limits::default() }).await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        let answer = client.post(PATH, review("panic")).await.review();
        assert_eq!((&answer["uid"], &answer["allowed"]), (&json!("uid-panic"), &json!(false)));
        assert_eq!(answer["status"]["code"], 500);
    }
    assert_eq!(client.post(PATH, review("fine")).await.review()["allowed"], true);
    rig.metric_is("headworks_webhook_panics_total", 3.0).await;
}

#[tokio::test]
async fn what_asks_for_no_review_is_told_so() {
    let rig = Rig::start(Limits::default()).await;
    let mut client = rig.client().await;
    client.post("/", review("a")).await.refuses(404, "no admission review is served at this path\n");
    let get = client.send(Request::get(PATH).body("".into()).unwrap()).await;
    get.refuses(405, "an admission review is asked for with POST\n");
    assert_eq!(get.header("allow"), "POST");
    let text = "an admission review is read from Content-Type application/json\n";
    for kind in ["", "text/plain", "application/jsonx"] {
        let request = Request::post(PATH).header(CONTENT_TYPE, kind).body(review("a").into()).unwrap();
        client.send(request).await.refuses(415, text);
    }
    let kind = "Application/JSON; charset=utf-8";
    let request = Request::post(PATH).header(CONTENT_TYPE, kind).body(review("a").into()).unwrap();
    assert_eq!(client.send(request).await.review()["allowed"], true);
    rig.metric_is(r#"headworks_webhook_refused_total{code="415"}"#, 3.0).await;
}

#[tokio::test]
async fn garbage_is_a_denial_that_can_be_read() {
    let rig = Rig::start(Limits::default()).await;
    let mut client = rig.client().await;
    for body in ["", "{", "[]", "null", "\u{0}", &review("cut")[..60]] {
        let answer = client.post(PATH, body.to_owned()).await.review();
        assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(400)));
        assert!(answer["status"]["message"].as_str().unwrap().contains("AdmissionReview"));
    }
    rig.metric_is("headworks_webhook_malformed_total", 6.0).await;
}

#[tokio::test]
async fn a_kind_that_nobody_registered_is_no_label() {
    let rig = Rig::start(Limits::default()).await;
    rig.client().await.post(PATH, review("a").replace("JobFlow", "Made-up")).await.review();
    let count = r#"headworks_webhook_review_duration_seconds_count{kind="other",operation="CREATE",decision="allowed"}"#;
    rig.metric_is(count, 1.0).await;
}

#[tokio::test]
async fn probes_and_metrics_are_plain_http() {
    let mut registry = Registry::default();
    let _metrics = Metrics::new(&mut registry);
    let probes =
        Probes::new(Arc::new(registry), Shutdown::new()).ready("certificate", || Err("expired".into()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(probes.serve(listener, async { _ = ended.await }));
    for (path, status, part) in [
        ("/healthz", "200 OK", "\r\n\r\nok"),
        ("/readyz?verbose", "503 ", "[-]certificate failed: expired\nreadyz check failed\n"),
        ("/metrics", "200 OK", "# TYPE headworks_webhook_connections gauge\n"),
        ("/metrics", "200 OK", "# EOF\n"),
        ("/", "404 ", "/metrics"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(answer.contains(part), "{path}: {answer}");
    }
    end.send(()).unwrap();
    serving.await.unwrap();
}

proptest! {
    #[test]
    fn any_request_is_answered_with_a_review_or_an_error(
        path in prop_oneof![Just(PATH.to_owned()), "/[a-z-]{0,8}(\\?[a-z=0-9&]{0,12})?"],
        is_json in any::<bool>(),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..256),
            (0..review("x").len()).prop_map(|cut| review("x")[..cut].into()),
        ],
    ) {
        let limits = Limits { body: 200, ..Limits::default() };
        let service = Service::new(limits, Metrics::new(&mut Registry::default()))
            .route(PATH, Phase::Validate, Arc::new(Rules::default()));
        let kind = if is_json { "application/json" } else { "text/xml" };
        let length = body.len();
        let request = Request::post(&path).header(CONTENT_TYPE, kind).body(Full::from(body)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (status, body) = runtime.block_on(async {
            let (parts, body) = service.handle(request).await.into_parts();
            (parts.status.as_u16(), body.collect().await.unwrap().to_bytes())
        });
        let expected = match (path == PATH, is_json, length) {
            (false, ..) => 404,
            (_, false, _) => 415,
            (_, _, 201..) => 413,
            _ => 200,
        };
        prop_assert_eq!(status, expected);
        if status == 200 {
            let answer: Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(&answer["response"]["allowed"], false);
        } else {
            prop_assert!(body.ends_with(b"\n"));
        }
    }
}
