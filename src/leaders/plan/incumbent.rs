//! The pod that leads now, according to the objects and the memory.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::model::{Family, Service, Slice, epoch};
use crate::names::leader;

/// The pod that leads now. Of several records the one with the highest epoch is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Incumbent {
    pub(crate) epoch: u64,
    /// Name and UID.
    pub(crate) pod: Option<(String, String)>,
    /// The time at which it took over.
    pub(crate) since: Option<Timestamp>,
}

impl Incumbent {
    /// The UID of the pod.
    pub(crate) fn uid(&self) -> Option<&str> {
        self.pod.as_ref().map(|(_, uid)| uid.as_str())
    }

    fn of_slice(slice: &Slice) -> Self {
        Self {
            epoch: slice.epoch(),
            since: since(&slice.annotations),
            pod: slice.leader().map(|(name, uid)| (name.to_owned(), uid.to_owned())),
        }
    }

    fn of_service(service: &Service) -> Self {
        let get = |key: &str| service.annotations.get(key).cloned();
        Self {
            epoch: epoch(&service.annotations),
            since: since(&service.annotations),
            pod: get(leader::CURRENT_LEADER).zip(get(leader::LEADER_UID)),
        }
    }

    /// Reads it from the slices and leader Services of a source.
    ///
    /// The first of several records with equal epochs counts: the acknowledged write (`remembered`), then the slices,
    /// that of the `primary` family before the others, then the leader Services, which are written after their slices.
    /// An empty slice of another family counts by its epoch alone: the leader may have no address there.
    pub(crate) fn read<'a>(
        remembered: Option<&Self>,
        slices: impl Iterator<Item = &'a Slice>,
        services: impl Iterator<Item = &'a Service>,
        primary: Option<Family>,
    ) -> Self {
        let mut slices: Vec<&Slice> = slices.collect();
        slices.sort_by_key(|slice| slice.family != primary);
        let (conclusive, empty): (Vec<&Slice>, Vec<&Slice>) =
            slices.into_iter().partition(|slice| slice.family == primary || slice.leader().is_some());
        let all = conclusive
            .into_iter()
            .map(Self::of_slice)
            .chain(services.map(Self::of_service))
            .chain(empty.into_iter().map(Self::of_slice));
        let mut best = remembered.cloned();
        for (i, one) in all.enumerate() {
            match &mut best {
                Some(best) if one.epoch <= best.epoch => {
                    if i == 0 && one.epoch == best.epoch && one.pod == best.pod && one.since.is_some() {
                        // Two controllers may have made the same decision at different times: the written time counts.
                        best.since = one.since;
                    }
                }
                best => *best = Some(one),
            }
        }
        best.unwrap_or_default()
    }

    /// Checks whether a slice of the same leader Service names another pod under the same epoch: somebody wrote it by
    /// hand, or an epoch was lost.
    pub(crate) fn is_contradicted_by(&self, slice: &Slice, primary: Family) -> bool {
        let led = self.uid();
        slice.epoch() == self.epoch
            && match slice.leader() {
                Some((_, uid)) => led != Some(uid),
                // An empty slice of another family means only that the leader has no address there.
                None => led.is_some() && slice.family == Some(primary),
            }
    }
}

fn since(annotations: &BTreeMap<String, String>) -> Option<Timestamp> {
    annotations.get(leader::LAST_SWITCH)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::leaders::plan::view;

    fn slice(family: &str, epoch: u64, uid: Option<&str>) -> Slice {
        let endpoints: Vec<_> = uid
            .iter()
            .map(|uid| json!({"addresses": ["x"], "targetRef": {"kind": "Pod", "name": "p", "uid": uid}}))
            .collect();
        let object = json!({
            "metadata": {"name": format!("db-leader-{family}"), "annotations": {"zen-lead.io/epoch": epoch.to_string()}},
            "addressType": family, "endpoints": endpoints,
        });
        serde_json::from_value::<view::Slice>(object).unwrap().into()
    }

    /// Epoch and UID that a controller without memory reads.
    fn read(slices: &[Slice], primary: Family) -> (u64, Option<String>) {
        let one = Incumbent::read(None, slices.iter(), std::iter::empty(), Some(primary));
        (one.epoch, one.pod.map(|(_, uid)| uid))
    }

    #[test]
    fn a_leader_without_an_address_of_the_second_family_is_no_contradiction() {
        for (primary, families) in [(Family::V4, ["IPv4", "IPv6"]), (Family::V6, ["IPv6", "IPv4"])] {
            let slices = [slice(families[1], 2, None), slice(families[0], 2, Some("b"))];
            assert_eq!(read(&slices, primary), (2, Some("b".to_owned())));
            let incumbent = Incumbent::read(None, slices.iter(), std::iter::empty(), Some(primary));
            assert!(!slices.iter().any(|slice| incumbent.is_contradicted_by(slice, primary)));
            // But another pod there is one, and so is nobody in the first.
            assert!(incumbent.is_contradicted_by(&slice(families[1], 2, Some("a")), primary));
            assert!(incumbent.is_contradicted_by(&slice(families[0], 2, None), primary));
            assert!(!incumbent.is_contradicted_by(&slice(families[0], 1, None), primary));
        }
    }

    #[test]
    fn an_epoch_that_nobody_can_have_counted_so_far_is_none() {
        assert_eq!(read(&[slice("IPv4", u64::MAX, Some("b"))], Family::V4), (0, Some("b".to_owned())));
    }
}
