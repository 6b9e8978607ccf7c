//! Webhook configurations, as far as `caBundle` goes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::core::{ApiResource, DynamicObject};
use serde_json::Value;

use crate::bundle::Bundle;
use crate::pair::Pair;

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

/// A configuration on the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Its kind and name.
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
    /// Returns group, version, kind and plural.
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
    /// Reads a configuration leniently: a field of an unexpected type counts as unset.
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

    /// Returns true if every webhook has exactly this bundle.
    pub fn carries(&self, bundle_pem: &str) -> bool {
        self.webhooks.iter().all(|(_, bundle)| bundle == bundle_pem.as_bytes())
    }

    /// Checks that the API server, calling any of these webhooks now, would accept `pair` as `name`.
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
