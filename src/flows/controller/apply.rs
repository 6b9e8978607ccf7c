//! Carries out the actions of a plan. Client required. Every action is safe to do twice.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job as ApiJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, DynamicObject, PostParams, Preconditions, Request};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Resource};
use serde_json::Value;

use super::{build, refusal};
use crate::flows::api::{JobFlow, ObjectRef};
use crate::flows::eval::Rendered;
use crate::flows::observed;
use crate::flows::observed::Job;
use crate::flows::observed::view::JobView;
use crate::flows::plan::{Refusal, RefusalKind};
use crate::names;

/// Creates the objects of the flow's resource templates. Those that exist and belong to the flow are taken as they are;
/// one that belongs to nobody or to somebody else is never adopted.
pub(super) async fn create_resources(
    client: &Client,
    flow: &JobFlow,
    before: Option<&Refusal>,
) -> Result<Vec<ObjectRef>, Refusal> {
    let namespace = flow.metadata.namespace.as_deref().unwrap_or_default();
    let mut references = Vec::new();
    for (kind, object) in build::resources(flow) {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let refused = |error: &kube::Error| {
            let mut refusal = refusal::read(error, before, Timestamp::now());
            refusal.message = format!("{kind} of a resource template: {}", refusal.message);
            refusal
        };
        let object: DynamicObject = serde_json::from_value(object).map_err(|error| Refusal {
            kind: RefusalKind::Invalid,
            message: format!("{kind} of a resource template: {error}"),
            at: Timestamp::now(),
            again: None,
        })?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let there = match api.create(&PostParams::default(), &object).await {
            Ok(created) => created,
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let there = api.get(&name).await.map_err(|error| refused(&error))?;
                if !is_owner(flow, &there.metadata) {
                    return Err(Refusal {
                        kind: RefusalKind::NameConflict,
                        message: format!(
                            "{kind} {name:?} exists and does not belong to the flow; rename one of them"
                        ),
                        at: Timestamp::now(),
                        again: None,
                    });
                }
                there
            }
            Err(error) => return Err(refused(&error)),
        };
        references.push(ObjectRef {
            api_version: Some("v1".to_owned()),
            kind: Some(kind.to_owned()),
            name,
            uid: there.metadata.uid,
        });
    }
    Ok(references)
}

/// Creates the Job of an attempt, or finds the one that an earlier try created.
pub(super) async fn create_job(
    client: &Client,
    flow: &JobFlow,
    step: usize,
    attempt: i64,
    name: &str,
    rendered: &Rendered,
    before: Option<&Refusal>,
) -> Result<Option<Job>, Refusal> {
    let namespace = flow.metadata.namespace.as_deref().unwrap_or_default();
    let object = build::job(flow, step, attempt, name, rendered);
    match post(client, namespace, &object).await {
        Ok(view) => Ok(Job::from_view(view)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            existing(client, flow, &object, before).await
        }
        Err(error) => Err(refusal::read(&error, before, Timestamp::now())),
    }
}

/// Posts a Job as JSON: a typed Job would drop fields that it does not know.
async fn post(client: &Client, namespace: &str, object: &Value) -> kube::Result<JobView> {
    let url = ApiJob::url_path(&(), Some(namespace));
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request =
        Request::new(url).create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
    client.request(request).await
}

/// Judges a Job that already has the name: ours from before a crash, or somebody else's.
async fn existing(
    client: &Client,
    flow: &JobFlow,
    wanted: &Value,
    before: Option<&Refusal>,
) -> Result<Option<Job>, Refusal> {
    let namespace = flow.metadata.namespace.as_deref().unwrap_or_default();
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    let api: Api<JobView> = Api::namespaced(client.clone(), namespace);
    let now = Timestamp::now();
    let view = api.get(name).await.map_err(|error| refusal::read(&error, before, now))?;
    let trouble = if !is_owner(flow, &view.metadata) {
        "does not belong to the flow"
    } else if !is_made_as(&view.metadata, wanted, may_be_older(before)) {
        "was not made by headworks for this attempt"
    } else {
        return Ok(Job::from_view(view));
    };
    Err(Refusal {
        kind: RefusalKind::NameConflict,
        message: format!("a Job {name:?} exists and {trouble}; delete it or rename the step"),
        at: now,
        again: None,
    })
}

/// Tells whether a flow controls an object. Name and UID both count: anybody could claim the UID alone.
fn is_owner(flow: &JobFlow, metadata: &ObjectMeta) -> bool {
    let known = |owner: &OwnerReference| {
        Some(&owner.name) == flow.metadata.name.as_ref() && Some(&owner.uid) == flow.metadata.uid.as_ref()
    };
    observed::owner(metadata).is_some_and(known)
}

/// Tells whether an earlier try may have created the Job although no answer came: a ConfigMap that it is made from may
/// have changed since.
fn may_be_older(before: Option<&Refusal>) -> bool {
    before.is_some_and(|before| before.kind == RefusalKind::Transient)
}

/// Tells whether a Job was made as we would make it now: for this step and attempt, and, unless it `may_be_older`, from
/// the same template. A Job without that annotation is from an older version and says nothing of its template.
fn is_made_as(metadata: &ObjectMeta, wanted: &Value, may_be_older: bool) -> bool {
    let same = |list: &str, there: Option<&BTreeMap<String, String>>, key: &str, may_lack: bool| match there
        .and_then(|there| there.get(key))
    {
        Some(there) => wanted["metadata"][list][key] == *there,
        None => may_lack,
    };
    let (labels, annotations) = (metadata.labels.as_ref(), metadata.annotations.as_ref());
    same("labels", labels, names::STEP_LABEL, false)
        && same("annotations", annotations, names::ATTEMPT_ANNOTATION, false)
        && (may_be_older || same("annotations", annotations, names::RENDERED_ANNOTATION, true))
}

/// Deletes a Job with its pods, if it still is the one with this UID.
pub(super) async fn delete_job(client: &Client, namespace: &str, name: &str, uid: &str) -> kube::Result<()> {
    let api: Api<JobView> = Api::namespaced(client.clone(), namespace);
    let meant = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
    gone(api.delete(name, &DeleteParams::background().preconditions(meant)).await.map(|_| ()))
}

/// Deletes a flow whose time to live is over; its Jobs follow by their ownerReferences.
pub(super) async fn delete_flow(client: &Client, flow: &JobFlow) -> kube::Result<()> {
    let metadata = &flow.metadata;
    let api: Api<JobFlow> =
        Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let meant = Preconditions { uid: metadata.uid.clone(), ..Preconditions::default() };
    let name = metadata.name.as_deref().unwrap_or_default();
    gone(api.delete(name, &DeleteParams::background().preconditions(meant)).await.map(|_| ()))
}

/// Accepts that the object is gone already, or that another one has its name by now.
fn gone(result: kube::Result<()>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other,
    }
}
