//! Tests of the decision on a world of plain values: a Secret's state, two configurations, a clock.

use jiff::{SignedDuration, Timestamp};

use crate::facts::Facts;
use crate::issue::{Authority, KeyPem, Lifetimes};
use crate::managed::build::mint::mint;
use crate::managed::plan::configuration::{Configuration, ConfigurationKind, ConfigurationRef};
use crate::managed::plan::decide::{Observation, decide};
use crate::managed::plan::notary::{Notary, X509};
use crate::managed::plan::policy::Policy;
use crate::managed::plan::replicas::Served;
use crate::managed::plan::secret::{Material, Phase, Published, State};
use crate::managed::plan::step::{Cause, Due, Step, Wait};
use crate::names::ServiceNames;
use crate::pair::Pair;

const AT_REST: Step = Step::Rest { due: vec![], wait: Wait::Nothing };
const ROTATION: [&str; 8] = ["stage", "publish", "date", "activate", "confirm", "publish", "retire", "rest"];
const DAY: SignedDuration = SignedDuration::from_hours(24);

mod mishaps;
mod names;
mod renewal;
mod repair;
mod rotation;
mod world;
mod writes;

use world::{World, kinds, staged};
