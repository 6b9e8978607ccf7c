//! Answers the questions of `headworks leader` about a live cluster, with the decisions of the controller. Requires a
//! client.

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::plan::choose::{Held, Question};
use super::plan::incumbent::Incumbent;
use super::plan::key::Key;
use super::plan::model::{Lease, Node, Pod, Rival, Service, Slice};
use super::plan::settings;
use super::plan::settings::{Claim, Settings, Strategy};
use super::plan::{leader_service, rivals, view};
use crate::names;
use crate::names::leader;

pub use super::plan::choose::Eligibility;
pub use super::plan::status::Status;

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Kube(Box<kube::Error>),
    /// There is no such Service.
    #[error("there is no Service {0}")]
    NoService(String),
    /// The Service does not ask for a leader.
    #[error("Service {0} has no leader: it is not annotated zen-lead.io/enabled: \"true\"")]
    NotEnabled(String),
    /// The Service selects no such pod.
    #[error("pod {0} is not among the pods that the Service selects")]
    NoPod(String),
    /// The holder of a Lease leads, so nobody can be promoted.
    #[error("the holder of Lease {0} leads: nobody else can be promoted")]
    LeaseDecides(String),
}

impl From<kube::Error> for InspectError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// One Service that asks for a leader.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Its leader Service.
    pub leader_service: String,
    /// Its status; absent until the controller has written it.
    pub status: Option<Status>,
}

/// Everything about one Service.
#[derive(Clone, Debug)]
pub struct Why {
    /// Its leader Service.
    pub leader_service: String,
    /// The pod that leads, according to the slice.
    pub leader: Option<String>,
    /// The epoch of the slice.
    pub epoch: u64,
    /// The status that the controller wrote.
    pub status: Option<Status>,
    /// The pod that would lead if the leader went away now.
    pub standby: Option<String>,
    /// The pod that the controller would choose now, if that is another one.
    pub chosen: Option<String>,
    /// Every selected pod, and the reason why it may or may not lead.
    pub pods: Vec<(String, Eligibility)>,
    /// The faults of the annotations and the spec.
    pub faults: Vec<String>,
    /// The Lease whose holder leads.
    pub lease: Option<LeaseSeen>,
    /// The slices of others that route the leader Service too: one line each.
    pub conflicts: Vec<String>,
    /// The annotations that say who may lead cannot be read.
    pub unreadable: bool,
}

/// A Lease that was read a single time. Only a watch can tell whether it is still renewed.
#[derive(Clone, Debug)]
pub struct LeaseSeen {
    /// Its name.
    pub name: String,
    /// Its `holderIdentity`.
    pub holder: Option<String>,
    /// The last renewal, by the holder's clock.
    pub renewed: Option<Timestamp>,
    /// The time for which it is held after each renewal.
    pub duration: Option<SignedDuration>,
}

