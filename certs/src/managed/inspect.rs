//! Client required: inspects the certificates for people.
//!
//! It only reads, and keeps only the public part of the Secret. A user who may not read the Secret still sees the rest.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde::Serialize;

use crate::bundle::Bundle;
use crate::facts::Facts;
use crate::managed::apply::{Api, ApiError};
use crate::managed::config::ManagedConfig;
use crate::managed::fetch;
use crate::managed::plan::configuration::Configuration;
use crate::managed::plan::judge::renewal;
use crate::managed::plan::notary::{Notary, X509};
use crate::managed::plan::secret::{Material, Phase, State};

/// A rotation that stays in one phase for longer is reported as a problem.
const STUCK: SignedDuration = SignedDuration::from_hours(1);

/// State of the certificates, replicas and webhooks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Time of the inspection.
    pub now: Timestamp,
    /// Public part of the Secret. `None`: see `problems`.
    pub secret: Option<SecretInfo>,
    /// The replicas, by pod.
    pub replicas: Vec<ReplicaInfo>,
    /// The published bundles, by webhook.
    pub published: Vec<WebhookInfo>,
    /// Problems, a sentence each. Empty: all is well.
    pub problems: Vec<String>,
}

/// The public part of the Secret.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretInfo {
    /// `stable`, `staged`, `published`, `activated` or `confirmed`.
    pub phase: &'static str,
    /// Time at which it entered the phase.
    pub phase_since: Option<Timestamp>,
    /// The leaf that every replica should serve.
    pub leaf: Option<CertInfo>,
    /// The CA that signed it.
    pub ca: Option<CertInfo>,
    /// The next CA.
    pub next_ca: Option<CertInfo>,
    /// The next step.
    pub next_step: String,
    /// Time at which that is due, if it depends on time.
    pub next_due: Option<Timestamp>,
}

/// A certificate, for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertInfo {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid to.
    pub not_after: Timestamp,
}

/// A replica and the certificate it serves.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaInfo {
    /// Its pod.
    pub pod: String,
    /// True if it is behind the Service, and ready; `None`: not behind it.
    pub ready: Option<bool>,
    /// The serial it reports.
    pub serial: Option<String>,
}

/// A webhook's caBundle.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookInfo {
    /// Kind and name of its configuration.
    pub configuration: String,
    /// Its name.
    pub webhook: String,
    /// CAs that it trusts.
    pub trusts: Vec<CertInfo>,
    /// True if it is the bundle of the Secret. `None`: the Secret cannot be read.
    pub right: Option<bool>,
}

impl From<Facts> for CertInfo {
    fn from(Facts { serial, not_before, not_after, .. }: Facts) -> Self {
        Self { serial, not_before, not_after }
    }
}

/// Reads everything once.
///
/// # Errors
/// [`ApiError`] if a configuration, the Leases or the slices cannot be read. A Secret that cannot be read is one of the
/// reported problems.
pub async fn inspect(client: Client, config: &ManagedConfig, now: Timestamp) -> Result<Inspection, ApiError> {
    let api = Api::new(client, config);
    let mut problems = Vec::new();
    let state = match api.get_secret().await {
        Ok(Some(secret)) => Some(State::read(&secret)).filter(|state| !state.is_empty()),
        Ok(None) => None,
        Err(error) => {
            problems.push(format!(
                "the Secret {} cannot be read, so phase and next step are not known: {error}",
                config.secret
            ));
            None
        }
    };
    if state.is_none() && problems.is_empty() {
        problems.push(format!(
            "there is no certificate in the Secret {} of {}: is headworks running there, in managed mode?",
            config.secret, config.names.namespace
        ));
    }
    let mut published = Vec::new();
    for reference in config.configurations() {
        match api.get_configuration(&reference).await? {
            Some(object) => {
                let read = Configuration::read(reference, &object);
                published.extend(webhooks(&read, state.as_ref(), now));
            }
            None => problems.push(format!("there is no {reference}: nobody asks headworks")),
        }
    }
    let list = fetch::replicas(&api).await?;
    let pods: BTreeSet<_> = list.reports.keys().chain(list.endpoints.keys()).cloned().collect();
    let replicas: Vec<_> = pods
        .into_iter()
        .map(|pod| ReplicaInfo {
            ready: list.endpoints.get(&pod).copied(),
            serial: list.reports.get(&pod).cloned(),
            pod,
        })
        .collect();
    let secret = state.as_ref().map(|state| secret(state, config, now));
    problems.extend(find(secret.as_ref(), &replicas, &published, now));
    Ok(Inspection { now, secret, replicas, published, problems })
}

fn webhooks<'a>(
    configuration: &'a Configuration,
    state: Option<&State>,
    now: Timestamp,
) -> impl Iterator<Item = WebhookInfo> + 'a {
    let wanted = state.map(|state| state.bundle_at(now).to_pem());
    configuration.webhooks.iter().map(move |(webhook, bundle)| WebhookInfo {
        configuration: configuration.reference.to_string(),
        webhook: webhook.clone(),
        trusts: Bundle::of([bundle.as_slice()], now).facts().into_iter().map(CertInfo::from).collect(),
        right: wanted.as_ref().map(|wanted| wanted.as_bytes() == bundle),
    })
}

