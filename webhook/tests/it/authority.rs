//! A certificate authority for both ends.

use std::sync::Arc;

use headworks_webhook::{CallerMode, Callers, TlsOptions, TlsVersion};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

/// A certificate authority and what it issues.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn issue(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("system:{name}"));
        let leaf = params.signed_by(&key, &self.0).unwrap();
        (leaf.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub(crate) fn options(&self) -> TlsOptions {
        let (leaf, key) = self.issue("localhost");
        let key = CertifiedKey::from_der(vec![leaf], key, &rustls::crypto::ring::default_provider()).unwrap();
        let identity = Arc::new(SingleCertAndKey::from(key));
        TlsOptions { identity, min_version: TlsVersion::V1_2, http2: false, callers: None }
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> ClientConfig {
        let config = self.client_builder();
        config.with_no_client_auth()
    }

    /// A client that says who it is.
    pub(crate) fn client_as(&self, name: &str, of: &Ca) -> ClientConfig {
        let config = self.client_builder();
        let (leaf, key) = of.issue(name);
        config.with_client_auth_cert(vec![leaf], key).unwrap()
    }

    /// A client that knows no TLS 1.3.
    pub(crate) fn client_1_2(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        builder.with_root_certificates(self.roots()).with_no_client_auth()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root()).unwrap();
        roots
    }

    fn client_builder(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(self.roots())
    }
}

/// Callers of this authority, by these names.
pub(crate) fn known(ca: &Ca, names: &[&str], mode: CallerMode) -> Callers {
    Callers { roots: vec![ca.root()], names: names.iter().map(ToString::to_string).collect(), mode }
}
