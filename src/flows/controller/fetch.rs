//! What has to be read for a decision, beyond what the watches bring: ConfigMaps, Secrets, objects of resource templates.
//! Client required.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};

use super::state::Cache;
use super::{apply, build, refusal};
use crate::flows::api::{JobFlow, ObjectRef};
use crate::flows::eval::{Source, Sources, Unread};
use crate::flows::plan::{Refusal, RefusalKind};

/// A ConfigMap or Secret is a small thing: who waits longer for one keeps its flow from being looked at.
const READ: Duration = Duration::from_secs(5);
/// Reads for one flow at one time.
const READS: usize = 16;
/// An error that may pass is told of when it has come this often in a row.
const TRIES: u32 = 3;

/// Data of a ConfigMap or Secret, by key.
type Data = BTreeMap<String, Vec<u8>>;

/// Read ConfigMaps and Secrets by name into `sources`. An object that does not exist is known to be absent. One that
/// cannot be read concerns the steps that want it, and nobody else: why, is in `sources` too. `cache` remembers how often
/// each could not be read for the flow of this UID.
pub(super) async fn read_sources(
    client: &Client,
    namespace: &str,
    wanted: impl IntoIterator<Item = Source>,
    (cache, flow): (&Cache, &str),
    sources: &mut Sources,
) {
    let wanted: Vec<Source> = wanted.into_iter().collect();
    let mut reads = stream::iter(wanted)
        .map(|source| async move { (read(client, namespace, &source).await, source) })
        .buffer_unordered(READS);
    while let Some((result, source)) = reads.next().await {
        match result {
            Ok(data) => {
                cache.was_read(flow, &source);
                sources.read.insert(source, data);
            }
            Err(failure) => {
                let tries = cache.not_read(flow, source.clone());
                let unread = failure.told(&source, tries);
                tracing::debug!(%source, tries, ?unread, "a source could not be read");
                sources.unread.insert(source, unread);
            }
        }
    }
}

/// The object's data; `None` if there is no such object.
async fn read(client: &Client, namespace: &str, source: &Source) -> Result<Option<Data>, Failure> {
    let reading = async {
        match source {
            Source::ConfigMap(name) => {
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                Ok(api.get_opt(name).await?.map(|object| {
                    let texts = object.data.unwrap_or_default();
                    let mut data: Data =
                        texts.into_iter().map(|(key, text)| (key, text.into_bytes())).collect();
                    let binary = object.binary_data.unwrap_or_default();
                    data.extend(binary.into_iter().map(|(key, bytes)| (key, bytes.0)));
                    data
                }))
            }
            Source::Secret(name) => {
                let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
                Ok(api.get_opt(name).await?.map(|object| {
                    let data = object.data.unwrap_or_default();
                    data.into_iter().map(|(key, bytes)| (key, bytes.0)).collect()
                }))
            }
        }
    };
    tokio::time::timeout(READ, reading).await.map_err(|_| Failure::Late)?.map_err(Failure::of)
}

/// Why an object could not be read. Never what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// A right is missing.
    Forbidden(String),
    /// It will be refused again for as long as the flow says what it says.
    Wrong(String),
    /// Overload, a broken connection: it may pass.
    Passing(String),
    /// No answer in time.
    Late,
}

impl Failure {
    fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                403 => Self::Forbidden(status.message.clone()),
                400 | 404 | 405 | 406 | 414 | 422 => Self::Wrong(status.message.clone()),
                code => Self::Passing(format!("the API server says {code} {}", status.reason)),
            },
            kube::Error::BuildRequest(error) => Self::Wrong(error.to_string()),
            // Its text may quote what could not be decoded.
            kube::Error::SerdeError(_) => Self::Wrong("the answer cannot be decoded".to_owned()),
            other => Self::Passing(other.to_string()),
        }
    }

    /// What is said of it, when it has come for the `tries`-th time in a row.
    fn told(&self, source: &Source, tries: u32) -> Unread {
        match self {
            Self::Forbidden(why) => {
                let (resource, role) = match source {
                    Source::ConfigMap(_) => ("configmaps", "headworks"),
                    Source::Secret(_) => ("secrets", "headworks-secrets"),
                };
                Unread::Reported(format!(
                    "headworks may not read {source}; grant its service account \"get\" on {resource}, as ClusterRole \
                     {role} does: {why}"
                ))
            }
            Self::Wrong(why) => Unread::Reported(format!("{source} cannot be read; correct its name: {why}")),
            Self::Passing(_) | Self::Late if tries < TRIES => Unread::Passing,
            Self::Passing(why) => {
                // Not how often: a status is not to be written with each try.
                Unread::Reported(format!("{source} could not be read and is tried again: {why}"))
            }
            Self::Late => Unread::Reported(format!(
                "{source} could not be read and is tried again: no answer within {} s",
                READ.as_secs()
            )),
        }
    }
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
                if !apply::is_owner(flow, &there.metadata) {
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

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn told(code: u16, message: &str, tries: u32) -> Unread {
        let error = kube::Error::Api(Box::new(Status::failure(message, "Reason").with_code(code)));
        Failure::of(error).told(&Source::Secret("creds".to_owned()), tries)
    }

    #[test]
    fn a_missing_right_is_told_at_once_with_its_cure() {
        let why = "secrets \"creds\" is forbidden";
        let Unread::Reported(words) = told(403, why, 1) else { panic!("not told") };
        assert_eq!(
            words,
            "headworks may not read Secret \"creds\"; grant its service account \"get\" on secrets, as ClusterRole \
             headworks-secrets does: secrets \"creds\" is forbidden"
        );
        for code in [400, 422] {
            assert!(matches!(told(code, "bad", 1), Unread::Reported(_)), "{code}");
        }
    }

    #[test]
    fn what_may_pass_is_told_of_the_third_time() {
        for code in [429, 500, 503, 504] {
            assert_eq!(told(code, "busy", 2), Unread::Passing);
            let Unread::Reported(words) = told(code, "busy", 3) else { panic!("not told") };
            assert!(
                words.ends_with(&format!("is tried again: the API server says {code} Reason")),
                "{words}"
            );
        }
        let source = Source::ConfigMap("c".to_owned());
        assert_eq!(Failure::Late.told(&source, 1), Unread::Passing);
        let words = "ConfigMap \"c\" could not be read and is tried again: no answer within 5 s";
        assert_eq!(Failure::Late.told(&source, 4), Unread::Reported(words.to_owned()));
    }

    #[test]
    fn what_could_not_be_decoded_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"hush\"").unwrap_err();
        let failure = Failure::of(kube::Error::SerdeError(error));
        assert!(!format!("{failure:?}").contains("hush"), "{failure:?}");
    }
}
