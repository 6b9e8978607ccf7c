//! Runs thousands of random histories of several writers, and checks what must never happen.
//!
//! The world has two API servers that see every change late (by less than the wait), replicas whose watches are later
//! still or deaf for minutes, calls between any two of which a replica may die, a tool that overwrites caBundles, clocks that
//! are set. The certificates are of [`paper`]; the decision, the making, the publish wait and the count of replicas are the real ones.

mod node;
mod paper;
mod random;
mod turn;
mod world;

use std::collections::BTreeSet;

use crate::managed::plan::notary::Notary;
use crate::managed::plan::secret::{Phase, State};
use crate::managed::plan::step::Step;
use node::{Op, Reading};
use random::Random;
use world::{WAIT, World};

impl World {
    /// Checks a write of the Secret that is about to be taken.
    fn judge_write(&mut self, step: &Step, next: &State, read: Option<&Reading>) {
        assert_ne!(self.state(), Some(next), "a write that changes nothing: {step:?}");
        match step {
            Step::Generate(_) if self.state().is_some() => self.emergency = true,
            Step::Activate { waited: false } => self.emergency = true,
            Step::Activate { waited: true } => {
                self.activations += 1;
                self.judge_activation(next, read.unwrap());
            }
            Step::Retire => self.retirements += 1,
            _ => {}
        }
    }

    /// Checks that every bundle that an API server may still use verifies the leaf: that is, every one that was there at
    /// any moment of the wait before the configurations were last read.
    fn judge_activation(&self, next: &State, read: &Reading) {
        let leaf = &next.leaf.as_ref().unwrap().cert;
        let facts = self.notary.facts(leaf).unwrap();
        for (log, last) in self.configs.iter().zip(&read.versions) {
            for (at, entry) in log.iter().enumerate().take(last + 1) {
                let ended = log.get(at + 1).map_or(u64::MAX, |next| next.at);
                if ended <= (read.at + 1).saturating_sub(WAIT) {
                    continue;
                }
                for (_, bundle) in entry.config.iter().flat_map(|config| &config.webhooks) {
                    // Validity in time is checked elsewhere.
                    let now = self.wall().clamp(facts.not_before, facts.not_after);
                    let verified = self.notary.verify(bundle, leaf, "svc.ns.svc", now);
                    assert!(verified.is_ok(), "a leaf is activated that an old bundle does not verify");
                }
            }
        }
    }

    /// Checks that every replica that may be called serves what its callers accept.
    fn judge_service(&self) {
        if self.emergency {
            return;
        }
        let now = self.wall();
        for node in self.nodes.iter().filter(|node| node.up && node.latched) {
            let leaf = node.leaf.as_ref().unwrap();
            for entry in
                (0..self.configs.len()).flat_map(|which| self.used(which)).filter(|entry| !entry.foul)
            {
                for (_, bundle) in entry.config.iter().flat_map(|config| &config.webhooks) {
                    let verified = self.notary.verify(bundle, &leaf.cert, "svc.ns.svc", now).is_ok();
                    // Where a clock was set, or no watch event came for days, it may have expired.
                    let excused = || !self.notary.facts(&leaf.cert).unwrap().valid_at(now);
                    assert!(verified || excused(), "{} serves what an API server refuses", node.pod);
                }
            }
        }
    }

    /// Lets every replica act without further mishaps, and checks that the rotation ends soon, in the right state.
    fn ends_well(mut self) {
        let begins = |state: &State| {
            let all = [&state.ca, &state.leaf, &state.next_ca, &state.next_leaf];
            let begin = all.into_iter().flatten().map(|one| self.notary.facts(&one.cert).unwrap().not_before);
            begin.max()
        };
        // A clock that was set back is corrected in the end, that of the latest replica too.
        let begins = self.state().and_then(begins).map_or(0, |at| at.duration_since(self.wall()).as_secs());
        self.ahead += (begins + 181).max(0);
        let mut quiet = 0;
        for _ in 0..200 {
            let before = (self.secret.len(), self.configs.iter().map(Vec::len).sum::<usize>());
            for at in 0..self.nodes.len() {
                self.calm_turn(at);
                self.judge_service();
            }
            self.route();
            self.steady += 4;
            let after = (self.secret.len(), self.configs.iter().map(Vec::len).sum::<usize>());
            let ended = self.state().is_some_and(|state| state.phase == Phase::Stable);
            quiet = if before == after && ended { quiet + 1 } else { 0 };
            if quiet >= 3 {
                return self.judge_end();
            }
        }
        panic!(
            "no end: {:?} since {:?}",
            self.state().map(|state| state.phase),
            self.state().map(|s| s.phase_since)
        );
    }

