//! Client required: the Jobs of a flow's steps, and their pods.

use headworks::flows::api::JobFlow;
use headworks::flows::job_name::is_job_name;
use headworks::flows::observed::owner;
use headworks::names::{ATTEMPT_ANNOTATION, FLOW_LABEL, MANAGED_BY, MANAGED_BY_LABEL, MAX_LABEL, STEP_LABEL};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;

use super::cluster::Cluster;

/// The label that the Job controller puts on the pods of a Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// An attempt at a step: a Job.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) step: String,
    /// Counted from 1.
    pub(crate) number: i64,
    pub(crate) job: Job,
}

/// The Jobs that are there of a flow, or of one of its steps; by step, then by attempt.
pub(crate) async fn attempts(
    cluster: &Cluster,
    flow: &JobFlow,
    step: Option<&str>,
) -> anyhow::Result<Vec<Attempt>> {
    let name = flow.metadata.name.as_deref().unwrap_or_default();
    let mut labels = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
    // A longer name is cut and hashed in the label: the owner tells then.
    if name.len() <= MAX_LABEL {
        labels += &format!(",{FLOW_LABEL}={name}");
    }
    if let Some(step) = step {
        labels += &format!(",{STEP_LABEL}={step}");
    }
    let jobs = cluster.api::<Job>();
    let list = cluster.call(jobs.list(&ListParams::default().labels(&labels))).await?;
    let mut attempts: Vec<Attempt> = list.items.into_iter().filter_map(|job| attempt(job, flow)).collect();
    attempts.sort_by(|a, b| (&a.step, a.number).cmp(&(&b.step, b.number)));
    Ok(attempts)
}

/// Reads step and attempt from a Job. They are believed only if its name, which headworks derives from them, agrees.
fn attempt(job: Job, flow: &JobFlow) -> Option<Attempt> {
    // A flow of this name that was deleted may have left Jobs that are on their way out.
    let (name, uid) = (flow.metadata.name.as_deref()?, flow.metadata.uid.as_deref()?);
    owner(&job.metadata).filter(|owner| owner.name == name && owner.uid == uid)?;
    let step = job.metadata.labels.as_ref()?.get(STEP_LABEL)?.clone();
    let number = job.metadata.annotations.as_ref()?.get(ATTEMPT_ANNOTATION)?.parse().ok()?;
    is_job_name(job.metadata.name.as_deref()?, uid, &step, number).then_some(Attempt { step, number, job })
}

/// True if the Job of this name and UID controls a pod.
fn is_owned(pod: &ObjectMeta, name: &str, uid: &str) -> bool {
    let mut owners = pod.owner_references.iter().flatten().filter(|owner| owner.controller == Some(true));
    owners.any(|owner| owner.kind == "Job" && owner.name == name && owner.uid == uid)
}

/// The pods of a Job, oldest first.
pub(crate) async fn pods(cluster: &Cluster, job: &Job) -> anyhow::Result<Vec<Pod>> {
    let (Some(name), Some(uid)) = (&job.metadata.name, &job.metadata.uid) else { return Ok(Vec::new()) };
    let params = ListParams::default().labels(&format!("{JOB_NAME}={name}"));
    let mut pods = cluster.call(cluster.api::<Pod>().list(&params)).await?.items;
    pods.retain(|pod| is_owned(&pod.metadata, name, uid));
    pods.sort_by(|a, b| {
        let key = |pod: &Pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone());
        key(a).cmp(&key(b))
    });
    Ok(pods)
}
