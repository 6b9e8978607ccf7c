//! One random history, and the checks of the state that it ends in.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::discovery::v1::Endpoint;
use serde_json::json;

use super::replica::{GRACE, Replica};
use super::server::{Server, key, service};
use super::{Random, rest};
use crate::leaders::plan::key::Key;
use crate::leaders::plan::leader_service;
use crate::leaders::plan::model::{Family, Meta, NamedPort, Node, Pod, Rival, Service, Slice, controller};
use crate::leaders::plan::settings;
use crate::leaders::plan::settings::Settings;
use crate::leaders::plan::status::Status;
use crate::names::leader;

const SOURCE: &str = "db";
const STEPS: usize = 60;

pub(crate) fn meta(name: &str) -> Meta {
    Meta { key: key(name), uid: "".into(), version: "".into(), terminating: false }
}

/// A pod with the addresses of both families and no named port.
pub(crate) fn pod(name: &str, node: &str, now: Timestamp, n: u8) -> Pod {
    Pod {
        meta: meta(name),
        created: Timestamp::from_second(now.as_second()).unwrap(),
        labels: Box::new([Arc::from("app=db")]),
        node: Some(node.into()),
        running: true,
        addresses: Box::new([
            format!("10.0.0.{n}").parse().unwrap(),
            format!("fd00::{n:x}").parse().unwrap(),
        ]),
        ready: false,
        since: now,
        ports: Box::new([]),
    }
}

struct History {
    server: Server,
    replicas: Vec<Replica>,
    random: Random,
    pods: u8,
    verbose: bool,
}

pub(crate) fn run(seed: u64, verbose: bool) {
    let mut random = Random::new(seed);
    let mut server = Server::new();
    server.verbose = verbose;
    for node in ["n0", "n1"] {
        server.put_node(Node { name: node.into(), zone: None, down: None });
    }
    let replicas = vec![Replica::start(&server)];
    let families = match random.below(6) {
        0 => json!(["IPv4", "IPv6"]),
        1 => json!(["IPv6", "IPv4"]),
        2 => json!(["IPv6"]),
        _ => json!(["IPv4"]),
    };
    let mut settings = vec![("enabled", "true")];
    if random.once_in(3) {
        settings.push(("sticky", "false"));
    }
    if random.once_in(4) {
        settings.push(("min-ready-duration", "3s"));
    }
    if random.once_in(4) {
        settings.push(("failover-min-delay", "2s"));
    }
    let spec = json!({"type": "ClusterIP", "selector": {"app": "db"}, "ipFamilies": families,
        "ports": [{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 81, "targetPort": "http"}]});
    server.put_service(service(SOURCE, &settings, &spec));
    let mut history = History { server, replicas, random, pods: 0, verbose };
    for step in 0..STEPS {
        history.step();
        history.spread();
        // In one of eight: it takes as long as the history itself.
        if seed.is_multiple_of(8) && step % 10 == 9 {
            rest::rests(&history.server);
        }
    }
    history.end();
}

impl History {
    /// Puts the new events into the inboxes of all replicas.
    fn spread(&mut self) {
        for change in std::mem::take(&mut self.server.events) {
            self.replicas.iter_mut().for_each(|replica| replica.enqueue(&change));
        }
    }

    fn say(&self, text: &str) {
        if self.verbose {
            println!("{} {text}", self.server.now);
        }
    }

    fn step(&mut self) {
        let now = self.server.now;
        let one = self.random.below(self.replicas.len());
        match self.random.below(16) {
            0..=3 => self.replicas[one].deliver(&mut self.random, now),
            4..=6 => _ = self.replicas[one].decide(now),
            7..=8 => self.replicas[one].send(&mut self.server, &mut self.random),
            9..=10 => self.replicas[one].answer(&mut self.random, now),
            11 => {
                let milliseconds = [1, 20, 600, 2_500][self.random.below(4)];
                self.server.pass(milliseconds);
            }
            12 => self.controllers(one),
            _ => self.happen(),
        }
    }

