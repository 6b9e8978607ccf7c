//! A certificate chain with its key, checked before anyone serves it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::Error as TlsError;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use crate::facts::Facts;

/// A checked pair. It exists only if everything that [`Pair::parse`] demands was true at that moment.
#[derive(Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    facts: Facts,
}

impl Pair {
    /// Reads a pair from PEM and checks all of it.
    ///
    /// `cert_pem` is the leaf, then any intermediates. `key_pem` is PKCS#8, SEC1 or PKCS#1, of RSA, P-256, P-384 or
    /// Ed25519. `expected` are the names (DNS or IP address) the leaf must cover, by the rules of RFC 6125.
    ///
    /// # Errors
    /// The first [`Rejection`] in this order: empty, malformed, mismatch, validity, names, usage.
    pub fn parse(
        cert_pem: &[u8],
        key_pem: &[u8],
        expected: &[impl AsRef<str>],
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let chain = chain(cert_pem)?;
        let leaf = chain.first().ok_or(Rejection::Empty { what: "certificate" })?;
        let facts = Facts::of(leaf).map_err(Rejection::Certificate)?;
        let key = private_key(key_pem)?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(key_error)?;
        check_validity(&facts, now)?;
        check_names(key.end_entity_cert().map_err(certificate_error)?, &facts, expected)?;
        if !facts.server_auth {
            return Err(Rejection::Usage);
        }
        Ok(Self { key: Arc::new(key), facts })
    }

    /// Returns the form that rustls serves.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The facts of the leaf.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The leaf's serial number in hexadecimal.
    pub fn serial(&self) -> &str {
        &self.facts.serial
    }

    /// The leaf is valid from here.
    pub fn not_before(&self) -> Timestamp {
        self.facts.not_before
    }

    /// The leaf is valid to here.
    pub fn not_after(&self) -> Timestamp {
        self.facts.not_after
    }

    /// The leaf's subject alternative names.
    pub fn names(&self) -> &[String] {
        &self.facts.names
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Reason to reject a pair. No variant carries anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// A file or Secret key is missing or could not be read.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// The error of the read.
        #[source]
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("the {what} is empty")]
    Empty {
        /// `certificate` or `key`.
        what: &'static str,
    },
    /// The certificate is not PEM, or not X.509.
    #[error("the certificate is malformed: {0}")]
    Certificate(String),
    /// The key is not PEM, or of no kind that can be served.
    #[error("the key is malformed: {0}")]
    Key(&'static str),
    /// Key and certificate are not of one pair: typical of two files read across an update.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// Validity begins later.
    #[error("the certificate is valid only from {not_before}, and now is {now}")]
    NotYetValid {
        /// Its beginning.
        not_before: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// Validity has ended.
    #[error("the certificate expired at {not_after}, and now is {now}")]
    Expired {
        /// Its end.
        not_after: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// A client that connects to the expected name would refuse it.
    #[error("the certificate does not cover `{expected}`: its names are {found:?}")]
    Name {
        /// The name it must cover.
        expected: String,
        /// The names it has.
        found: Vec<String>,
    },
    /// Made for something else than servers.
    #[error("the certificate's extended key usage does not include serverAuth")]
    Usage,
}

impl Rejection {
    /// A bounded word for metric labels.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Empty { .. } => "empty",
            Self::Certificate(_) => "malformed_certificate",
            Self::Key(_) => "malformed_key",
            Self::Mismatch => "mismatch",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::Name { .. } => "wrong_name",
            Self::Usage => "wrong_usage",
        }
    }
}

pub(crate) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Rejection> {
    if pem.iter().all(u8::is_ascii_whitespace) {
        return Err(Rejection::Empty { what: "certificate" });
    }
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Rejection::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(Rejection::Certificate("no PEM section `CERTIFICATE`".to_owned()));
    }
    for issuer in chain.iter().skip(1) {
        Facts::of(issuer).map_err(Rejection::Certificate)?;
    }
    Ok(chain)
}

/// The PEM reader's own errors may quote a line of the file, and this file is a key: they go no further.
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Rejection> {
    if pem.iter().all(u8::is_ascii_whitespace) {
        return Err(Rejection::Empty { what: "key" });
    }
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| Rejection::Key("no whole PEM section of PKCS#8, SEC1 or PKCS#1 in it"))
}

fn check_validity(facts: &Facts, now: Timestamp) -> Result<(), Rejection> {
    if now < facts.not_before {
        return Err(Rejection::NotYetValid { not_before: facts.not_before, now });
    }
    if facts.not_after < now {
        return Err(Rejection::Expired { not_after: facts.not_after, now });
    }
    Ok(())
}

fn check_names(
    leaf: &CertificateDer<'_>,
    facts: &Facts,
    expected: &[impl AsRef<str>],
) -> Result<(), Rejection> {
    let parsed = ParsedCertificate::try_from(leaf).map_err(certificate_error)?;
    for name in expected {
        let name = name.as_ref();
        let covered =
            ServerName::try_from(name).is_ok_and(|server| verify_server_name(&parsed, &server).is_ok());
        if !covered {
            return Err(Rejection::Name { expected: name.to_owned(), found: facts.names.clone() });
        }
    }
    Ok(())
}

fn key_error(error: TlsError) -> Rejection {
    match error {
        TlsError::InconsistentKeys(_) => Rejection::Mismatch,
        TlsError::InvalidCertificate(_) => certificate_error(error),
        _ => Rejection::Key("it is none of RSA, P-256, P-384 and Ed25519"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` wants")]
fn certificate_error(error: TlsError) -> Rejection {
    Rejection::Certificate(error.to_string())
}

#[cfg(test)]
mod tests;
