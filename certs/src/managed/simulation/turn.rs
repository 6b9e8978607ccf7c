//! Turns of one replica: it serves, it reports, it writes. Each call to the API server is a turn of its own, and between
//! any two anything may happen.

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};

use super::node::{Node, Op, Reading};
use super::world::{WAIT, World};
use crate::managed::build::mint::mint_by;
use crate::managed::plan::configuration::Configuration;
use crate::managed::plan::decide::{Observation, decide_by};
use crate::managed::plan::notary::Notary;
use crate::managed::plan::replicas::{ReplicaList, Served};
use crate::managed::plan::secret::{Material, Phase};
use crate::managed::plan::step::Step;

impl World {
    pub(super) fn turn(&mut self, at: usize) {
        // Taken out for the time of its turn, so that it can act on the world.
        if self.steady < self.nodes[at].frozen_until {
            return;
        }
        let mut node = std::mem::take(&mut self.nodes[at]);
        if node.up {
            match self.random.below(6) {
                0 => node.hear(self),
                1 => node.report(self),
                2..5 if !node.latched => node.report(self),
                _ => node.write(self),
            }
        } else {
            node.start(self);
        }
        self.nodes[at] = node;
    }

    /// Everything arrives, everybody does what is to be done.
    pub(super) fn calm_turn(&mut self, at: usize) {
        let mut node = std::mem::take(&mut self.nodes[at]);
        if !node.up {
            node.start(self);
        }
        (node.deaf_until, node.frozen_until) = ([0; 2], 0);
        node.read(self);
        node.report(self);
        node.report(self);
        node.write(self);
        node.write(self);
        self.nodes[at] = node;
    }
}

impl Node {
    fn start(&mut self, world: &mut World) {
        (self.up, self.pod) = (true, world.next_pod());
        self.configs = vec![0; world.configs.len()];
        self.skew = i64::try_from(world.random.below(360)).unwrap() - 180;
        self.read(world);
        // Some are slow to get ready.
        if world.random.once_in(3) {
            self.frozen_until = world.steady + world.random.draw() % 200;
        }
    }

    /// Reads everything outright.
    fn read(&mut self, world: &World) {
        self.secret = world.secret.len() - 1;
        self.read_configs(world);
        self.serve(world);
    }

    fn read_configs(&mut self, world: &World) {
        self.configs = world.configs.iter().map(|log| log.len() - 1).collect();
    }

    /// Some watch events come; of several changes perhaps only the last.
    fn hear(&mut self, world: &mut World) {
        let forward =
            |random: &mut super::random::Random, from: usize, end: usize| from + random.below(end - from + 1);
        let [secret, configs] = self.deaf_until.map(|until| until <= world.steady);
        if secret {
            self.secret = forward(&mut world.random, self.secret, world.secret.len() - 1);
        }
        for which in (0..self.configs.len()).filter(|_| configs) {
            let end = world.configs[which].len() - 1;
            self.configs[which] = forward(&mut world.random, self.configs[which], end);
        }
        self.serve(world);
    }

    fn serve(&mut self, world: &World) {
        let leaf = world.secret[self.secret].as_deref().and_then(|state| state.leaf.as_ref());
        let sound = |leaf: &&Material| {
            world.notary.pair(leaf, &world.policy.names.required(), self.wall(world)).is_ok()
        };
        if let Some(leaf) = leaf.filter(sound) {
            self.leaf = Some(leaf.clone());
        }
    }

    pub(super) fn serial(&self, world: &World) -> Option<String> {
        self.leaf.as_ref().and_then(|leaf| world.notary.facts(&leaf.cert).ok()).map(|facts| facts.serial)
    }