    /// Kills, replaces, adds or relists a controller, or collects garbage.
    fn controllers(&mut self, one: usize) {
        match self.random.below(5) {
            0 => {
                self.say("a controller dies, another starts");
                self.replicas[one] = Replica::start(&self.server);
            }
            1 if self.replicas.len() < 2 => {
                self.say("a second controller");
                self.replicas.push(Replica::start(&self.server));
            }
            2 if self.replicas.len() > 1 => {
                self.say("a controller ends");
                self.replicas.swap_remove(one);
            }
            3 => {
                let replica = &mut self.replicas[one];
                replica.relist(&self.server);
            }
            _ => self.server.collect_garbage(),
        }
    }

    fn any_pod(&mut self) -> Option<Pod> {
        let pods: Vec<Pod> = self.server.pods.values().cloned().collect();
        (!pods.is_empty()).then(|| pods[self.random.below(pods.len())].clone())
    }

    /// Changes the cluster as users, kubelets and accidents do.
    fn happen(&mut self) {
        let now = self.server.now;
        let what = self.random.below(26);
        self.say(&format!("happens {what}"));
        match what {
            0..=13 | 22 => self.pod_changes(what, now),
            14 => {
                let name: Arc<str> = ["n0", "n1"][self.random.below(2)].into();
                let down = self.server.nodes[&name].down;
                let zone = self.random.once_in(2).then(|| "z".into());
                self.server.put_node(Node {
                    name,
                    zone,
                    down: if down.is_some() { None } else { Some(now) },
                });
            }
            15 => self.annotate("enabled", ["true", "false"]),
            16 => self.annotate("leader-service-name", ["db-leader", "primary"]),
            17 => self.annotate("promote", ["db-0", "db-1"]),
            18 => {
                let name = ["db-leader", "primary"][self.random.below(2)];
                if self.server.services.contains_key(&key(name)) {
                    self.server.remove_service(&key(name));
                } else if self.random.once_in(3) {
                    self.server.put_service(service(name, &[], &json!({"ports": [{"port": 1}]})));
                }
            }
            19 => self.tamper(),
            20 => {
                let name = ["db-leader-ipv4", "primary-ipv4"][self.random.below(2)];
                self.server.remove_slice(&key(name));
            }
            21 if self.random.once_in(3) => {
                // Deleted and created again immediately: another Service of the same name.
                if let Some(mut source) = self.server.services.get(&key(SOURCE)).cloned() {
                    self.server.remove_service(&key(SOURCE));
                    source.meta.uid = "".into();
                    source.annotations.remove(leader::STATUS);
                    self.server.put_service(source);
                }
            }
            23 => {
                let name = ["db-leader-abcde", "mine"][self.random.below(2)];
                if self.server.rivals.contains_key(&key(name)) {
                    self.server.remove_rival(&key(name));
                } else {
                    let service = ["db-leader", "other"][self.random.below(2)].into();
                    self.server.put_rival(Rival { meta: meta(name), service, manager: None });
                }
            }
            _ => {}
        }
    }

    /// Creates, changes or deletes a pod.
    fn pod_changes(&mut self, what: usize, now: Timestamp) {
        match what {
            0..=3 if self.server.pods.len() < 4 => {
                self.pods += 1;
                // A StatefulSet's pod comes back under its name.
                let name = format!("db-{}", self.random.below(4));
                if !self.server.pods.contains_key(&key(&name)) {
                    let node = ["n0", "n1"][self.random.below(2)];
                    let mut pod = pod(&name, node, now, self.pods);
                    self.lack(&mut pod);
                    self.server.put_pod(pod);
                }
            }
            4..=8 => {
                if let Some(pod) = self.any_pod() {
                    self.server.put_pod(Pod { ready: !pod.ready, since: now, ..pod });
                }
            }
            9..=10 => {
                if let Some(mut pod) = self.any_pod() {
                    pod.meta.terminating = true;
                    self.server.put_pod(pod);
                }
            }
            11..=12 => {
                if let Some(pod) = self.any_pod() {
                    self.server.remove_pod(&pod.meta.key);
                }
            }
            13 => {
                if let Some(pod) = self.any_pod() {
                    let labels: Box<[Arc<str>]> = if &*pod.labels[0] == "app=db" {
                        Box::new(["app=x".into()])
                    } else {
                        Box::new(["app=db".into()])
                    };
                    self.server.put_pod(Pod { labels, ..pod });
                }
            }
            22 => {
                if let Some(mut pod) = self.any_pod() {
                    self.lack(&mut pod);
                    self.server.put_pod(pod);
                }
            }
            _ => {}
        }
    }

