//! Rolling restarts behind a switch, as Endpoints are one: new connections are sent to the old server for a while
//! after its shutdown began. Checked by a caller that behaves as the API server does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use headworks_testkit::{ApiServer, Call, Load, Phase};
use headworks_webhook::{Limits, Metrics, Phase as Served, Server, Service, Shutdown, Tls};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::authority::Ca;
use crate::rig::{PATH, Rules, SOON, ms, review};

/// One replica; its port is free again when it has stopped.
struct Replica {
    address: SocketAddr,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

async fn replica(ca: &Ca, limits: Limits) -> Replica {
    let (_, tls) = watch::channel(Tls::new(ca.options()).unwrap());
    let service = Service::new(limits, Metrics::new(&mut Registry::default()));
    let service = service.route(PATH, Served::Validate, Arc::new(Rules::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::new());
    let running = tokio::spawn(Server::new(Arc::new(service), tls, shutdown.clone()).run(listener));
    Replica { address, shutdown, running }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_restarts_behind_a_switch_that_flips_late_lose_no_call() {
    // Less than the real times. A server drains while its successors are restarted in their turn.
    let limits = Limits { quiet: ms(5000), drain: ms(20_000), ..Limits::default() };
    let ca = Ca::new();
    let mut current = replica(&ca, limits.clone()).await;
    let switch = Arc::new(Mutex::new(current.address));
    let route = {
        let switch = switch.clone();
        move || *switch.lock().unwrap()
    };
    let tls = ApiServer::tls([ca.root()]).unwrap();
    let keeping = ApiServer::new("localhost", tls, route.clone()).unwrap();
    let single = keeping.without_keep_alive(route);
    let call = |number| {
        let name = format!("n{number}");
        // On a busy machine an answer may take long; what counts is that it comes.
        Call::new(PATH, Phase::Validating, &format!("uid-{name}"), review(&name)).timeout(SOON)
    };
    let kept = Load::start_bounded(&keeping, 150.0, 32, call);
    let singles = Load::start_bounded(&single, 50.0, 8, call);
    let mut stopping = Vec::new();
    for _ in 0..90 {
        let next = replica(&ca, limits.clone()).await;
        current.shutdown.trigger();
        sleep(ms(100)).await; // the Endpoints are behind
        *switch.lock().unwrap() = next.address;
        sleep(ms(50)).await;
        stopping.push(std::mem::replace(&mut current, next).running);
    }
    for server in stopping {
        timeout(SOON, server).await.expect("it stops").unwrap();
    }
    for (report, name) in [(kept.stop().await, "kept alive"), (singles.stop().await, "one call each")] {
        assert!(report.failures.is_empty() && report.calls() > 300, "{name}: {report}");
    }
    assert!(keeping.dialled() > 90, "connections moved on: {}", keeping.dialled());
}
