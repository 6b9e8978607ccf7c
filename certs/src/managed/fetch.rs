//! Client required: fetches what no watch keeps: the replicas and what they report.

use kube::api::ListParams;

use crate::managed::apply::{Api, ApiError};
use crate::managed::build::lease::{REPORT_LABEL, SECRET_ANNOTATION, SERIAL_ANNOTATION};
use crate::managed::plan::replicas::ReplicaList;

/// Lists the pods behind the Service and the reports of replicas.
pub(crate) async fn replicas(api: &Api) -> Result<ReplicaList, ApiError> {
    let (label, value) = REPORT_LABEL;
    let leases = ListParams::default().labels(&format!("{label}={value}"));
    let slices = ListParams::default().labels(&format!("kubernetes.io/service-name={}", api.service));
    // In this order: a replica that comes between the two calls has reported before it is ready.
    let slices = api.in_time(api.slices.list(&slices)).await?;
    let leases = api.in_time(api.leases.list(&leases)).await?;
    let mut list = ReplicaList::default();
    for endpoint in slices.items.into_iter().flat_map(|slice| slice.endpoints) {
        let conditions = endpoint.conditions.unwrap_or_default();
        // As `EndpointConditions` documents it: an unset `ready` counts as true.
        let answers = conditions.ready.unwrap_or(true) || conditions.serving.unwrap_or(false);
        let pod = endpoint.target_ref.and_then(|target| target.name);
        let name = pod.or_else(|| endpoint.addresses.into_iter().next()).unwrap_or_default();
        *list.endpoints.entry(name).or_default() |= answers;
    }
    for lease in leases.items {
        let annotation = |key| lease.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        let pod = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        if annotation(SECRET_ANNOTATION).as_ref() == Some(&api.secret)
            && let (Some(pod), Some(serial)) = (pod, annotation(SERIAL_ANNOTATION))
        {
            list.reports.insert(pod, serial);
        }
    }
    Ok(list)
}
