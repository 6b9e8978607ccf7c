//! Facts of one X.509 certificate.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer};

/// The facts of a certificate that its use depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Serial number, lower-case hexadecimal without separators.
    pub serial: String,
    /// Valid from, inclusive.
    pub not_before: Timestamp,
    /// Valid to, inclusive.
    pub not_after: Timestamp,
    /// DNS names and IP addresses among the subject alternative names, in their order.
    pub names: Vec<String>,
    /// True if its basic constraints say `CA:TRUE`.
    pub is_ca: bool,
    /// True if it may authenticate a server: no extended key usage at all, `serverAuth`, or `anyExtendedKeyUsage`
    /// (RFC 5280, 4.2.1.12; Go's `crypto/x509`, which is what the API server verifies with, agrees).
    pub server_auth: bool,
}

impl Facts {
    /// Reads the facts from DER.
    ///
    /// # Errors
    /// A short description of what is malformed.
    pub fn of(der: &[u8]) -> Result<Self, String> {
        let (rest, cert) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes after the certificate", rest.len()));
        }
        let usage = cert.extended_key_usage().map_err(|e| e.to_string())?;
        let constraints = cert.basic_constraints().map_err(|e| e.to_string())?;
        Ok(Self {
            serial: hex(&cert.serial.to_bytes_be()),
            not_before: timestamp(cert.validity().not_before)?,
            not_after: timestamp(cert.validity().not_after)?,
            names: names(&cert)?,
            is_ca: constraints.is_some_and(|c| c.value.ca),
            server_auth: usage.is_none_or(|u| u.value.server_auth || u.value.any),
        })
    }

    /// Returns true if the certificate is valid at `now`, both ends included.
    pub fn valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, String> {
    Timestamp::from_second(time.timestamp()).map_err(|e| format!("validity out of range: {e}"))
}

fn names(cert: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let Some(extension) = cert.subject_alternative_name().map_err(|e| e.to_string())? else {
        return Ok(Vec::new());
    };
    Ok(extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(octets) => address(octets),
            _ => None,
        })
        .collect())
}

fn address(octets: &[u8]) -> Option<String> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|o| Ipv4Addr::from(o).to_string()),
        16 => <[u8; 16]>::try_from(octets).ok().map(|o| Ipv6Addr::from(o).to_string()),
        _ => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
