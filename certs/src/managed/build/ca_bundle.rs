//! The server-side apply that sets `caBundle`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::managed::plan::configuration::Configuration;

/// Builds the apply that gives every webhook of a configuration this bundle, and contains nothing else.
///
/// It carries `resourceVersion` and `uid`: an apply that comes late is refused with a plain conflict (409). Without them
/// the API server would try to create the webhook entry or the configuration that has been deleted meanwhile.
pub(crate) fn apply(configuration: &Configuration, bundle_pem: &str) -> Value {
    let Configuration { reference, uid, version, webhooks, .. } = configuration;
    let resource = reference.kind.resource();
    let bundle = STANDARD.encode(bundle_pem);
    let webhooks: Vec<_> = webhooks
        .iter()
        .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": reference.name, "uid": uid, "resourceVersion": version},
        "webhooks": webhooks,
    })
}
