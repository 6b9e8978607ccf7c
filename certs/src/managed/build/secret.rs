//! The Secret that is written.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::managed::plan::secret::State;

/// Builds the Secret to write: `known` with the new state, or a new one where there is none.
///
/// Foreign keys, labels and annotations stay, and so does the `resourceVersion` that `known` was read with: it makes the
/// write a compare-and-swap.
pub(crate) fn secret(known: Option<&Secret>, name: &str, manager: &str, state: &State) -> Secret {
    let mut secret = known.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), manager.to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    });
    state.write(&mut secret);
    secret
}
