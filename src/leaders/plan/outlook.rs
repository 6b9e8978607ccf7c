//! The pods that a Service would select if it were written as admission sees it, for admission's warnings.

use serde::Deserialize as _;
use serde_json::Value;

use super::model::Service;
use super::settings::Settings;
use super::state::ClusterState;
use super::view;
use crate::leaders::rules::SelectedPods;

/// Finds the pods that `object`, a Service as the API server sends it, would select. `None` if it cannot be read.
pub(crate) fn selected_pods(state: &ClusterState, object: &Value) -> Option<SelectedPods> {
    let service = Service::from(view::Service::deserialize(object).ok()?);
    let key = &service.meta.key;
    let settings = Settings::read(&key.name, &service.annotations);
    let selector = service.spec.selector.as_ref()?;
    let selected: Vec<_> = state
        .pods
        .matching(&key.namespace, selector)
        .into_iter()
        .filter(|pod| settings.claim.admits(pod).unwrap_or(false))
        .collect();
    let leader = state.slices_of(key).find_map(|slice| slice.leader().map(|(name, _)| name.to_owned()));
    let loses = leader.filter(|leader| selected.iter().all(|pod| *pod.meta.key.name != **leader));
    Some(SelectedPods { selected: selected.len(), loses })
}
