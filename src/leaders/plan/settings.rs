//! The settings of a source, read from its annotations.
//!
//! Faults are reported in the words of admission (`leaders::rules`). Whatever is wrong is then read so that nothing is
//! routed to a pod that nobody chose: an unreadable wait counts as none, and an unreadable selector matches no pod.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::model::{Pod, Service};
use crate::k8s::duration;
use crate::k8s::name_rules as valid;
use crate::k8s::selector::Selector;
use crate::leaders::leader_name::leader_name;
use crate::leaders::rules;
use crate::names::leader;

/// The settings of one source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) leader_service: String,
    /// The incumbent stays while it is a candidate.
    pub(crate) sticky: bool,
    /// The time for which a challenger must have been Ready.
    pub(crate) min_ready: SignedDuration,
    /// The time for which an incumbent that is not ready keeps the lead.
    pub(crate) hold_down: SignedDuration,
    pub(crate) strategy: Strategy,
    pub(crate) claim: Claim,
    /// The name of a pod that becomes the leader as soon as it is a candidate.
    pub(crate) promote: Option<String>,
    /// The leader Service takes the source's type.
    pub(crate) expose: bool,
    /// Labels of the source that the leader Service gets too.
    pub(crate) copy_labels: Vec<String>,
}

/// The way in which the best candidate is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// The one created first, then by name.
    Oldest,
    /// The one created last, then by name.
    Newest,
    /// The holder of this Lease.
    Lease(String),
}

/// The extra condition that a selected pod must meet to lead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Claim {
    /// No condition.
    Anybody,
    /// The pod matches the candidate selector.
    Labelled(Selector),
    /// The annotations cannot be read: no other pod may lead, and the incumbent stays while it is a candidate.
    Unreadable,
}

impl Claim {
    /// Checks whether this pod meets the condition; `None` if the condition cannot be read.
    pub(crate) fn admits(&self, pod: &Pod) -> Option<bool> {
        match self {
            Self::Anybody => Some(true),
            Self::Labelled(selector) => Some(selector.matches(&pod.label_map())),
            Self::Unreadable => None,
        }
    }
}

/// Checks whether the Service is one that asks for a leader.
pub(crate) fn is_enabled(service: &Service) -> bool {
    service.annotations.get(leader::ENABLED).is_some_and(|text| text == "true")
}

/// Checks whether the Service can have a leader: it has a type with pods, and a selector.
pub(crate) fn is_routable(service: &Service) -> bool {
    service.spec.type_.as_deref() != Some("ExternalName")
        && service.spec.selector.as_ref().is_some_and(|selector| !selector.is_empty())
}

impl Settings {
    /// Reads the annotations of a Service of this name. It never fails, as the module describes.
    pub(crate) fn read(name: &str, annotations: &BTreeMap<String, String>) -> Self {
        let get = |key: &str| annotations.get(key).map(String::as_str);
        let wait = |key: &str| {
            let nanoseconds = get(key).and_then(|text| duration::parse(text).ok()).unwrap_or_default();
            SignedDuration::from_nanos(nanoseconds.clamp(0, duration::THIRTY_DAYS))
        };
        let mut readable = true;
        let strategy = match (get(leader::STRATEGY), get(leader::LEASE_NAME)) {
            (None | Some("oldest"), _) => Strategy::Oldest,
            (Some("newest"), _) => Strategy::Newest,
            (Some("lease"), Some(lease)) if valid::dns_subdomain(lease).is_none() => {
                Strategy::Lease(lease.to_owned())
            }
            _ => {
                readable = false;
                Strategy::Oldest
            }
        };
        let claim = match get(leader::CANDIDATE_SELECTOR).map(Selector::parse) {
            None => Claim::Anybody,
            Some(Ok(selector)) if selector.requirements.is_empty() => Claim::Anybody,
            Some(Ok(selector)) => Claim::Labelled(selector),
            Some(Err(_)) => Claim::Unreadable,
        };
        let named = get(leader::LEADER_SERVICE_NAME)
            .filter(|wanted| valid::dns_label(wanted).is_none() && *wanted != name);
        Self {
            leader_service: named.map_or_else(|| leader_name(name), str::to_owned),
            sticky: get(leader::STICKY) != Some("false"),
            min_ready: wait(leader::MIN_READY),
            hold_down: wait(leader::HOLD_DOWN),
            strategy,
            claim: if readable { claim } else { Claim::Unreadable },
            promote: get(leader::PROMOTE).filter(|pod| !pod.is_empty()).map(str::to_owned),
            expose: get(leader::EXPOSE) == Some("true"),
            copy_labels: get(leader::COPY_LABELS)
                .into_iter()
                .flat_map(|list| list.split(','))
                .map(|key| key.trim().to_owned())
                .filter(|key| !key.is_empty())
                .collect(),
        }
    }
}

