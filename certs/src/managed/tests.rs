//! The decision, tried on a world made of plain values: a Secret's state, two configurations, a clock.

use jiff::{SignedDuration, Timestamp};

use super::{
    notary::{Notary, X509},
    *,
};
use crate::{Authority, Facts, KeyPem, Lifetimes, Pair, ServiceNames};

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
