//! The lame duck: no call is lost.

use bytes::Bytes;
use headworks_webhook::Limits;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http2;
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::rig::{PATH, Rig, ms, review, until};

fn limits(quiet: u64, drain: u64) -> Limits {
    Limits { quiet: ms(quiet), drain: ms(drain), ..Limits::default() }
}

#[tokio::test]
async fn connections_old_and_new_are_served_until_it_is_quiet() {
    let rig = Rig::start(limits(5000, 20_000)).await;
    let (mut idle, mut unused) = (rig.client().await, rig.client().await);
    assert_eq!(idle.post(PATH, review("a")).await.header("connection"), "");
    rig.shutdown.trigger();
    let answer = idle.post(PATH, review("b")).await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    let answer = unused.post(PATH, review("c")).await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    let answer = rig.client().await.post(PATH, review("d")).await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"), "the listener is still open");
    let quiet = Instant::now();
    let address = rig.address;
    rig.stopped().await;
    assert!(quiet.elapsed() >= ms(4500));
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn each_call_puts_the_stop_off() {
    let rig = Rig::start(limits(5000, 60_000)).await;
    rig.shutdown.trigger();
    let begin = Instant::now();
    while begin.elapsed() < ms(7000) {
        assert_eq!(rig.client().await.post(PATH, review("a")).await.status, 200);
        sleep(ms(50)).await;
    }
    rig.stopped().await;
}

#[tokio::test]
async fn an_idle_connection_stays_open_until_the_stop() {
    let rig = Rig::start(limits(600, 20_000)).await;
    let mut idle = rig.client().await;
    assert_eq!(idle.post(PATH, review("a")).await.status, 200);
    let begin = Instant::now();
    rig.shutdown.trigger();
    until(|| idle.0.is_closed()).await;
    assert!(begin.elapsed() >= ms(600));
    rig.stopped().await;
}

#[tokio::test]
async fn an_unused_connection_does_not_hold_the_stop_up() {
    let rig = Rig::start(limits(100, 20_000)).await;
    let _unused = rig.dial(rig.ca.client()).await.unwrap();
    rig.shutdown.trigger();
    let begin = Instant::now();
    rig.stopped().await;
    assert!(begin.elapsed() < ms(15_000), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_call_that_is_running_at_the_stop_gets_its_answer() {
    let rig = Rig::start(limits(100, 20_000)).await;
    let mut client = rig.client().await;
    let running = tokio::spawn(async move { client.post(PATH, review("slow")).await });
    rig.rules.slow(1).await;
    rig.shutdown.trigger();
    let address = rig.address;
    loop {
        if TcpStream::connect(address).await.is_err() {
            break;
        }
        sleep(ms(10)).await;
    }
    rig.rules.let_go();
    let answer = running.await.unwrap();
    assert_eq!((answer.review()["allowed"].as_bool(), answer.header("connection")), (Some(true), "close"));
    rig.stopped().await;
}

#[tokio::test]
async fn callers_that_keep_coming_are_served_to_the_cap_and_no_further() {
    let rig = Rig::start(limits(600_000, 5000)).await;
    let begin = Instant::now();
    rig.shutdown.trigger();
    while begin.elapsed() < ms(300) {
        assert_eq!(rig.client().await.post(PATH, review("a")).await.status, 200);
    }
    rig.stopped().await;
    assert!(begin.elapsed() >= ms(5000));
}

#[tokio::test]
async fn the_second_trigger_stops_immediately() {
    let rig = Rig::start(limits(60_000, 60_000)).await;
    let mut client = rig.client().await;
    let request =
        Request::post(PATH).header(CONTENT_TYPE, "application/json").body(review("slow").into()).unwrap();
    let running = tokio::spawn(async move { client.try_send(request).await });
    rig.rules.slow(1).await;
    rig.shutdown.trigger();
    sleep(ms(50)).await;
    assert!(!rig.has_stopped());
    rig.shutdown.trigger();
    let rules = rig.rules.clone();
    rig.stopped().await;
    assert!(running.await.unwrap().is_err());
    rules.let_go();
}

type Http2 = (http2::SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>);

async fn http2(rig: &Rig) -> Http2 {
    let mut config = rig.ca.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = rig.dial(config).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn is_served((sender, _): &mut Http2) -> bool {
    let request = Request::post(format!("https://localhost{PATH}")).header(CONTENT_TYPE, "application/json");
    let response = sender.send_request(request.body(review("a").into()).unwrap()).await;
    response.is_ok_and(|response| response.status() == 200)
}

#[tokio::test]
async fn http2_callers_are_sent_away_by_its_own_word() {
    let rig = Rig::start_with(limits(5000, 20_000), |options| options.http2 = true).await;
    let mut open = http2(&rig).await;
    assert!(is_served(&mut open).await);
    rig.shutdown.trigger();
    open.1.await.unwrap().unwrap();
    assert!(!rig.has_stopped());
    rig.stopped().await;
}

#[tokio::test]
async fn an_http2_connection_that_is_new_in_the_lame_duck_carries_a_call_before_it_is_sent_away() {
    let rig = Rig::start_with(limits(5000, 20_000), |options| options.http2 = true).await;
    rig.shutdown.trigger();
    let mut new = http2(&rig).await;
    sleep(ms(100)).await; // a GOAWAY too early would arrive in this time
    assert!(is_served(&mut new).await);
    new.1.await.unwrap().unwrap();
    assert!(!rig.has_stopped());
    rig.stopped().await;
}
