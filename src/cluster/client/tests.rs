use std::pin::pin;
use std::sync::Mutex;
use std::time::Instant;

use http_body::Body as _;
use http_body::Frame;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PODS: &str = "/api/v1/pods?&watch=true&timeoutSeconds=290&labelSelector=a&resourceVersion=7";

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

#[test]
fn a_watch_asks_for_its_end_and_nothing_else_changes() {
    let asked = |text: &str| shorter(&uri(text)).map(|uri| uri.to_string());
    let expected = "/api/v1/pods?watch=true&labelSelector=a&resourceVersion=7&timeoutSeconds=20";
    assert_eq!(asked(PODS).as_deref(), Some(expected));
    assert_eq!(asked("/api/v1/pods?watch=1").as_deref(), Some("/api/v1/pods?watch=1&timeoutSeconds=20"));
    for kept in ["/api/v1/pods?limit=500", "/api/v1/pods", "/api/v1/pods?watch=true&timeoutSeconds=5"] {
        assert_eq!(asked(kept), None, "{kept}");
    }
}

#[test]
fn a_watch_ages_until_something_is_heard_and_is_forgotten_when_nobody_wants_it() {
    let ages = WatchAges::default();
    let list = uri("/api/v1/pods?&limit=500&labelSelector=a");
    assert!(ages.asked(&Method::GET, &list).is_none(), "a list that no watch has followed");
    assert!(ages.asked(&Method::POST, &uri("/api/v1/namespaces/x/pods")).is_none());
    let watch = ages.asked(&Method::GET, &uri(PODS)).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while ages.by_kind()["pods"] < Duration::from_millis(20) {
        assert!(Instant::now() < deadline, "it does not age");
        std::thread::yield_now();
    }
    let later = Instant::now();
    watch.heard();
    assert!(ages.by_kind()["pods"] <= later.elapsed() && ages.are_fresh(), "its age begins anew");
    // It ends, and is begun again, by a list: the age is that of the watch.
    watch.ended();
    assert!(ages.by_kind().contains_key("pods"));
    let again = ages.asked(&Method::GET, &list).unwrap();
    assert_eq!(ages.words(), "pods 0s");
    drop(again);
    assert!(ages.by_kind().is_empty(), "whoever asked has gone");
}

#[test]
fn the_metric_names_the_kind() {
    let mut registry = Registry::default();
    let ages = WatchAges::registered(&mut registry);
    let _watch = ages.asked(&Method::GET, &uri("/apis/batch/v1/jobs?watch=true")).unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains(r#"headworks_watch_age_seconds{kind="jobs"} "#), "{text}");
}

/// Far longer than a server of this process takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server that answers each call with what `answer` gives for its head, and then says nothing more; how many
/// connections there were.
async fn server(answer: fn(&str) -> &'static str) -> (Client, WatchAges, Arc<Mutex<usize>>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    let connections = Arc::new(Mutex::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            tokio::spawn(async move {
                let mut buffer = vec![0; 8_192];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    let head = String::from_utf8_lossy(&buffer[..n]).into_owned();
                    stream.write_all(answer(&head).as_bytes()).await.unwrap();
                }
            });
        }
    });
    let ages = WatchAges::default();
    let client = bounded(config, &ApiCalls::default(), &ages, PATIENCE).unwrap();
    (client, ages, connections)
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn frame(body: &mut Body) -> Option<Result<Frame<bytes::Bytes>, String>> {
    let mut body = pin!(body);
    let frame = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await?;
    Some(frame.map_err(|error| error.to_string()))
}

#[tokio::test]
async fn a_head_that_never_comes_and_a_body_that_falls_silent_are_failures() {
    let (client, ages, connections) = server(|head| {
        if head.contains("watch=true") {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n"
        } else if head.contains("/quick") {
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        } else {
            ""
        }
    })
    .await;
    let _: serde_json::Value = client.request(get_bytes("/quick")).await.unwrap();
    let watch = client.send(get("/api/v1/pods?watch=true&timeoutSeconds=290")).await.unwrap();
    let mut body = watch.into_body();
    assert!(frame(&mut body).await.unwrap().is_ok());
    assert_eq!(*connections.lock().unwrap(), 1, "the watch took the connection that was free");
    let _: serde_json::Value = client.request(get_bytes("/quick")).await.unwrap();
    assert_eq!(*connections.lock().unwrap(), 2);

    let error = frame(&mut body).await.unwrap().unwrap_err();
    assert!(error.contains("nothing was heard for 2 s"), "{error}");
    assert!(frame(&mut body).await.is_none(), "it has ended");
    assert!(ages.by_kind().contains_key("pods"), "it will be begun again");
    let error = client.send(get("/api/v1/secrets/never")).await.unwrap_err();
    assert!(error.to_string().contains("nothing was heard for 2 s"), "{error}");

    // One connection stood idle beside the silent one, and is not trusted; nor is what fell silent since.
    let _: serde_json::Value = client.request(get_bytes("/quick")).await.unwrap();
    assert_eq!(*connections.lock().unwrap(), 4);
}

fn get_bytes(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).unwrap()
}
