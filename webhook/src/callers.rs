//! Optional client certificates of callers.
//!
//! An API server presents one if its `AdmissionConfiguration` names a kubeconfig for webhooks. Where that is not
//! set up no API server does, so the check is off by default, and `Log` logs what `Require` would refuse.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The known callers, and the treatment of others.
#[derive(Clone, Debug)]
pub struct Callers {
    /// CA certificates, DER, that issue callers' certificates.
    pub roots: Vec<CertificateDer<'static>>,
    /// Common names, DNS names or URIs of callers; empty means every certificate of the CA.
    pub names: Vec<String>,
    /// Treatment of a caller that is not known.
    pub mode: CallerMode,
}

/// Treatment of a caller without a certificate of the CA in one of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerMode {
    /// It is let in, logged and counted.
    Log,
    /// Its handshake fails.
    Require,
}

/// Reason that callers cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// A root is no CA certificate.
    #[error("a certificate of the client CA cannot be read")]
    Root(#[source] Error),
    /// There are no roots.
    #[error("the client CA is empty")]
    Empty(#[source] rustls::server::VerifierBuilderError),
}

/// Verifies callers in a handshake.
#[derive(Debug)]
pub(crate) struct Verifier {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
    mode: CallerMode,
}

impl Verifier {
    pub(crate) fn new(callers: &Callers, provider: Arc<CryptoProvider>) -> Result<Self, CallerError> {
        let mut roots = RootCertStore::empty();
        for root in &callers.roots {
            roots.add(root.clone()).map_err(CallerError::Root)?;
        }
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(CallerError::Empty)?;
        Ok(Self { chain, names: callers.names.clone(), mode: callers.mode })
    }

    /// Checks that this is the certificate chain of a known caller.
    pub(crate) fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (leaf, intermediates) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.identify(leaf, intermediates, UnixTime::now()).map(drop)
    }

    fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(leaf, intermediates, now)?;
        if self.names.is_empty() || names(leaf).iter().any(|name| self.names.contains(name)) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

/// Returns all names of a certificate; none if it cannot be read.
fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let common =
        certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(str::to_owned));
    let mut names: Vec<String> = common.collect();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        names.extend(alternatives.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        }));
    }
    names
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == CallerMode::Require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.mode {
            CallerMode::Require => self.identify(leaf, intermediates, now),
            // The server checks after the handshake, where it can also tell that no certificate came.
            CallerMode::Log => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
