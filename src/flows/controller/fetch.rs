//! Reads what a plan needs and no watch brings: ConfigMaps, Secrets, complaints of the Job controller. Client required.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::ListParams;
use kube::{Api, Client};

use super::state::Cache;
use crate::flows::eval::{Source, Sources, Unread};

/// The longest wait for a ConfigMap or Secret. They are small: a longer wait would only hold up the whole flow.
const READ: Duration = Duration::from_secs(5);
/// Reads of one flow that run at the same time.
const READS: usize = 16;
/// A transient error is reported once it has come this often in a row.
const TRIES: u32 = 3;

/// The data of a ConfigMap or Secret, by key.
type Data = BTreeMap<String, Vec<u8>>;

/// Reads ConfigMaps and Secrets by name into `sources`. An object that does not exist is known to be absent. One that
/// cannot be read holds up the steps that want it and no others; the reason is in `sources` too. `cache` counts how often
/// each could not be read for the flow of this id.
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
                let unread = failure.report(&source, tries);
                tracing::debug!(%source, tries, ?unread, "a source could not be read");
                sources.unread.insert(source, unread);
            }
        }
    }
}

/// Returns the object's data; `None` if there is no such object.
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

/// The cause of a failed read. It never holds the object's content.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// A right is missing.
    Forbidden(String),
    /// It will be refused again for as long as the flow is not changed.
    Wrong(String),
    /// Overload, a broken connection: a retry may succeed.
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

    /// Returns what the status says of it, when it has come for the `tries`-th time in a row.
    fn report(&self, source: &Source, tries: u32) -> Unread {
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
                // Without the number of tries, or each try would be a status write.
                Unread::Reported(format!("{source} could not be read and is tried again: {why}"))
            }
            Self::Late => Unread::Reported(format!(
                "{source} could not be read and is tried again: no answer within {} s",
                READ.as_secs()
            )),
        }
    }
}

/// Reads the Job controller's last message about pods that it could not create for a Job.
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

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn report(code: u16, message: &str, tries: u32) -> Unread {
        let error = kube::Error::Api(Box::new(Status::failure(message, "Reason").with_code(code)));
        Failure::of(error).report(&Source::Secret("creds".to_owned()), tries)
    }

    #[test]
    fn a_missing_right_is_reported_immediately_with_its_fix() {
        let why = "secrets \"creds\" is forbidden";
        let Unread::Reported(words) = report(403, why, 1) else { panic!("not told") };
        assert_eq!(
            words,
            "headworks may not read Secret \"creds\"; grant its service account \"get\" on secrets, as ClusterRole \
             headworks-secrets does: secrets \"creds\" is forbidden"
        );
        for code in [400, 422] {
            assert!(matches!(report(code, "bad", 1), Unread::Reported(_)), "{code}");
        }
    }

    #[test]
    fn a_transient_error_is_reported_the_third_time() {
        for code in [429, 500, 503, 504] {
            assert_eq!(report(code, "busy", 2), Unread::Passing);
            let Unread::Reported(words) = report(code, "busy", 3) else { panic!("not told") };
            assert!(
                words.ends_with(&format!("is tried again: the API server says {code} Reason")),
                "{words}"
            );
        }
        let source = Source::ConfigMap("c".to_owned());
        assert_eq!(Failure::Late.report(&source, 1), Unread::Passing);
        let words = "ConfigMap \"c\" could not be read and is tried again: no answer within 5 s";
        assert_eq!(Failure::Late.report(&source, 4), Unread::Reported(words.to_owned()));
    }

    #[test]
    fn what_could_not_be_decoded_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"hush\"").unwrap_err();
        let failure = Failure::of(kube::Error::SerdeError(error));
        assert!(!format!("{failure:?}").contains("hush"), "{failure:?}");
    }
}
