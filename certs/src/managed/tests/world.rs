//! A world made of plain values: a Secret's state, two configurations, what the replicas serve, a clock.

use super::*;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) state: Option<State>,
    pub(super) configurations: Vec<Configuration>,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
    /// True once the bundle has been published for the whole wait.
    pub(super) waited: bool,
    /// The leaves that replicas serve; `None`: all serve the current one.
    pub(super) replicas: Option<Vec<Served>>,
}

impl World {
    pub(super) fn empty() -> Self {
        let configuration = |kind, webhooks: &[&str]| Configuration {
            reference: ConfigurationRef { kind, name: "headworks".to_owned() },
            uid: "u".to_owned(),
            version: "1".to_owned(),
            generation: 1,
            webhooks: webhooks.iter().map(|name| ((*name).to_owned(), Vec::new())).collect(),
        };
        Self {
            state: None,
            configurations: vec![
                configuration(ConfigurationKind::Validating, &["jobflows.a.b", "services.a.b"]),
                configuration(ConfigurationKind::Mutating, &["jobflows.a.b"]),
            ],
            policy: Policy { names: ServiceNames::new("svc", "ns"), lifetimes: Lifetimes::default() },
            now: "2030-01-01T00:00:00Z".parse().unwrap(),
            waited: true,
            replicas: None,
        }
    }

    pub(super) fn settled() -> Self {
        let mut world = Self::empty();
        world.settle();
        world
    }

    pub(super) fn decide(&self) -> Step {
        let serial = || self.state.as_ref()?.leaf.as_ref().and_then(|leaf| X509.facts(&leaf.cert).ok());
        let one = || vec![Served { name: "a".to_owned(), serial: serial().map(|facts| facts.serial) }];
        let replicas = self.replicas.clone().unwrap_or_else(one);
        let observation = Observation {
            configurations: &self.configurations,
            complete: true,
            waited: self.waited,
            replicas: Some(&replicas),
        };
        decide(self.state.as_ref(), &observation, &self.policy, self.now)
    }

    /// Takes one step, and returns it.
    pub(super) fn step(&mut self) -> Step {
        let step = self.decide();
        if let Some(next) = mint(&step, self.state.as_ref(), &self.policy, self.now).unwrap() {
            assert_ne!(self.state.as_ref(), Some(&next), "a write that changes nothing");
            self.state = Some(next);
        } else if let Step::Publish { bundle, into } = &step {
            for one in self.configurations.iter_mut().filter(|one| into.contains(&one.reference)) {
                one.webhooks.iter_mut().for_each(|(_, held)| *held = bundle.clone().into_bytes());
                one.generation += 1;
            }
        }
        step
    }

    /// Takes steps until there are none. More than a rotation and a renewal would be a storm.
    pub(super) fn settle(&mut self) -> Vec<Step> {
        let mut taken = Vec::new();
        loop {
            let step = self.step();
            let rests = matches!(step, Step::Rest { .. });
            taken.push(step);
            if rests {
                return taken;
            }
            assert!(taken.len() <= 12, "a storm: {taken:?}");
        }
    }

    pub(super) fn after(mut self, time: SignedDuration) -> Self {
        self.now += time;
        self
    }

    pub(super) fn pair(&self) -> Pair {
        let leaf = self.state.as_ref().unwrap().leaf.as_ref().unwrap();
        Pair::parse(&leaf.cert, leaf.key.as_ref().unwrap().expose().as_bytes(), &["svc.ns.svc"], self.now)
            .unwrap()
    }

    pub(super) fn ca(&self) -> Vec<u8> {
        self.state.as_ref().unwrap().ca.as_ref().unwrap().cert.clone()
    }

    pub(super) fn state(&mut self) -> &mut State {
        self.state.as_mut().unwrap()
    }

    #[track_caller]
    pub(super) fn assert_served(&self) {
        let pair = self.pair();
        for configuration in &self.configurations {
            configuration.trusts(&pair, "svc.ns.svc", self.now).unwrap();
        }
    }
}

pub(super) fn kinds(steps: &[Step]) -> Vec<&'static str> {
    steps
        .iter()
        .map(|step| match step {
            Step::Generate(_) => "generate",
            Step::RenewLeaf(_) => "renew",
            Step::Publish { .. } => "publish",
            Step::Stage { .. } => "stage",
            Step::Date { .. } => "date",
            Step::Activate { .. } => "activate",
            Step::Confirm => "confirm",
            Step::Retire => "retire",
            Step::Rest { .. } => "rest",
        })
        .collect()
}

/// A world one step into the rotation of its CA.
pub(super) fn staged() -> World {
    let mut world = World::empty();
    world.policy.lifetimes.ca = DAY * 60;
    loop {
        match world.step() {
            Step::Stage { .. } => return World { waited: false, ..world },
            Step::Rest { .. } => world = world.after(DAY),
            _ => {}
        }
    }
}
