//! What a Service would see if it were as it is about to be written: for admission's warnings. Pure.

use serde::Deserialize as _;
use serde_json::Value;

use super::model::Service;
use super::settings::Settings;
use super::state::World;
use super::view;
use crate::leaders::rules::Sight;

/// Look for the pods that `object`, a Service as the API server sends it, would select. `None` where it cannot be read.
pub fn sight(world: &World, object: &Value) -> Option<Sight> {
    let service = Service::from(view::Service::deserialize(object).ok()?);
    let key = &service.meta.key;
    let settings = Settings::read(&key.name, &service.annotations);
    let selector = service.spec.selector.as_ref()?;
    let selected: Vec<_> = world
        .pods
        .matching(&key.namespace, selector)
        .into_iter()
        .filter(|pod| settings.claim.admits(pod).unwrap_or(false))
        .collect();
    let leader = world.slices_of(key).find_map(|slice| slice.leader().map(|(name, _)| name.to_owned()));
    let loses = leader.filter(|leader| selected.iter().all(|pod| *pod.meta.key.name != **leader));
    Some(Sight { selected: selected.len(), loses })
}
