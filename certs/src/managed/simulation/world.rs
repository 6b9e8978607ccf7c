//! The API servers and their objects, and random mishaps: a Secret, two configurations, Leases, EndpointSlices, two clocks.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::node::Node;
use super::paper::Paper;
use super::random::Random;
use crate::issue::Lifetimes;
use crate::managed::plan::configuration::{Configuration, ConfigurationKind, ConfigurationRef};
use crate::managed::plan::notary::Notary;
use crate::managed::plan::policy::Policy;
use crate::managed::plan::secret::State;
use crate::names::ServiceNames;

/// The wait of every writer, in seconds. Every API server sees every change in less.
pub(super) const WAIT: u64 = 30;
/// Number of API servers.
const SERVERS: usize = 2;

/// A configuration from one change to the next.
#[derive(Clone)]
pub(super) struct Entry {
    /// Time of the change, by the steady clock.
    pub(super) at: u64,
    pub(super) config: Option<Configuration>,
    /// True if it was not written by one of the replicas.
    pub(super) foul: bool,
    /// Time at which each API server begins to use it.
    seen: [u64; SERVERS],
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) notary: Paper,
    pub(super) policy: Policy,
    start: Instant,
    /// Seconds since the beginning, as they really pass.
    pub(super) steady: u64,
    /// Seconds by which the wall clock has been set ahead.
    pub(super) ahead: i64,
    /// Every version of the Secret. The index is its version.
    pub(super) secret: Vec<Option<Rc<State>>>,
    /// Every version of each configuration.
    pub(super) configs: Vec<Vec<Rc<Entry>>>,
    pub(super) slices: BTreeMap<String, bool>,
    pub(super) reports: BTreeMap<String, String>,
    pub(super) nodes: Vec<Node>,
    pods: usize,
    /// True once nothing could be served any more: from then on only the end is checked.
    pub(super) emergency: bool,
    pub(super) activations: usize,
    pub(super) retirements: usize,
}

impl World {
    pub(super) fn new(seed: u64, nodes: usize) -> Self {
        let (leaf, ca) = (SignedDuration::from_hours(24), SignedDuration::from_hours(60));
        let lifetimes = Lifetimes { leaf, ca, ..Lifetimes::default() };
        let mut world = Self {
            random: Random::new(seed),
            notary: Paper::default(),
            policy: Policy { names: ServiceNames::new("svc", "ns"), lifetimes },
            start: Instant::now(),
            steady: 0,
            ahead: 0,
            secret: vec![None],
            configs: vec![vec![], vec![]],
            slices: BTreeMap::new(),
            reports: BTreeMap::new(),
            nodes: (0..nodes).map(|_| Node::default()).collect(),
            pods: 0,
            emergency: false,
            activations: 0,
            retirements: 0,
        };
        (0..2).for_each(|which| world.create(which));
        world
    }

    pub(super) fn wall(&self) -> Timestamp {
        let start: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_secs(self.steady.cast_signed() + self.ahead)
    }

    pub(super) fn instant(&self) -> Instant {
        self.start + Duration::from_secs(self.steady)
    }

    pub(super) fn state(&self) -> Option<&State> {
        self.secret.last().unwrap().as_deref()
    }

    pub(super) fn config(&self, which: usize) -> Option<&Configuration> {
        self.configs[which].last().unwrap().config.as_ref()
    }

    pub(super) fn next_pod(&mut self) -> String {
        self.pods += 1;
        format!("pod-{}", self.pods)
    }

    /// Stores a change of a configuration, as the API server does.
    pub(super) fn put_config(&mut self, which: usize, config: Option<Configuration>, foul: bool) {
        let before = self.configs[which].last().map_or([0; SERVERS], |entry| entry.seen);
        let delay = |random: &mut Random| random.draw() % WAIT;
        let seen = before.map(|before| before.max(self.steady + delay(&mut self.random)));
        self.configs[which].push(Rc::new(Entry { at: self.steady, config, foul, seen }));
    }