fn secret(state: &State, config: &ManagedConfig, now: Timestamp) -> SecretInfo {
    let info = |material: &Option<Material>| {
        material.as_ref().and_then(|one| X509.facts(&one.cert).ok()).map(CertInfo::from)
    };
    let (next_step, next_due) = next(state, config, now);
    SecretInfo {
        phase: state.phase.as_str(),
        phase_since: state.phase_since,
        leaf: info(&state.leaf),
        ca: info(&state.ca),
        next_ca: info(&state.next_ca),
        next_step,
        next_due,
    }
}

/// Returns the next step, and when it is due. Configured lifetimes do not matter: each certificate carries its own.
fn next(state: &State, config: &ManagedConfig, now: Timestamp) -> (String, Option<Timestamp>) {
    let due = |material: &Option<Material>| {
        let facts = material.as_ref().and_then(|one| X509.facts(&one.cert).ok())?;
        renewal(&facts, config.lifetimes.backdate)
    };
    match state.phase {
        Phase::Stable => match (due(&state.leaf), due(&state.ca)) {
            (leaf, Some(ca)) if leaf.is_none_or(|leaf| ca < leaf) => {
                ("stage another CA".to_owned(), Some(ca))
            }
            (leaf, _) => ("renew the certificate".to_owned(), leaf),
        },
        Phase::Staged => ("publish the next CA".to_owned(), Some(now)),
        Phase::Published => {
            let wait = SignedDuration::try_from(config.publish_wait).unwrap_or_default();
            let at = state.published.as_ref().and_then(|published| published.at.checked_add(wait).ok());
            ("activate the next certificate".to_owned(), at)
        }
        Phase::Activated => {
            ("retire the old CA when every replica serves the new certificate".to_owned(), None)
        }
        Phase::Confirmed => ("retire the old CA".to_owned(), Some(now)),
    }
}

/// Finds the problems.
fn find(
    secret: Option<&SecretInfo>,
    replicas: &[ReplicaInfo],
    published: &[WebhookInfo],
    now: Timestamp,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(secret) = secret {
        match &secret.leaf {
            None => problems.push("the certificate in the Secret cannot be read".to_owned()),
            Some(leaf) if leaf.not_after < now => {
                problems.push(format!("the certificate {} expired at {}", leaf.serial, leaf.not_after));
            }
            Some(_) => {}
        }
        if secret.ca.is_none() {
            problems.push("the CA in the Secret cannot be read".to_owned());
        }
        if let Some(since) = secret.phase_since.filter(|_| secret.phase != "stable")
            && now.duration_since(since) > STUCK
        {
            problems.push(format!("the rotation has been {} since {since}", secret.phase));
        }
    }
    let ready = || replicas.iter().filter(|replica| replica.ready == Some(true));
    if ready().next().is_none() {
        problems.push("no replica is ready".to_owned());
    }
    let wanted = secret.and_then(|secret| secret.leaf.as_ref()).map(|leaf| &leaf.serial);
    for ReplicaInfo { pod, serial, .. } in ready() {
        match serial {
            None => problems.push(format!("{pod} does not report which certificate it serves")),
            Some(serial) if wanted.is_some_and(|wanted| wanted != serial) => {
                problems.push(format!("{pod} serves {serial}, which is not the current certificate"));
            }
            Some(_) => {}
        }
    }
    for WebhookInfo { configuration, webhook, trusts, right } in published {
        if trusts.is_empty() {
            problems.push(format!("webhook {webhook} of {configuration} trusts nobody"));
        } else if *right == Some(false) {
            problems
                .push(format!("webhook {webhook} of {configuration} has another caBundle than it should"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_reported() {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let hours = |hours| now + SignedDuration::from_hours(hours);
        let cert = |serial: &str, not_after| CertInfo {
            serial: serial.to_owned(),
            not_before: hours(-9),
            not_after,
        };
        let secret = SecretInfo {
            phase: "activated",
            phase_since: Some(hours(-2)),
            leaf: Some(cert("1", hours(-1))),
            ca: None,
            next_ca: None,
            next_step: String::new(),
            next_due: None,
        };
        let replica = |pod: &str, ready, serial: Option<&str>| ReplicaInfo {
            pod: pod.to_owned(),
            ready,
            serial: serial.map(str::to_owned),
        };
        let webhook = |webhook: &str, trusts: Vec<CertInfo>, right| WebhookInfo {
            configuration: "c".to_owned(),
            webhook: webhook.to_owned(),
            trusts,
            right: Some(right),
        };
        let replicas = [
            replica("a", Some(true), Some("1")),
            replica("b", Some(true), None),
            replica("c", Some(true), Some("2")),
            replica("d", Some(false), None),
        ];
        let ca = || vec![cert("9", hours(9))];
        let published = [webhook("w", ca(), true), webhook("x", ca(), false), webhook("y", vec![], false)];
        assert_eq!(
            find(Some(&secret), &replicas, &published, now),
            [
                "the certificate 1 expired at 2029-12-31T23:00:00Z",
                "the CA in the Secret cannot be read",
                "the rotation has been activated since 2029-12-31T22:00:00Z",
                "b does not report which certificate it serves",
                "c serves 2, which is not the current certificate",
                "webhook x of c has another caBundle than it should",
                "webhook y of c trusts nobody",
            ]
        );
        assert_eq!(find(None, &[], &[], now), ["no replica is ready"]);
    }
}
