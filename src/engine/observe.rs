//! What has to be read for a decision, beyond what the watches bring: ConfigMaps, Secrets, objects of resource templates.
//! Client required.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};

use super::{build, refusal};
use crate::api::{JobFlow, ObjectRef};
use crate::flow::eval::{Source, Sources};
use crate::flow::plan::{Refusal, RefusalKind};

/// Read ConfigMaps and Secrets by name into `sources`. An object that does not exist is known to be absent; any other
/// error is the caller's.
pub(super) async fn read_sources(
    client: &Client,
    namespace: &str,
    wanted: impl IntoIterator<Item = Source>,
    sources: &mut Sources,
) -> kube::Result<()> {
    for source in wanted {
        let data = match &source {
            Source::ConfigMap(name) => {
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                api.get_opt(name).await?.map(|object| {
                    let texts = object.data.unwrap_or_default();
                    let mut data: BTreeMap<String, Vec<u8>> =
                        texts.into_iter().map(|(key, text)| (key, text.into_bytes())).collect();
                    let binary = object.binary_data.unwrap_or_default();
                    data.extend(binary.into_iter().map(|(key, bytes)| (key, bytes.0)));
                    data
                })
            }
            Source::Secret(name) => {
                let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
                api.get_opt(name).await?.map(|object| {
                    let data = object.data.unwrap_or_default();
                    data.into_iter().map(|(key, bytes)| (key, bytes.0)).collect()
                })
            }
        };
        sources.0.insert(source, data);
    }
    Ok(())
}

/// What the Job controller last said of pods that it could not create for a Job.
pub(super) async fn read_complaint(
    client: &Client,
    namespace: &str,
    job: &str,
) -> kube::Result<Option<String>> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = format!("involvedObject.uid={job},reason=FailedCreate");
    let mut events = api.list(&ListParams::default().fields(&about)).await?.items;
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    Ok(events.pop().and_then(|event| event.message))
}

/// Create the objects of the flow's resource templates. Those that are there and belong to the flow are taken as they
/// are; one that belongs to nobody or to somebody else is never adopted.
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
                let owners = there.metadata.owner_references.iter().flatten();
                let uid = flow.metadata.uid.as_deref().unwrap_or_default();
                if !owners.into_iter().any(|owner| owner.uid == uid) {
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
