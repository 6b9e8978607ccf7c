//! A small certificate authority: P-256, two kinds of certificate, nothing left to a default.
//!
//! rcgen's own defaults are validity 1975..4096 and no authority key identifier, hence every field is set here.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;

use crate::facts::{Facts, hex};
use crate::identity::EXPIRY_MARGIN;

/// Lifetimes of certificates, and the time by which they are backdated.
///
/// Minutes are possible, with an [`Identity`](crate::Identity) whose margin is [`Lifetimes::margin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// A leaf, from its making on: 14 days.
    pub leaf: SignedDuration,
    /// A CA, from its making on: 365 days.
    pub ca: SignedDuration,
    /// `NotBefore` lies this far before the making, for peers whose clocks are late: 1 hour.
    pub backdate: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            leaf: SignedDuration::from_hours(14 * 24),
            ca: SignedDuration::from_hours(365 * 24),
            backdate: SignedDuration::from_hours(1),
        }
    }
}

impl Lifetimes {
    /// Returns the time before the end of its leaf at which a pod is to leave service: 10 minutes, or a tenth of the leaf's life where
    /// that is less. Renewal is due with a third of the life left, so a tenth is never reached in good order.
    pub fn margin(&self) -> SignedDuration {
        EXPIRY_MARGIN.min(self.leaf / 10)
    }
}

/// A private key in PEM. Prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPem(String);

impl KeyPem {
    /// Wraps PEM text.
    pub fn new(pem: impl Into<String>) -> Self {
        Self(pem.into())
    }

    /// The text itself: for a Secret, and for nothing that is logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(..)")
    }
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// Its key, PKCS#8.
    pub key: KeyPem,
}

/// A CA that can sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    facts: Facts,
}

impl Authority {
    /// Makes a CA: `CA:TRUE`, path length 0, key usages certificate and CRL signing, subject key identifier.
    ///
    /// `name` is the beginning of its common name; the serial follows, so that two CAs of one service differ in name.
    pub fn generate(name: &str, lifetimes: &Lifetimes, now: Timestamp) -> Result<Issued, IssueError> {
        let key = KeyPair::generate()?;
        let serial = random_serial()?;
        let mut params = params(&serial, now, lifetimes.backdate, now.checked_add(lifetimes.ca)?)?;
        let label: String = hex(&serial).chars().take(8).collect();
        params.distinguished_name.push(DnType::CommonName, format!("{} CA {label}", truncate(name)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = false; // a root's AKI would repeat its SKI
        let cert = params.self_signed(&key)?.pem();
        Ok(Issued { cert, key: KeyPem(key.serialize_pem()) })
    }

    /// Takes up a CA that exists.
    ///
    /// # Errors
    /// [`IssueError`] where either part is malformed, they do not match, or it is no CA.
    pub fn from_pem(cert_pem: &[u8], key: &KeyPem) -> Result<Self, IssueError> {
        let chain = crate::pair::chain(cert_pem).map_err(|e| IssueError::Authority(e.to_string()))?;
        let cert: &CertificateDer<'_> =
            chain.first().ok_or_else(|| IssueError::Authority("no certificate".to_owned()))?;
        let facts = Facts::of(cert).map_err(IssueError::Authority)?;
        if !facts.is_ca {
            return Err(IssueError::Authority("the certificate is not a CA".to_owned()));
        }
        let key = KeyPair::from_pem(key.expose()).map_err(|_| IssueError::Key)?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(cert).map_err(|e| IssueError::Authority(e.to_string()))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(IssueError::Mismatch);
        }
        Ok(Self { issuer: Issuer::from_ca_cert_der(cert, key)?, facts })
    }

    /// The facts of the CA certificate.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Makes a leaf for `names` (DNS or IP addresses): `serverAuth` only, a new P-256 key, a random serial.
    ///
    /// It ends with `lifetimes.leaf`, or with the CA if that is sooner.
    pub fn leaf(
        &self,
        names: &[String],
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        let key = KeyPair::generate()?;
        let until = now.checked_add(lifetimes.leaf)?.min(self.facts.not_after);
        let mut params = params(&random_serial()?, now, lifetimes.backdate, until)?;
        if let Some(name) = names.iter().find(|name| name.len() <= 64) {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert, key: KeyPem(key.serialize_pem()) })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Reason that a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The CA certificate cannot be used.
    #[error("the CA cannot sign: {0}")]
    Authority(String),
    /// The CA key cannot be used.
    #[error("the CA key is missing or malformed")]
    Key,
    /// CA key and certificate are not of one pair.
    #[error("the CA key does not belong to the CA certificate")]
    Mismatch,
    /// The system gave no random bytes.
    #[error("no random bytes to be had")]
    Random,
    /// A lifetime beyond what dates can hold.
    #[error("the validity is out of range: {0}")]
    Validity(#[from] jiff::Error),
    /// The encoder refused, for instance a name that is not ASCII.
    #[error("the certificate cannot be encoded: {0}")]
    Encode(#[from] rcgen::Error),
}

fn params(
    serial: &[u8; 16],
    now: Timestamp,
    backdate: SignedDuration,
    until: Timestamp,
) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial));
    // rcgen speaks the types of the `time` crate; whole seconds since 1970 are all a certificate can hold anyway.
    let date = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = date(now.checked_sub(backdate)?);
    params.not_after = date(until);
    params.distinguished_name = DistinguishedName::new();
    params.key_identifier_method = KeyIdMethod::Sha256;
    Ok(params)
}

fn alternative(name: &str) -> Result<SanType, IssueError> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into()?),
    })
}

/// 128 random bits, never zero (RFC 5280, 4.1.2.2: positive, at most 20 octets).
fn random_serial() -> Result<[u8; 16], IssueError> {
    let mut serial = [0; 16];
    ring::default_provider().secure_random.fill(&mut serial).map_err(|_| IssueError::Random)?;
    serial[15] |= u8::from(serial == [0; 16]);
    Ok(serial)
}

/// A common name has at most 64 characters (RFC 5280, appendix A.1): 48 leave room for ` CA 01234567`.
fn truncate(name: &str) -> String {
    name.chars().take(48).collect()
}

#[cfg(test)]
mod tests;