async fn all<K>(api: &Api<K>, params: ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut found = Vec::new();
    let mut params = params.limit(500);
    loop {
        let page = api.list(&params).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Lists the Services that ask for a leader, in this namespace or in all.
pub async fn list(client: Client, namespace: Option<&str>) -> Result<Vec<Row>, InspectError> {
    let api: Api<view::Service> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let services = all(&api, ListParams::default()).await?.into_iter().map(Service::from);
    let enabled = services.filter(settings::is_enabled);
    Ok(enabled
        .map(|service| Row {
            namespace: service.meta.key.namespace.to_string(),
            leader_service: Settings::read(&service.meta.key.name, &service.annotations).leader_service,
            status: Status::read(service.annotations.get(leader::STATUS)),
            service: service.meta.key.name.to_string(),
        })
        .collect())
}

async fn source(client: &Client, namespace: &str, name: &str) -> Result<Service, InspectError> {
    let api: Api<view::Service> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await?.ok_or_else(|| InspectError::NoService(name.to_owned()))?;
    let service = Service::from(found);
    if settings::is_enabled(&service) { Ok(service) } else { Err(InspectError::NotEnabled(name.to_owned())) }
}

async fn selected(client: &Client, service: &Service) -> Result<Vec<Pod>, InspectError> {
    let selector = service.spec.selector.iter().flatten();
    let selector: Vec<String> = selector.map(|(key, value)| format!("{key}={value}")).collect();
    if selector.is_empty() {
        return Ok(Vec::new());
    }
    let api: Api<view::Pod> = Api::namespaced(client.clone(), &service.meta.key.namespace);
    let pods = all(&api, ListParams::default().labels(&selector.join(","))).await?;
    Ok(pods.into_iter().map(Pod::from).collect())
}

/// Explains one Service, decided from the objects that are there now.
pub async fn why(
    client: Client,
    namespace: &str,
    name: &str,
    node_grace: SignedDuration,
) -> Result<Why, InspectError> {
    let service = source(&client, namespace, name).await?;
    let settings = Settings::read(name, &service.annotations);
    let pods = selected(&client, &service).await?;
    let family = leader_service::families(&service)[0];
    let slices: Api<view::Slice> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{}={name}", leader::SOURCE));
    let slices: Vec<Slice> = all(&slices, ours).await?.into_iter().map(Slice::from).collect();
    let written = Incumbent::read(None, slices.iter(), std::iter::empty(), Some(family));
    let leader_service = Key::new(namespace, settings.leader_service.as_str());
    let rivals = rivals_of(&client, &leader_service).await?;
    let lease = match &settings.strategy {
        Strategy::Lease(name) => Some((name.clone(), lease(&client, namespace, name).await?)),
        Strategy::Oldest | Strategy::Newest => None,
    };
    let nodes = nodes(client).await;
    let seen: Vec<&Pod> = pods.iter().collect();
    let question = Question {
        settings: &settings,
        family,
        pods: &seen,
        incumbent: written.pod.as_ref().map(|(_, uid)| uid.as_str()),
        down: &|node| nodes.iter().find(|one| *one.name == *node)?.down,
        node_grace,
        lease: lease.as_ref().and_then(|(_, lease)| held(lease.as_ref()?)),
        now: Timestamp::now(),
    };
    let answer = question.answer();
    let leader = written.pod.as_ref().map(|(name, _)| name.clone());
    let chosen = answer.leader.map(|leader| leader.pod.meta.key.name.to_string());
    Ok(Why {
        leader_service: settings.leader_service.clone(),
        epoch: written.epoch,
        conflicts: rivals::conflicts(&leader_service, rivals.iter()),
        status: Status::read(service.annotations.get(leader::STATUS)),
        standby: answer.standby.map(|pod| pod.meta.key.name.to_string()),
        chosen: chosen.filter(|name| Some(name) != leader.as_ref()),
        leader,
        pods: pods.iter().map(|pod| (pod.meta.key.name.to_string(), question.eligibility(pod))).collect(),
        faults: settings::faults(&service),
        unreadable: settings.claim == Claim::Unreadable,
        lease: lease.map(|(name, lease)| LeaseSeen::of(name, lease)),
    })
}

async fn lease(client: &Client, namespace: &str, name: &str) -> Result<Option<Lease>, kube::Error> {
    let api: Api<view::Lease> = Api::namespaced(client.clone(), namespace);
    Ok(api.get_opt(name).await?.map(Lease::from))
}

/// The holder of a Lease as if it were still renewed, which reading it a single time cannot tell.
fn held(lease: &Lease) -> Option<Held<'_>> {
    lease.duration?;
    Some(Held { holder: lease.holder.as_deref()?, until: Timestamp::MAX })
}

impl LeaseSeen {
    fn of(name: String, lease: Option<Lease>) -> Self {
        Self {
            name,
            renewed: lease.as_ref().and_then(|lease| lease.renewed.or(lease.acquired)),
            duration: lease.as_ref().and_then(|lease| lease.duration),
            holder: lease.and_then(|lease| lease.holder),
        }
    }
}

/// All nodes, or none where the user may not list them: everything else can still be explained.
async fn nodes(client: Client) -> Vec<Node> {
    let api: Api<view::Node> = Api::all(client);
    all(&api, ListParams::default()).await.unwrap_or_default().into_iter().map(Node::from).collect()
}

/// The slices of other programs for this Service.
async fn rivals_of(client: &Client, service: &Key) -> Result<Vec<Rival>, InspectError> {
    let api: Api<view::Outsider> = Api::namespaced(client.clone(), &service.namespace);
    let (named, managed) = (leader::SLICE_SERVICE, leader::SLICE_MANAGED_BY);
    let others = format!("{named}={},{managed}!={}", service.name, names::HEADWORKS);
    let found = all(&api, ListParams::default().labels(&others)).await?;
    Ok(found.iter().filter_map(Rival::of).collect())
}

/// Asks for a planned switchover to a pod. The answer says whether it may lead immediately.
pub async fn promote(
    client: Client,
    namespace: &str,
    name: &str,
    pod: &str,
) -> Result<Eligibility, InspectError> {
    let service = source(&client, namespace, name).await?;
    let settings = Settings::read(name, &service.annotations);
    if let Strategy::Lease(lease) = settings.strategy {
        return Err(InspectError::LeaseDecides(lease));
    }
    let pods = selected(&client, &service).await?;
    let Some(found) = pods.iter().find(|one| *one.meta.key.name == *pod) else {
        return Err(InspectError::NoPod(pod.to_owned()));
    };
    let question = Question {
        settings: &settings,
        family: leader_service::families(&service)[0],
        pods: &[],
        incumbent: None,
        down: &|_| None,
        node_grace: SignedDuration::ZERO,
        lease: None,
        now: Timestamp::now(),
    };
    let eligibility = question.eligibility(found);
    let patch = json!({"metadata": {"annotations": {leader::PROMOTE: pod}}});
    let api: Api<view::Service> = Api::namespaced(client, namespace);
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(eligibility)
}
