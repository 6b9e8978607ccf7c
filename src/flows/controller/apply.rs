//! What a plan wants done, done. Client required. Every action is safe to do twice.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job as ApiJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams, Preconditions, Request};
use kube::{Api, Client, Resource};
use serde_json::Value;

use super::{build, refusal};
use crate::flows::api::JobFlow;
use crate::flows::eval::Rendered;
use crate::flows::observed;
use crate::flows::observed::Job;
use crate::flows::observed::view::JobView;
use crate::flows::plan::{Refusal, RefusalKind};
use crate::names;

/// Create the Job of an attempt, or find the one that an earlier try created.
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

/// The template goes as it is: a typed Job would drop what it does not know.
async fn post(client: &Client, namespace: &str, object: &Value) -> kube::Result<JobView> {
    let url = ApiJob::url_path(&(), Some(namespace));
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request =
        Request::new(url).create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
    client.request(request).await
}

/// A Job of that name is there: ours from before a crash, or a stranger's.
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
    let whose = if !is_owner(flow, &view.metadata) {
        "does not belong to the flow"
    } else if !is_made_as(&view.metadata, wanted, may_be_older(before)) {
        "was not made by headworks for this attempt"
    } else {
        return Ok(Job::from_view(view));
    };
    Err(Refusal {
        kind: RefusalKind::NameConflict,
        message: format!("a Job {name:?} exists and {whose}; delete it or rename the step"),
        at: now,
        again: None,
    })
}

/// Whether a flow controls an object: its UID alone could be named by anybody.
pub(super) fn is_owner(flow: &JobFlow, metadata: &ObjectMeta) -> bool {
    let known = |owner: &OwnerReference| {
        Some(&owner.name) == flow.metadata.name.as_ref() && Some(&owner.uid) == flow.metadata.uid.as_ref()
    };
    observed::owner(metadata).is_some_and(known)
}

/// Whether an earlier try may have created the Job without our hearing of it: a ConfigMap that it is made from may have
/// changed since.
fn may_be_older(before: Option<&Refusal>) -> bool {
    before.is_some_and(|before| before.kind == RefusalKind::Transient)
}

/// Whether a Job was made as we would make it now: for this step and attempt, and, unless it `may_be_older`, from the same
/// text. One from before that was written down says nothing of the text.
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

/// Delete a Job with its pods, if it is the one that is meant.
pub(super) async fn delete_job(client: &Client, namespace: &str, name: &str, uid: &str) -> kube::Result<()> {
    let api: Api<JobView> = Api::namespaced(client.clone(), namespace);
    let meant = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
    gone(api.delete(name, &DeleteParams::background().preconditions(meant)).await.map(|_| ()))
}

/// Delete a flow whose time is over; its Jobs follow by their ownerReferences.
pub(super) async fn delete_flow(client: &Client, flow: &JobFlow) -> kube::Result<()> {
    let metadata = &flow.metadata;
    let api: Api<JobFlow> =
        Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let meant = Preconditions { uid: metadata.uid.clone(), ..Preconditions::default() };
    let name = metadata.name.as_deref().unwrap_or_default();
    gone(api.delete(name, &DeleteParams::background().preconditions(meant)).await.map(|_| ()))
}

/// What is gone already, or is another of the same name, need not be deleted.
fn gone(result: kube::Result<()>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other,
    }
}
