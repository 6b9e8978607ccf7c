//! DNS names of a Service.

use std::net::IpAddr;

use rustls::pki_types::ServerName;

/// A Service, and the names that its certificate is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceNames {
    /// Name of the Service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// The cluster's DNS domain, normally `cluster.local`.
    pub cluster_domain: String,
    /// More DNS names or IP addresses, for callers that use `clientConfig.url`. An entry that is neither is left out.
    pub extra: Vec<String>,
}

impl ServiceNames {
    /// Creates the names in the domain `cluster.local`, without further ones.
    pub fn new(service: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            namespace: namespace.into(),
            cluster_domain: "cluster.local".to_owned(),
            extra: Vec::new(),
        }
    }

    /// Returns `<service>.<namespace>.svc`: the name the API server asks for when a webhook is registered by Service.
    /// Every pair must cover it.
    pub fn required(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// Returns all names of a managed certificate, from short to long, then the further ones.
    pub fn all(&self) -> Vec<String> {
        let Self { service, namespace, cluster_domain, extra } = self;
        let mut names = vec![
            service.clone(),
            format!("{service}.{namespace}"),
            self.required(),
            format!("{service}.{namespace}.svc.{cluster_domain}"),
        ];
        for name in extra {
            // In the form that reads back from the certificate: an IPv6 address can be configured in many spellings.
            let name = name.parse::<IpAddr>().map_or_else(|_| name.clone(), |address| address.to_string());
            if !names.contains(&name) && ServerName::try_from(name.as_str()).is_ok() {
                names.push(name);
            }
        }
        names
    }
}