    /// Gives a pod its addresses, its port and its node, or only some of them.
    fn lack(&mut self, pod: &mut Pod) {
        let n = self.pods;
        let (four, six) = (format!("10.0.1.{n}").parse().unwrap(), format!("fd00::1:{n:x}").parse().unwrap());
        pod.addresses = match self.random.below(6) {
            0 => Box::new([four]),
            1 => Box::new([six]),
            2 if self.random.once_in(4) => Box::new([]),
            _ => Box::new([four, six]),
        };
        pod.ports = match self.random.below(3) {
            0 => Box::new([]),
            port => Box::new([NamedPort {
                name: "http".into(),
                number: 8000 + u16::try_from(port).unwrap(),
                protocol: "TCP".into(),
            }]),
        };
        if self.random.once_in(10) {
            pod.node = None;
        }
    }

    fn annotate(&mut self, name: &str, values: [&str; 2]) {
        if let Some(mut source) = self.server.services.get(&key(SOURCE)).cloned() {
            let value = values[self.random.below(2)].to_owned();
            source.annotations.insert(format!("zen-lead.io/{name}"), value);
            self.server.put_service(source);
        }
    }

    /// Edits one of our objects by hand.
    fn tamper(&mut self) {
        let slices: Vec<Slice> = self.server.slices.values().cloned().collect();
        if let Some(mut slice) = slices.into_iter().next() {
            match self.random.below(3) {
                0 => {
                    slice.endpoints =
                        vec![Endpoint { addresses: vec!["10.9.9.9".to_owned()], ..Endpoint::default() }];
                }
                1 => slice.endpoints.clear(),
                _ => _ = slice.labels.remove(leader::SLICE_MANAGED_BY),
            }
            self.server.forget_epochs();
            self.server.put_slice(slice);
        }
        let leaders: Vec<Service> =
            self.server.services.values().filter(|one| one.source().is_some()).cloned().collect();
        if let Some(mut leader) = leaders.into_iter().next()
            && self.random.once_in(2)
        {
            leader.spec.selector = Some([("a".to_owned(), "b".to_owned())].into());
            leader.spec.internal_traffic_policy = Some("Local".to_owned());
            leader.annotations.insert(leader::ENABLED.to_owned(), "true".to_owned());
            self.server.put_service(leader);
        }
    }

    /// Stops all events, delivers and writes until nothing is left to do, and checks the state.
    fn end(&mut self) {
        self.say("events stop");
        let mut quiet = false;
        for round in 0..400 {
            self.spread();
            let now = self.server.now;
            let mut busy = false;
            for i in 0..self.replicas.len() {
                let replica = &mut self.replicas[i];
                replica.deliver_all(now);
                if round == 0 {
                    // An event that arrives out of order is lost to a watch, which lists again sooner or later.
                    replica.relist(&self.server);
                }
                while replica.decide(now) {}
                busy |= !replica.waiting.is_empty() || !replica.answers.is_empty();
                for batch in std::mem::take(&mut replica.waiting) {
                    let outcomes = batch.calls.iter().map(|call| self.server.call(call)).collect();
                    replica.answers.push((batch, outcomes));
                }
                for (batch, outcomes) in std::mem::take(&mut replica.answers) {
                    replica.core.done(&batch, outcomes, now);
                }
            }
            self.server.collect_garbage();
            busy |= !self.server.events.is_empty();
            if busy {
                self.server.pass(10);
                continue;
            }
            // Nothing happens until the next timer; the longest is a back-off of a minute.
            let due = self.replicas.iter().filter_map(|replica| replica.core.due()).min();
            let Some(due) = due else {
                quiet = true;
                break;
            };
            self.server.now = due.max(now);
        }
        assert!(quiet, "somebody writes for ever");
        rest::rests(&self.server);
        // No timer is left, so later nothing changes either.
        self.server.pass(60_000);
        self.check_end();
    }

