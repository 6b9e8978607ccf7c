//! Each bound, exactly at it and beyond it.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use headworks_webhook::Limits;
use http_body_util::StreamBody;
use hyper::Request;
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{Answer, Client, PATH, Rig, SOON, ms, review, until};

const SEVEN_MIB: usize = 7 * 1024 * 1024;

/// A review that is so long.
fn padded(length: usize) -> Bytes {
    let mut body = review("long").into_bytes();
    body.resize(length, b' ');
    body.into()
}

#[tokio::test]
async fn seven_mebibytes_are_judged_and_one_byte_more_is_refused() {
    let rig = Rig::start(Limits::default()).await;
    let mut client = rig.client().await;
    assert_eq!(client.post(PATH, padded(SEVEN_MIB)).await.review()["uid"], "uid-long");
    let answer = client.post(PATH, padded(SEVEN_MIB + 1)).await;
    answer.refuses(413, "the body is longer than the 7340032 bytes that are read\n");
    assert_eq!(answer.header("connection"), "close");
    rig.client().await.post(PATH, padded(3 * SEVEN_MIB)).await.refuses(413, &answer.body);
}

#[tokio::test]
async fn the_same_holds_for_a_body_that_does_not_say_how_long_it_is() {
    let rig = Rig::start(Limits::default()).await;
    for (length, status) in [(SEVEN_MIB, 200), (SEVEN_MIB + 1, 413)] {
        let stream = rig.dial(rig.ca.client()).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = padded(length);
        let frames: Vec<_> =
            body.chunks(100_000).map(|part| Ok::<_, Infallible>(Frame::data(body.slice_ref(part)))).collect();
        let request = Request::post(PATH).header(CONTENT_TYPE, "application/json");
        let request = request.body(StreamBody::new(stream::iter(frames))).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn all_bodies_together_have_a_bound_too() {
    let rig = Rig::start(Limits { bodies: 10_000, ..Limits::default() }).await;
    let mut client = rig.client().await;
    assert_eq!(client.post(PATH, padded(10_000)).await.status, 200);
    let answer = client.post(PATH, padded(10_001)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
}

#[tokio::test]
async fn beyond_the_queue_callers_are_told_to_come_back_in_a_second() {
    let rig = Rig::start(Limits { in_flight: 1, queue: 1, deadline: SOON, ..Limits::default() }).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = rig.client().await;
        waiting.push(tokio::spawn(async move { client.post(PATH, review("slow")).await }));
    }
    rig.rules.slow(1).await;
    // Whether the second is waiting already cannot be seen, so ask until the gate is full.
    let mut client = rig.client().await;
    rig.metric_is("headworks_webhook_in_flight", 2.0).await;
    let answer = loop {
        let answer = client.post(&format!("{PATH}?timeout=100ms"), review("one-more")).await;
        if answer.status == 429 {
            break answer;
        }
    };
    answer.refuses(429, "too many reviews are waiting, try again in a second\n");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(rig.metric("headworks_webhook_overload_total") >= 1.0);
    rig.rules.let_go();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().review()["allowed"], true);
    }
    assert_eq!(client.post(PATH, review("one-more")).await.status, 200, "and then there is room again");
}

#[tokio::test]
async fn a_rule_that_takes_too_long_is_a_503_before_the_caller_gives_up() {
    let rig = Rig::start(Limits::default()).await;
    let mut client = rig.client().await;
    let begin = Instant::now();
    let answer = client.post(&format!("{PATH}?timeout=500ms"), review("slow")).await;
    answer.refuses(503, "no verdict was reached within the deadline, try again in a second\n");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(begin.elapsed() >= ms(450));
    rig.metric_is("headworks_webhook_deadline_exceeded_total", 1.0).await;
    assert_eq!(client.post(PATH, review("fine")).await.status, 200, "the connection and the server live on");
    rig.rules.let_go();
}

#[tokio::test]
async fn our_own_deadline_holds_for_a_caller_without_one() {
    let rig = Rig::start(Limits { deadline: ms(200), ..Limits::default() }).await;
    let mut client = rig.client().await;
    for query in ["", "?timeout=30s", "?timeout=never"] {
        assert_eq!(client.post(&format!("{PATH}{query}"), review("slow")).await.status, 503);
    }
    rig.rules.let_go();
}

/// Reads until the server closes; fails if it does not.
async fn closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // An end without close_notify is an end.
    _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the server closes the connection");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_head_that_drips_in_is_cut_off_while_an_idle_connection_stays() {
    let rig = Rig::start(Limits { header: ms(300), ..Limits::default() }).await;
    let idle = rig.dial(rig.ca.client()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(rig.dial(rig.ca.client()).await.unwrap());
    let begin = Instant::now();
    let drip = tokio::spawn(async move {
        writer.write_all(b"POST /validate-jobflow HTTP/1.1\r\nX: ").await.unwrap();
        while writer.write_all(b"x").await.is_ok() && writer.flush().await.is_ok() {
            sleep(ms(20)).await;
        }
    });
    closed(&mut reader).await;
    assert!(begin.elapsed() >= ms(300));
    drip.await.unwrap();
    assert_eq!(Client::over(idle).await.post(PATH, review("a")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let rig = Rig::start(Limits { body_read: ms(200), ..Limits::default() }).await;
    let mut stream = rig.dial(rig.ca.client()).await.unwrap();
    let head = "POST /validate-jobflow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with("the body took too long to arrive\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_holds_neither_deadline_nor_connection_up() {
    let rig = Rig::start(Limits::default()).await;
    let mut stream = rig.dial(rig.ca.client()).await.unwrap();
    let head = "POST /validate-jobflow?timeout=200ms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_only_promised_to_be_too_long_is_a_413() {
    let rig = Rig::start(Limits::default()).await;
    let mut stream = rig.dial(rig.ca.client()).await.unwrap();
    let head = "POST /validate-jobflow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7340033\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut_off_and_counted() {
    let rig = Rig::start(Limits { handshake: ms(200), ..Limits::default() }).await;
    let mut silent = TcpStream::connect(rig.address).await.unwrap();
    closed(&mut silent).await;
    rig.metric_is(r#"headworks_webhook_handshake_failures_total{reason="timeout"}"#, 1.0).await;
    rig.metric_is("headworks_webhook_connections", 0.0).await;
    // With time enough that this one is not cut off for being late as well.
    let rig = Rig::start(Limits::default()).await;
    let mut plain = TcpStream::connect(rig.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    _ = plain.read(&mut [0; 64]).await;
    rig.metric_is(r#"headworks_webhook_handshake_failures_total{reason="tls"}"#, 1.0).await;
    rig.metric_is("headworks_webhook_connections", 0.0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let rig = Rig::start(Limits { idle: ms(3000), ..Limits::default() }).await;
    let mut client = rig.client().await;
    assert_eq!(client.post(PATH, review("a")).await.status, 200);
    until(|| client.0.is_closed()).await;
    rig.metric_is("headworks_webhook_connections", 0.0).await;
}

#[tokio::test]
async fn beyond_the_cap_a_connection_waits_for_another_to_close() {
    let rig = Rig::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = rig.client().await;
    let (address, config) = (rig.address, rig.ca.client());
    let second = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    });
    for _ in 0..20 {
        assert_eq!(first.post(PATH, review("a")).await.status, 200);
    }
    assert!(!second.is_finished());
    rig.metric_is("headworks_webhook_connections", 1.0).await;
    drop(first);
    let answer: Answer = Client::over(second.await.unwrap()).await.post(PATH, review("b")).await;
    assert_eq!(answer.status, 200);
}
