//! What a source asks for, read from its annotations.
//!
//! What is wrong is told in the words of admission (`flow::validate::service`), and then read so that nothing is
//! routed to a pod that nobody chose: an unreadable wait is none, an unreadable claim is nobody's.

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
pub struct Settings {
    /// The name of the leader Service.
    pub leader_service: String,
    /// Whether the incumbent stays while it is a candidate.
    pub sticky: bool,
    /// How long a challenger must have been Ready.
    pub min_ready: SignedDuration,
    /// How long an incumbent that is not ready is waited for.
    pub hold_down: SignedDuration,
    /// How the best is found.
    pub strategy: Strategy,
    /// Who may claim to lead.
    pub claim: Claim,
    /// Who shall lead as soon as it can.
    pub promote: Option<String>,
    /// Whether the leader Service takes the source's type.
    pub expose: bool,
    /// Labels of the source that the leader Service gets too.
    pub copy_labels: Vec<String>,
}

/// How the best candidate is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The one created first, then by name.
    Oldest,
    /// The one created last, then by name.
    Newest,
    /// The holder of this Lease.
    Lease(String),
}

/// Who may lead beside being selected.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// Every pod.
    Anybody,
    /// Those with these labels.
    Labelled(Selector),
    /// Nobody new: what the annotations say cannot be read. An incumbent stays while it is a candidate.
    Unreadable,
}

impl Claim {
    /// Whether this pod may lead, as far as the claim says. `None`: it cannot be read.
    pub fn admits(&self, pod: &Pod) -> Option<bool> {
        match self {
            Self::Anybody => Some(true),
            Self::Labelled(selector) => Some(selector.matches(&pod.label_map())),
            Self::Unreadable => None,
        }
    }
}

/// Whether the Service is one that asks for a leader.
pub fn is_enabled(service: &Service) -> bool {
    service.annotations.get(leader::ENABLED).is_some_and(|text| text == "true")
}

/// Whether a leader can be found at all: a type with pods, and a selector.
pub fn is_routable(service: &Service) -> bool {
    service.spec.type_.as_deref() != Some("ExternalName")
        && service.spec.selector.as_ref().is_some_and(|selector| !selector.is_empty())
}

impl Settings {
    /// Read the annotations of a Service of this name. Never fails: see the module.
    pub fn read(name: &str, annotations: &BTreeMap<String, String>) -> Self {
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

/// What admission would refuse, one line each: told where the webhook was away when it was written.
pub fn faults(source: &Service) -> Vec<String> {
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