    fn judge_end(&self) {
        let state = self.state().unwrap();
        let now = self.wall();
        let bundle = self.notary.bundle(&state.trusted(), now);
        assert_eq!(bundle.len(), 1, "one CA");
        let leaf = state.leaf.as_ref().unwrap();
        assert!(self.notary.verify(bundle.concat().as_bytes(), &leaf.cert, "svc.ns.svc", now).is_ok());
        for which in 0..self.configs.len() {
            assert!(self.config(which).is_none_or(|config| config.carries(&bundle.concat())), "one bundle");
        }
        for node in &self.nodes {
            assert!(node.latched && node.leaf.as_ref() == Some(leaf), "one leaf");
        }
    }

    /// Returns a text that distinguishes states of the world, as far as the rotation goes.
    fn signature(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{:?}", self.state().map(|state| state.phase));
        for node in &self.nodes {
            let op = match &node.op {
                Op::None => "-".to_owned(),
                Op::Patch(_, targets) => format!("patch{}", targets.len()),
                Op::Put(_, step, ..) => {
                    format!("{step:?}").chars().take_while(|c| c.is_alphabetic()).collect()
                }
            };
            let current = self.state().and_then(|state| state.leaf.as_ref()) == node.leaf.as_ref();
            let _ = write!(text, " {op}{}{}{current}", node.up, node.latched);
        }
        for which in 0..self.configs.len() {
            let bundle = self.state().map(|state| self.notary.bundle(&state.trusted(), self.wall()).concat());
            let right = self.config(which).map(|config| Some(config.carries(bundle.as_ref()?)));
            let _ = write!(text, " {right:?}");
        }
        text
    }
}

/// Plays one history. Returns the number of activations and retirements.
fn play(seed: u64, turns: usize, known: &mut BTreeSet<String>) -> (usize, usize) {
    let nodes = 1 + Random::new(seed ^ 0x5eed).below(3);
    let mut world = World::new(seed, nodes);
    for _ in 0..turns {
        let at = world.random.below(nodes);
        world.turn(at);
        world.judge_service();
        world.steady += u64::from(world.random.once_in(3));
        if world.random.once_in(3) {
            world.route();
        }
        if world.random.once_in(30) {
            world.misfortune();
            world.judge_service();
        }
        if known.insert(world.signature()) {
            world.clone().ends_well();
        }
        if world.emergency {
            break;
        }
    }
    let rotations = (world.activations, world.retirements);
    world.ends_well();
    rotations
}

fn seeds() -> impl Iterator<Item = u64> {
    let first = std::env::var("HEADWORKS_SEED").ok().and_then(|seed| seed.parse().ok());
    let count = std::env::var("HEADWORKS_SEEDS").ok().and_then(|count| count.parse().ok());
    let random = u64::from(std::process::id()) << 32
        | u64::from(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs());
    let from: u64 = first.unwrap_or(random);
    (0..count.unwrap_or(if first.is_some() { 1 } else { 20 })).map(move |n: u64| from.wrapping_add(n))
}

#[test]
fn whatever_happens_no_call_is_refused_and_it_ends_with_one_ca() {
    let (mut known, mut activations, mut retirements) = (BTreeSet::new(), 0, 0);
    for seed in seeds() {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed, 4_000, &mut known)));
        match played {
            Ok((activated, retired)) => {
                activations += activated;
                retirements += retired;
            }
            Err(panic) => {
                println!("HEADWORKS_SEED={seed} plays this history again");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{} states, {activations} activations, {retirements} retirements", known.len());
    assert!(std::env::var("HEADWORKS_SEED").is_ok() || retirements > 10, "the histories show too little");
}
