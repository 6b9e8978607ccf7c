//! Configuration of managed mode.

use std::time::Duration;

use crate::issue::Lifetimes;
use crate::managed::plan::configuration::{ConfigurationKind, ConfigurationRef};
use crate::names::ServiceNames;

/// Objects, names and times that managed mode works with.
#[derive(Clone, Debug)]
pub struct ManagedConfig {
    /// Name of the Secret, in the namespace of the Service.
    pub secret: String,
    /// The Service whose names the leaf carries.
    pub names: ServiceNames,
    /// Names of the `ValidatingWebhookConfiguration`s to publish into.
    pub validating: Vec<String>,
    /// Names of the `MutatingWebhookConfiguration`s to publish into.
    pub mutating: Vec<String>,
    /// Lifetimes of the certificates it makes.
    pub lifetimes: Lifetimes,
    /// Time that a bundle is published before a leaf needs it, so that every API server has seen it: 30 seconds.
    pub publish_wait: Duration,
    /// The pod of this process, in whose name it reports the certificate it serves. `None`: it is no pod, and reports
    /// nothing.
    pub replica: Option<ReplicaRef>,
    /// Field manager of every write.
    pub field_manager: String,
    /// Interval at which everything is read anew and reconciled even if no watch reports a change: 1 minute.
    pub tick: Duration,
    /// Longest time that a call to the API server may take: 10 seconds (kube itself sets no limit).
    pub timeout: Duration,
}

/// A pod, as the owner of its report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRef {
    /// Its name.
    pub pod: String,
    /// Its UID. With it the report is owned by the pod, and is deleted with it.
    pub uid: Option<String>,
}

impl ReplicaRef {
    /// Returns the name of the Lease that it reports in.
    pub fn lease(&self) -> String {
        format!("{}.certificate", self.pod)
    }
}

impl ManagedConfig {
    /// Creates a configuration with the defaults, and no webhook configuration yet.
    pub fn new(secret: impl Into<String>, names: ServiceNames) -> Self {
        Self {
            secret: secret.into(),
            names,
            validating: Vec::new(),
            mutating: Vec::new(),
            lifetimes: Lifetimes::default(),
            publish_wait: Duration::from_secs(30),
            replica: None,
            field_manager: "headworks-certs".to_owned(),
            tick: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }

    /// Returns all webhook configurations to publish into.
    pub fn configurations(&self) -> Vec<ConfigurationRef> {
        let of = |kind, names: &[String]| -> Vec<_> {
            names.iter().map(|name| ConfigurationRef { kind, name: name.clone() }).collect()
        };
        let mut all = of(ConfigurationKind::Validating, &self.validating);
        all.extend(of(ConfigurationKind::Mutating, &self.mutating));
        all
    }
}
