//! Checks that once all pending writes are made, no further decision wants another write.

use serde_json::json;

use super::history::pod;
use super::replica::Replica;
use super::server::{Server, key, service};
use crate::leaders::plan::model::{Node, Pod, Slice};
use crate::names::leader;

/// More writes than the longest way to rest takes: two names, two families, the status.
const MANY: usize = 24;

/// Makes all pending writes at one instant, in a copy of the cluster where nothing else happens. Gives the cluster at
/// rest, and the number of writes.
fn at_rest(server: &Server) -> (Server, usize) {
    let mut server = server.clone();
    // Objects without an owner go first, else two names would be in the way of each other.
    server.collect_garbage();
    let epoch = |server: &Server| server.slices.values().map(Slice::epoch).max().unwrap_or(0);
    let before = epoch(&server);
    let mut replica = Replica::start(&server);
    let now = server.now;
    let mut writes = 0;
    while replica.decide(now) {
        let batch = replica.waiting.pop().unwrap();
        let outcomes: Vec<_> = batch.calls.iter().map(|call| server.call(call)).collect();
        writes += outcomes.len();
        assert!(writes < MANY, "no rest: {:?}", batch.calls);
        replica.core.done(&batch, outcomes, now);
        server.collect_garbage();
        for change in std::mem::take(&mut server.events) {
            replica.core.observe(change, now);
        }
    }
    // One for a new leader, and one more where a slice that was written by hand is in the way.
    let after = epoch(&server);
    assert!(after <= before + 2, "the epoch went from {before} to {after} at one instant");
    (server, writes)
}

/// Checks that the cluster comes to rest, and stays at rest for a controller without memory.
pub(crate) fn rests(server: &Server) {
    let (rested, _) = at_rest(server);
    let (again, _) = at_rest(&rested);
    // It may try to create a Service under a name that is taken, which is refused and changes nothing.
    assert_eq!(again.version, rested.version, "another controller changes what the first has made");
}

/// Runs a source with both families whose first leader has both addresses, and whose next one has only the first.
fn lead_passes_to_a_pod_of_one_family(families: [&str; 2]) {
    let mut server = Server::new();
    server.put_node(Node { name: "n0".into(), zone: None, down: None });
    let spec = json!({"selector": {"app": "db"}, "ipFamilies": families, "ipFamilyPolicy": "RequireDualStack",
        "ports": [{"port": 80, "targetPort": "http"}]});
    server.put_service(service("db", &[("enabled", "true")], &spec));
    let now = server.now;
    let both = Pod { ready: true, ..pod("db-0", "n0", now, 1) };
    server.put_pod(both);
    let (mut server, _) = at_rest(&server);
    let mut one = Pod { ready: true, ..pod("db-1", "n0", now, 2) };
    let is_first = |address: &std::net::IpAddr| address.is_ipv4() == (families[0] == "IPv4");
    one.addresses = one.addresses.iter().copied().filter(is_first).collect();
    server.put_pod(one);
    server.remove_pod(&key("db-0"));
    let (server, writes) = at_rest(&server);
    // Two slices, the leader Service, the status.
    assert!(writes <= 4, "{writes} writes");
    rests(&server);
    for slice in server.slices.values() {
        assert_eq!(slice.epoch(), 2);
        let family = slice.family.unwrap().as_str();
        assert_eq!(slice.leader().is_some(), family == families[0], "{family}");
    }
    assert_eq!(server.services[&key("db-leader")].annotations[leader::EPOCH], "2");
}

#[test]
fn a_lead_that_passes_to_a_pod_without_the_second_family_takes_one_epoch_and_comes_to_rest() {
    lead_passes_to_a_pod_of_one_family(["IPv4", "IPv6"]);
    lead_passes_to_a_pod_of_one_family(["IPv6", "IPv4"]);
}

#[test]
fn what_another_program_undoes_for_ever_is_written_once_a_second_and_reported() {
    use crate::leaders::plan::notes::Note;
    use crate::leaders::plan::writes::{Call, Priority};

    let mut server = Server::new();
    server.put_node(Node { name: "n0".into(), zone: None, down: None });
    let spec = json!({"selector": {"app": "db"}, "ports": [{"port": 80}]});
    server.put_service(service("db", &[("enabled", "true")], &spec));
    let ready = Pod { ready: true, ..pod("db-0", "n0", server.now, 1) };
    server.put_pod(ready.clone());
    let (mut server, _) = at_rest(&server);
    let mut replica = Replica::start(&server);
    let (mut notes, mut repairs) = (Vec::new(), 0);
    let end = server.now.checked_add(jiff::SignedDuration::from_secs(60)).unwrap();
    while server.now < end {
        replica.core.tick(server.now);
        let batch = replica.core.next(Priority::Publishing, server.now);
        notes.extend(replica.core.notes());
        if let Some(batch) = batch {
            let outcomes = batch.calls.iter().map(|call| server.call(call)).collect();
            repairs += batch.calls.iter().filter(|call| matches!(call, Call::PatchService(..))).count();
            replica.core.done(&batch, outcomes, server.now);
        }
        // A policy that labels every Service.
        let mut leader = server.services[&key("db-leader")].clone();
        if leader.labels.insert("team".to_owned(), "red".to_owned()).is_none() {
            server.put_service(leader);
        }
        for change in std::mem::take(&mut server.events) {
            replica.core.observe(change, server.now);
        }
        server.pass(10);
    }
    assert!((100..=165).contains(&repairs), "{repairs} writes in a minute");
    let of = |wanted: fn(&Note) -> bool| notes.iter().filter(|note| wanted(note)).count();
    assert_eq!(of(|note| matches!(note, Note::Limited(..))), 1);
    assert_eq!(of(|note| matches!(note, Note::Event { reason, .. } if reason == "TooManyWrites")), 1);
    assert!(of(|note| matches!(note, Note::Delayed(_))) > 40);
    // A failover does not wait: slices have a limit of their own.
    server.put_pod(Pod { ready: true, ..pod("db-1", "n0", server.now, 2) });
    server.put_pod(Pod { ready: false, meta: server.pods[&key("db-0")].meta.clone(), ..ready });
    for change in std::mem::take(&mut server.events) {
        replica.core.observe(change, server.now);
    }
    let batch = replica.core.next(Priority::Failover, server.now).expect("a failover");
    assert!(matches!(&batch.calls[..], [Call::WriteSlice(..)]), "{:?}", batch.calls);
}