    fn create(&mut self, which: usize) {
        let kind = [ConfigurationKind::Validating, ConfigurationKind::Mutating][which];
        let reference = ConfigurationRef { kind, name: "headworks".to_owned() };
        let uid = format!("uid-{}", self.configs[which].len());
        let webhooks = vec![("one".to_owned(), vec![]), ("two".to_owned(), vec![])];
        let version = self.configs[which].len().to_string();
        let config = Configuration { reference, uid, version, generation: 1, webhooks };
        self.put_config(which, Some(config), true);
    }

    /// Changes the webhooks of a configuration, if it is there and, where `version` is given, still like that.
    pub(super) fn change(
        &mut self,
        which: usize,
        version: Option<&str>,
        foul: bool,
        change: impl FnOnce(&mut Configuration),
    ) -> bool {
        let Some(mut config) = self.config(which).cloned() else { return false };
        if version.is_some_and(|version| version != config.version) {
            return false;
        }
        let before = config.webhooks.clone();
        change(&mut config);
        assert!(foul || config.webhooks != before, "a write that changes nothing");
        config.version = self.configs[which].len().to_string();
        config.generation += i64::from(config.webhooks != before);
        self.put_config(which, Some(config), foul);
        true
    }

    /// Returns the versions of a configuration that API servers may be using now.
    pub(super) fn used(&self, which: usize) -> impl Iterator<Item = &Entry> {
        let log = &self.configs[which];
        (0..SERVERS).filter_map(move |server| {
            log.iter().map(Rc::as_ref).rev().find(|entry| entry.seen[server] <= self.steady)
        })
    }

    /// Makes a random mishap happen.
    pub(super) fn misfortune(&mut self) {
        let which = self.random.below(2);
        match self.random.below(100) {
            0..25 => {
                let node = self.random.below(self.nodes.len());
                self.crash(node);
            }
            25..40 => {
                let node = self.random.below(self.nodes.len());
                let until = self.steady + 20 + self.random.draw() % 600;
                match self.random.below(4) {
                    0 => self.nodes[node].frozen_until = until,
                    1 => self.nodes[node].deaf_until = [until; 2],
                    one => self.nodes[node].deaf_until[one - 2] = until,
                }
            }
            40..52 => {
                // Blanked, replaced, or set back to one of its members: in all webhooks or one.
                let (kind, only, pick) = (self.random.below(4), self.random.once_in(2), self.random.below(9));
                let now = self.wall();
                let notary = self.notary.clone();
                self.change(which, None, true, |config| {
                    for (_, bundle) in config.webhooks.iter_mut().skip(usize::from(only)) {
                        let members = notary.bundle(&[bundle], now);
                        *bundle = match kind {
                            0 => vec![],
                            1 => b"ca foreign 0 99999999999 foreign x\n".to_vec(),
                            _ if members.is_empty() => vec![],
                            _ => members[pick % members.len()].clone().into_bytes(),
                        };
                    }
                });
            }
            52..56 => {
                // A change of something else, that counts as a generation all the same.
                let name = format!("more-{}", self.steady);
                self.change(which, None, true, |config| config.webhooks[0].0 = name);
            }
            56..59 => {
                if self.config(which).is_some() {
                    self.put_config(which, None, true);
                } else {
                    self.create(which);
                }
            }
            59..63 => {
                let jumps = [-3600, -7, 13, 600, 3600, 20 * 3600];
                self.ahead += jumps[self.random.below(jumps.len())];
            }
            // Hours in which nobody does anything.
            63..83 => self.steady += self.random.draw() % (6 * 3600),
            _ => self.steady += self.random.draw() % 40,
        }
    }

    /// Stops a replica without a shutdown: its report stays.
    pub(super) fn crash(&mut self, node: usize) {
        self.slices.remove(&self.nodes[node].pod);
        self.nodes[node] = Node::default();
    }

    /// Updates the EndpointSlices from the pods.
    pub(super) fn route(&mut self) {
        let up = self.nodes.iter().filter(|node| node.up);
        self.slices = up.map(|node| (node.pod.clone(), node.latched)).collect();
    }
}
