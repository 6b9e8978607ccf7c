//! Strategy lease under clocks that differ: the pod that renews the Lease in time leads, whatever its clock says.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Random;
use super::history::{meta, pod};
use super::replica::Replica;
use super::server::{Server, key, service};
use crate::leaders::plan::model::{Lease, Node, Pod};
use crate::leaders::plan::state::Change;

const DURATION: SignedDuration = SignedDuration::from_secs(15);

struct Holder {
    name: &'static str,
    /// The time by which its clock is ahead.
    skew: SignedDuration,
}

fn lease(holder: &Holder, now: Timestamp, version: u32) -> Lease {
    let mut meta = meta("lock");
    meta.uid = "lock".into();
    meta.version = version.to_string().into();
    Lease {
        meta,
        holder: Some(holder.name.to_owned()),
        duration: Some(DURATION),
        renewed: now.checked_add(holder.skew).ok(),
        acquired: None,
        transitions: None,
    }
}

/// Makes all pending writes.
fn settle(server: &mut Server, replica: &mut Replica) {
    while replica.decide(server.now) {
        let batch = replica.waiting.pop().unwrap();
        let outcomes = batch.calls.iter().map(|call| server.call(call)).collect();
        replica.core.done(&batch, outcomes, server.now);
        for change in std::mem::take(&mut server.events) {
            replica.core.observe(change, server.now);
        }
    }
}

fn leader(server: &Server) -> Option<String> {
    let slice = server.slices.get(&key("db-leader-ipv4"))?;
    slice.leader().map(|(name, _)| name.to_owned())
}

fn run(seed: u64) {
    let mut random = Random::new(seed);
    let mut server = Server::new();
    server.put_node(Node { name: "n0".into(), zone: None, down: None });
    let settings = [("enabled", "true"), ("strategy", "lease"), ("lease-name", "lock")];
    let spec = json!({"selector": {"app": "db"}, "ports": [{"port": 80}]});
    server.put_service(service("db", &settings, &spec));
    for (n, name) in (1..).zip(["db-0", "db-1"]) {
        server.put_pod(Pod { ready: true, ..pod(name, "n0", server.now, n) });
    }
    let mut replica = Replica::start(&server);
    let mut version = 0;
    for round in 0..4 {
        // Within five minutes to either side.
        let skew = i64::try_from(random.below(600_001)).unwrap() - 300_000;
        let holder = Holder { name: ["db-0", "db-1"][round % 2], skew: SignedDuration::from_millis(skew) };
        for _ in 0..8 {
            version += 1;
            replica.core.observe(Change::Lease(lease(&holder, server.now, version)), server.now);
            // A Lease that is only listed again was not renewed.
            if random.once_in(3) {
                replica.core.observe(Change::Lease(lease(&holder, server.now, version)), server.now);
            }
            settle(&mut server, &mut replica);
            assert_eq!(leader(&server).as_deref(), Some(holder.name), "seed {seed}, skew {skew} ms");
            // Any time before it ends.
            server.pass(i64::try_from(random.below(14_990)).unwrap() + 1);
            settle(&mut server, &mut replica);
            assert_eq!(leader(&server).as_deref(), Some(holder.name), "seed {seed}, skew {skew} ms");
        }
        if random.once_in(2) {
            // It is no longer renewed.
            server.pass(15_000);
            settle(&mut server, &mut replica);
            assert_eq!(leader(&server), None, "seed {seed}, skew {skew} ms");
        }
    }
}

#[test]
fn who_renews_in_time_leads_and_who_does_not_ceases_whatever_its_clock_says() {
    for seed in 0..500 {
        run(seed);
    }
}