    /// Checks the slices, the leader Service and the status against the pods.
    fn check_end(&self) {
        let server = &self.server;
        let source = server.services.get(&key(SOURCE)).filter(|source| settings::is_enabled(source));
        let ours = |owners: &[_]| controller(owners).is_some();
        let services: Vec<&Key> =
            server.services.values().filter(|one| ours(&one.owners)).map(|one| &one.meta.key).collect();
        let slices: Vec<&Slice> = server.slices.values().filter(|one| ours(&one.owners)).collect();
        let Some(source) = source else {
            assert!(services.is_empty() && slices.is_empty(), "{services:?} {slices:?} are left");
            return;
        };
        let settings = Settings::read(SOURCE, &source.annotations);
        let leader = key(&settings.leader_service);
        let foreign = server.services.get(&leader).is_some_and(|one| !ours(&one.owners));
        if foreign {
            assert!(
                services.is_empty() && slices.is_empty(),
                "{services:?} {slices:?} beside a foreign Service"
            );
            return;
        }
        assert_eq!(services, [&leader]);
        let families = source.spec.ip_families.as_ref().map_or(1, Vec::len);
        assert_eq!(slices.len(), families, "{slices:?}");
        let primary = leader_service::families(source)[0];
        self.check_slices(&slices, &leader, primary, &settings);
        self.check_leader_service(source, &leader);
    }

    /// Checks that the best pod, and no other, is behind the slices.
    fn check_slices(&self, slices: &[&Slice], leader: &Key, primary: Family, settings: &Settings) {
        let server = &self.server;
        let past = |time: Timestamp, span: SignedDuration| time.checked_add(span).unwrap() <= server.now;
        let may = |pod: &Pod| {
            let down = pod
                .node
                .as_ref()
                .and_then(|node| server.nodes[node].down)
                .is_some_and(|since| past(since, GRACE));
            pod.ready
                && !pod.meta.terminating
                && pod.address(primary).is_some()
                && &*pod.labels[0] == "app=db"
                && !down
                && past(pod.since, settings.min_ready)
        };
        let able: Vec<&Pod> = server.pods.values().filter(|pod| may(pod)).collect();
        for slice in slices {
            assert_eq!(slice.labels[leader::SLICE_SERVICE], *leader.name);
            assert_eq!(*controller(&slice.owners).unwrap().uid, *server.services[leader].meta.uid);
            match slice.leader() {
                Some((_, uid)) => {
                    let pod = server.pods.values().find(|pod| *pod.meta.uid == *uid).unwrap();
                    assert!(
                        may(pod) || (able.is_empty() && pod.meta.terminating && pod.ready),
                        "{pod:?} leads"
                    );
                    let first = able.iter().map(|pod| (pod.created, &pod.meta.key.name)).min();
                    assert!(
                        settings.sticky
                            || Some((pod.created, &pod.meta.key.name)) == first
                            || able.is_empty()
                    );
                }
                None if slice.family == Some(primary) => {
                    assert!(able.is_empty(), "nobody leads though {able:?} may");
                }
                None => {
                    // Empty is right only if the leader has no address of this family.
                    let of = |family: Option<Family>| slices.iter().find(|slice| slice.family == family);
                    let led = of(Some(primary)).and_then(|slice| slice.leader()).map(|(_, uid)| uid);
                    let pod = server.pods.values().find(|pod| Some(&*pod.meta.uid) == led);
                    assert!(pod.is_none_or(|pod| pod.address(slice.family.unwrap()).is_none()), "{pod:?}");
                }
            }
        }
    }

    /// Checks that no drift is left, and that the status reports every slice of others.
    fn check_leader_service(&self, source: &Service, leader: &Key) {
        let server = &self.server;
        let spec = &server.services[leader].spec;
        assert!(spec.selector.is_none(), "drift is left");
        assert_eq!(spec.internal_traffic_policy.as_deref(), Some("Cluster"));
        assert!(
            !server.services[leader].annotations.contains_key(leader::ENABLED),
            "it asks for a leader itself"
        );
        let status = Status::read(source.annotations.get(leader::STATUS)).unwrap();
        let reported =
            status.conditions.iter().filter(|one| one.starts_with("NameConflict: EndpointSlice")).count();
        let rivals = server.rivals.values().filter(|rival| rival.service == leader.name).count();
        assert_eq!(reported, rivals, "{status:?}");
    }
}
