//! What a plan wants done, done. Client required. Every action is safe to do twice.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job as ApiJob;
use kube::api::{DeleteParams, PostParams, Preconditions, Request};
use kube::{Api, Client, Resource};
use serde_json::Value;

use super::{build, refusal};
use crate::api::{JobFlow, names};
use crate::flow::eval::Rendered;
use crate::flow::observed::Job;
use crate::flow::observed::view::JobView;
use crate::flow::plan::{Refusal, RefusalKind};

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
            existing(client, flow, namespace, name, before).await
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
    namespace: &str,
    name: &str,
    before: Option<&Refusal>,
) -> Result<Option<Job>, Refusal> {
    let api: Api<JobView> = Api::namespaced(client.clone(), namespace);
    let now = Timestamp::now();
    let view = api.get(name).await.map_err(|error| refusal::read(&error, before, now))?;
    let owners = view.metadata.owner_references.iter().flatten();
    let uid = flow.metadata.uid.as_deref().unwrap_or_default();
    if owners.into_iter().any(|owner| owner.uid == uid && owner.kind == names::KIND) {
        return Ok(Job::from_view(view));
    }
    Err(Refusal {
        kind: RefusalKind::NameConflict,
        message: format!(
            "a Job {name:?} exists and does not belong to the flow; delete it or rename the step"
        ),
        at: now,
        again: None,
    })
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