    /// Says what it serves, or, that said, reads the Secret once more.
    fn report(&mut self, world: &mut World) {
        let serial = self.serial(world);
        if let Some(serial) = &serial
            && self.reported.as_ref() != Some(serial)
        {
            world.reports.insert(self.pod.clone(), serial.clone());
            self.reported = Some(serial.clone());
        } else if serial.is_some() && !self.latched {
            self.secret = world.secret.len() - 1;
            self.serve(world);
            self.latched = self.reported == self.serial(world);
        }
    }

    fn write(&mut self, world: &mut World) {
        match std::mem::take(&mut self.op) {
            Op::None => self.op = self.begin(world),
            Op::Patch(bundle, mut targets) => {
                let Some((which, version)) = targets.pop() else { return };
                let done = world.change(which, Some(&version), false, |config| {
                    config.webhooks.iter_mut().for_each(|(_, held)| *held = bundle.clone().into_bytes());
                });
                // Refused or not, it is read back. A written bundle must be right, or it would be written again forever.
                let written = world.config(which).filter(|_| done);
                assert!(
                    written.is_none_or(|config| config.carries(&bundle)),
                    "a bundle that is written again"
                );
                self.configs[which] = world.configs[which].len() - 1;
                self.op = Op::Patch(bundle, targets);
            }
            Op::Put(known, step, next, read) => {
                if known == world.secret.len() - 1 {
                    world.judge_write(&step, &next, read.as_ref());
                    world.secret.push(Some(Rc::new(*next)));
                }
                self.secret = world.secret.len() - 1;
                self.serve(world);
            }
        }
    }

    fn begin(&mut self, world: &mut World) -> Op {
        let now = self.wall(world);
        let state = world.secret[self.secret].clone();
        let seen: Vec<Configuration> = self.configurations(world).into_iter().flatten().collect();
        let whole = state.as_ref().is_some_and(|state| {
            let bundle = world.notary.bundle(&state.trusted(), now).concat();
            seen.iter().all(|one| one.carries(&bundle))
        });
        let since = self.timer.observe(state.as_deref(), &seen, whole, world.instant());
        let replicas = state.as_ref().filter(|state| state.phase == Phase::Activated).map(|_| {
            let list = ReplicaList { endpoints: world.slices.clone(), reports: world.reports.clone() };
            self.tracker.update(&list, None::<Served>, world.instant())
        });
        let observation = Observation {
            configurations: &seen,
            complete: true,
            waited: since.is_some_and(|since| world.instant().duration_since(since).as_secs() >= WAIT),
            replicas: replicas.as_deref(),
        };
        let step = decide_by(&world.notary, state.as_deref(), &observation, &world.policy, now);
        match &step {
            Step::Rest { .. } => Op::None,
            Step::Publish { bundle, into } => {
                if self.secret != world.secret.len() - 1 {
                    self.secret = world.secret.len() - 1;
                    self.serve(world);
                    return Op::None;
                }
                let targets = self.configurations(world).into_iter().enumerate();
                let targets = targets.filter_map(|(which, config)| Some((which, config?)));
                let differ = targets.filter(|(_, config)| into.contains(&config.reference));
                Op::Patch(bundle.clone(), differ.map(|(which, config)| (which, config.version)).collect())
            }
            _ => {
                let read = matches!(step, Step::Date { .. } | Step::Activate { waited: true });
                if read {
                    let before = self.configs.clone();
                    self.read_configs(world);
                    if before != self.configs {
                        return Op::None;
                    }
                }
                let next = mint_by(&world.notary, &step, state.as_deref(), &world.policy, now).unwrap();
                let reading = read.then(|| Reading { at: world.steady, versions: self.configs.clone() });
                Op::Put(self.secret, step, Box::new(next.unwrap()), reading)
            }
        }
    }

    fn wall(&self, world: &World) -> Timestamp {
        world.wall() + SignedDuration::from_secs(self.skew)
    }

    fn configurations(&self, world: &World) -> Vec<Option<Configuration>> {
        self.configs.iter().zip(&world.configs).map(|(at, log)| log[*at].config.clone()).collect()
    }
}
