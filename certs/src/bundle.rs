//! The CA bundle: the CAs that the API server trusts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

use crate::facts::Facts;

/// CA certificates, sorted and without duplicates, so that equal sets are equal bytes on every replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle(Vec<CertificateDer<'static>>);

impl Bundle {
    /// Reads all PEM certificates out of `sources`; leaves out what is malformed, and what has expired at `now`.
    pub fn of<'a>(sources: impl IntoIterator<Item = &'a [u8]>, now: Timestamp) -> Self {
        let mut members: Vec<_> = sources
            .into_iter()
            .flat_map(|pem| CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect::<Vec<_>>())
            .filter(|der| Facts::of(der).is_ok_and(|facts| now <= facts.not_after))
            .collect();
        members.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        members.dedup();
        Self(members)
    }

    /// Returns true if the bundle has no member, so that nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the facts of every member.
    pub fn facts(&self) -> Vec<Facts> {
        self.0.iter().filter_map(|der| Facts::of(der).ok()).collect()
    }

    /// Returns the bundle as PEM. `caBundle` holds these bytes in base64.
    pub fn to_pem(&self) -> String {
        self.members().concat()
    }

    /// Returns each member in PEM.
    pub fn members(&self) -> Vec<String> {
        self.0.iter().map(|der| certificate_pem(der)).collect()
    }

    /// Verifies that a client that trusts this bundle accepts `chain` (leaf first) as the server `name` at `now`.
    ///
    /// # Errors
    /// The verifier's reason.
    pub fn verify(&self, chain: &[CertificateDer<'_>], name: &str, now: Timestamp) -> Result<(), String> {
        let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| "the CA bundle is empty".to_owned())?;
        let server = ServerName::try_from(name).map_err(|error| format!("`{name}`: {error}"))?;
        let seconds = u64::try_from(now.as_second()).map_err(|_| "a time before 1970".to_owned())?;
        verifier
            .verify_server_cert(
                leaf,
                intermediates,
                &server,
                &[],
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            )
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

/// Writes one certificate in PEM, 64 columns, as RFC 7468 asks of generators.
pub(crate) fn certificate_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::with_capacity(text.len() + text.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for (i, character) in text.chars().enumerate() {
        if i > 0 && i % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests;
