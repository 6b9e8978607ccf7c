//! PURE: the webhook configurations, as far as `caBundle` goes, and the apply that sets it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use crate::{Bundle, Pair};

/// The two kinds that carry a `caBundle` for webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigurationKind {
    /// `ValidatingWebhookConfiguration`
    Validating,
    /// `MutatingWebhookConfiguration`
    Mutating,
}

/// One webhook configuration by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigurationRef {
    /// Its kind.
    pub kind: ConfigurationKind,
    /// Its name.
    pub name: String,
}

/// A configuration as it is on the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Which one.
    pub reference: ConfigurationRef,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `metadata.generation`: counts the changes of its webhooks.
    pub generation: i64,
    /// Name and `caBundle` (decoded, empty where unset) of each webhook.
    pub webhooks: Vec<(String, Vec<u8>)>,
}

impl ConfigurationKind {
    /// Group, version, kind and plural.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
            Self::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        }
    }
}

impl std::fmt::Display for ConfigurationRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.resource().kind, self.name)
    }
}

impl Configuration {
    /// Reads it leniently: what is not as the API says counts as unset.
    pub fn read(reference: ConfigurationRef, object: &DynamicObject) -> Self {
        let webhooks = object.data.get("webhooks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Self {
            reference,
            uid: object.metadata.uid.clone().unwrap_or_default(),
            version: object.metadata.resource_version.clone().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            webhooks: webhooks
                .iter()
                .filter_map(|webhook| {
                    let name = webhook.get("name")?.as_str()?.to_owned();
                    let bundle = webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str);
                    Some((name, bundle.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()))
                })
                .collect(),
        }
    }

    /// Every webhook of it has exactly this bundle.
    pub fn carries(&self, bundle_pem: &str) -> bool {
        self.webhooks.iter().all(|(_, bundle)| bundle == bundle_pem.as_bytes())
    }

    /// The server-side apply that gives every webhook this bundle, and says nothing else.
    ///
    /// It carries `resourceVersion` and `uid`: an apply that comes late is refused with a plain conflict (409), where
    /// otherwise it would try to make the webhook or the configuration that is gone anew.
    pub fn apply(&self, bundle_pem: &str) -> Value {
        let resource = self.reference.kind.resource();
        let bundle = STANDARD.encode(bundle_pem);
        let webhooks: Vec<_> = self
            .webhooks
            .iter()
            .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": self.reference.name, "uid": self.uid, "resourceVersion": self.version},
            "webhooks": webhooks,
        })
    }

    /// The API server, calling any of these webhooks now, would accept `pair` as `name`.
    pub(crate) fn trusts(&self, pair: &Pair, name: &str, now: Timestamp) -> Result<(), String> {
        for (webhook, bundle) in &self.webhooks {
            let at = |reason| format!("webhook `{webhook}` of {}: {reason}", self.reference);
            if bundle.is_empty() {
                return Err(at("no caBundle yet".to_owned()));
            }
            Bundle::of([bundle.as_slice()], now).verify(pair.chain(), name, now).map_err(at)?;
        }
        Ok(())
    }
}