/// The faults for which admission would refuse the Service, one line each. They are reported again here because the
/// webhook may have been unavailable when the Service was written.
pub(crate) fn faults(source: &Service) -> Vec<String> {
    let annotations: Map<String, Value> =
        source.annotations.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let spec = &source.spec;
    let ports: Vec<Value> =
        spec.ports.iter().flatten().filter_map(|port| serde_json::to_value(port).ok()).collect();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": &*source.meta.key.name, "namespace": &*source.meta.key.namespace, "annotations": annotations},
        "spec": {"type": spec.type_, "selector": spec.selector, "ports": ports, "clusterIP": spec.cluster_ip},
    });
    rules::service(&object, None)
        .iter()
        .filter(|problem| problem.is_error())
        .map(|problem| format!("{}: {}", problem.field, problem.message()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The controller reads every annotation of the list: each makes a difference.
    #[test]
    fn every_setting_of_the_list_is_read() {
        let values = [
            (leader::LEADER_SERVICE_NAME, "primary"),
            (leader::STICKY, "false"),
            (leader::MIN_READY, "1s"),
            (leader::HOLD_DOWN, "1s"),
            (leader::STRATEGY, "newest"),
            (leader::LEASE_NAME, "lock"),
            (leader::CANDIDATE_SELECTOR, "a"),
            (leader::PROMOTE, "db-1"),
            (leader::EXPOSE, "true"),
            (leader::COPY_LABELS, "a"),
        ];
        let keys: Vec<&str> = [leader::ENABLED].into_iter().chain(values.map(|(key, _)| key)).collect();
        assert_eq!(keys, leader::SETTINGS);
        for (key, value) in values {
            let strategy = if key == leader::LEASE_NAME { "lease" } else { "oldest" };
            let mut annotations = BTreeMap::from([(leader::STRATEGY.to_owned(), strategy.to_owned())]);
            let before = Settings::read("db", &annotations);
            annotations.insert(key.to_owned(), value.to_owned());
            assert_ne!(Settings::read("db", &annotations), before, "{key}");
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Settings {
        let pairs = pairs.iter().map(|(key, value)| (format!("zen-lead.io/{key}"), (*value).to_owned()));
        Settings::read("db", &pairs.collect())
    }

    #[test]
    fn nothing_but_enabled_means_the_defaults() {
        let settings = read(&[("enabled", "true")]);
        assert_eq!(settings.leader_service, "db-leader");
        assert!(settings.sticky && !settings.expose);
        assert_eq!((settings.min_ready, settings.hold_down), (SignedDuration::ZERO, SignedDuration::ZERO));
        assert_eq!((settings.strategy, settings.claim), (Strategy::Oldest, Claim::Anybody));
    }

    #[test]
    fn what_is_written_is_read() {
        let settings = read(&[
            ("leader-service-name", "primary"),
            ("sticky", "false"),
            ("min-ready-duration", "1m30s"),
            ("failover-min-delay", "500ms"),
            ("strategy", "lease"),
            ("lease-name", "db"),
            ("candidate-selector", "role in (primary)"),
            ("promote", "db-1"),
            ("copy-labels", "team, app.kubernetes.io/part-of,"),
        ]);
        assert_eq!(settings.leader_service, "primary");
        assert!(!settings.sticky);
        assert_eq!(settings.min_ready, SignedDuration::from_secs(90));
        assert_eq!(settings.hold_down, SignedDuration::from_millis(500));
        assert_eq!(settings.strategy, Strategy::Lease("db".to_owned()));
        assert!(matches!(settings.claim, Claim::Labelled(_)));
        assert_eq!(settings.promote.as_deref(), Some("db-1"));
        assert_eq!(settings.copy_labels, ["team", "app.kubernetes.io/part-of"]);
    }

    #[test]
    fn an_unreadable_claim_is_nobodys() {
        for pairs in [
            [("strategy", "leese"), ("sticky", "true")],
            [("strategy", "lease"), ("sticky", "true")],
            [("strategy", "lease"), ("lease-name", "No!")],
            [("candidate-selector", "role in primary"), ("sticky", "true")],
        ] {
            assert_eq!(read(&pairs).claim, Claim::Unreadable, "{pairs:?}");
        }
    }

    #[test]
    fn the_leader_service_is_never_the_source_itself() {
        assert_eq!(read(&[("leader-service-name", "db")]).leader_service, "db-leader");
        assert_eq!(read(&[("leader-service-name", "No!")]).leader_service, "db-leader");
    }
}
