//! The contents of the Secret. All of the rotation's state is in it.
//!
//! | key | content |
//! |---|---|
//! | `tls.crt`, `tls.key` | the leaf being served, PEM (the names that `kubernetes.io/tls` uses) |
//! | `ca.crt`, `ca.key` | the CA that signed it |
//! | `next-tls.crt`, `next-tls.key` | the leaf that is next, while a rotation is under way |
//! | `next-ca.crt`, `next-ca.key` | the CA that is next, likewise |
//! | `bundle.crt` | CA certificates to be trusted besides those two: those being rotated out |
//! | `phase` | the rotation's phase: `stable`, `staged`, `published`, `activated`, `confirmed` |
//! | `phase-since` | when it was entered (RFC 3339) |
//! | `published-at` | when the bundle with the next CA was last seen everywhere (RFC 3339) |
//! | `published-to` | the configurations it was seen in, each with UID and generation: another generation is another publication |
//! | `replaced-until` | no leaf that was replaced under the CA that is to go, or goes, is valid for longer (RFC 3339) |

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::bundle::Bundle;
use crate::issue::{Issued, KeyPem};

/// The Secret's contents, read but not checked: any part may be missing or malformed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The CA in use.
    pub ca: Option<Material>,
    /// The leaf in use.
    pub leaf: Option<Material>,
    /// The next CA.
    pub next_ca: Option<Material>,
    /// The next leaf.
    pub next_leaf: Option<Material>,
    /// Further trusted CA certificates, PEM.
    pub bundle: Vec<u8>,
    /// The phase of the rotation.
    pub phase: Phase,
    /// Time at which it entered this phase.
    pub phase_since: Option<Timestamp>,
    /// Publication of the bundle with the next CA, while a rotation waits after it.
    pub published: Option<Published>,
    /// No leaf that was replaced, under the current CA or, while a CA waits to go, under that one, is valid after this.
    pub replaced_until: Option<Timestamp>,
}

/// A publication of the bundle, as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its time, by the clock of the writer.
    pub at: Timestamp,
    /// A [`fingerprint`](crate::managed::fingerprint) of the configurations.
    pub to: String,
}

/// A certificate, and its key if the Secret holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// PEM, unchecked.
    pub cert: Vec<u8>,
    /// PEM, unchecked.
    pub key: Option<KeyPem>,
}

/// The steps of a rotation, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No rotation under way.
    #[default]
    Stable,
    /// The Secret holds a next CA and leaf beside the current ones.
    Staged,
    /// The bundle trusts both CAs.
    Published,
    /// The next leaf has become the current one.
    Activated,
    /// Every replica serves the new leaf.
    Confirmed,
}

impl State {
    /// Reads a Secret.
    pub fn read(secret: &Secret) -> Self {
        let empty = BTreeMap::new();
        let data = secret.data.as_ref().unwrap_or(&empty);
        let phase = data.get("phase").map_or(Phase::Stable, |text| Phase::read(&text.0));
        let published = time(data, "published-at")
            .map(|at| Published { at, to: text(data, "published-to").unwrap_or_default() });
        Self {
            ca: material(data, "ca.crt", "ca.key"),
            leaf: material(data, "tls.crt", "tls.key"),
            next_ca: material(data, "next-ca.crt", "next-ca.key"),
            next_leaf: material(data, "next-tls.crt", "next-tls.key"),
            bundle: bytes(data, "bundle.crt").unwrap_or_default(),
            phase,
            phase_since: time(data, "phase-since"),
            published,
            replaced_until: time(data, "replaced-until"),
        }
        .consistent()
    }

    /// Derives the phase from the certificates that are there. The key `phase` decides only between two phases with the same
    /// certificates: so a Secret that somebody edited, or that an earlier version wrote, is read as what it holds.
    pub(crate) fn consistent(mut self) -> Self {
        self.phase = if self.next_ca.is_some() || self.next_leaf.is_some() {
            if self.phase == Phase::Published && self.published.is_some() {
                Phase::Published
            } else {
                Phase::Staged
            }
        } else if self.bundle.is_empty() {
            Phase::Stable
        } else if self.phase == Phase::Confirmed {
            Phase::Confirmed
        } else {
            Phase::Activated
        };
        if self.phase != Phase::Published {
            self.published = None;
        }
        self
    }

    /// Writes the state into a Secret; foreign keys stay.
    pub fn write(&self, secret: &mut Secret) {
        let data = secret.data.get_or_insert_default();
        put_material(data, "ca.crt", "ca.key", self.ca.as_ref());
        put_material(data, "tls.crt", "tls.key", self.leaf.as_ref());
        put_material(data, "next-ca.crt", "next-ca.key", self.next_ca.as_ref());
        put_material(data, "next-tls.crt", "next-tls.key", self.next_leaf.as_ref());
        put(data, "bundle.crt", Some(&self.bundle));
        put(data, "phase", Some(self.phase.as_str().as_bytes()));
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let published = self.published.as_ref();
        put_text(data, "phase-since", time(self.phase_since).as_deref());
        put_text(data, "published-at", time(published.map(|published| published.at)).as_deref());
        put_text(data, "published-to", published.map(|published| published.to.as_str()));
        put_text(data, "replaced-until", time(self.replaced_until).as_deref());
    }

    /// Returns true if the Secret holds neither CA nor leaf: a Secret created empty beforehand counts as none.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.leaf.is_none()
    }

    /// Returns the CAs that the API server must trust now, less those that have expired.
    pub fn bundle_at(&self, now: Timestamp) -> Bundle {
        Bundle::of(self.trusted(), now)
    }

    /// Returns, as PEM, the current and the next CA, and those being rotated out until every replica serves the new leaf.
    pub(crate) fn trusted(&self) -> Vec<&[u8]> {
        let mut trusted: Vec<_> =
            [&self.ca, &self.next_ca].into_iter().flatten().map(|ca| ca.cert.as_slice()).collect();
        if self.phase != Phase::Confirmed {
            trusted.push(&self.bundle);
        }
        trusted
    }
}

impl From<Issued> for Material {
    fn from(Issued { cert, key }: Issued) -> Self {
        Self { cert: cert.into_bytes(), key: Some(key) }
    }
}

impl Phase {
    /// Reads the value of the Secret. An unknown one reads as stable: in every phase the current pair is served.
    fn read(text: &[u8]) -> Self {
        match text {
            b"staged" => Self::Staged,
            b"published" => Self::Published,
            b"activated" => Self::Activated,
            b"confirmed" => Self::Confirmed,
            _ => Self::Stable,
        }
    }

    /// Returns its value in the Secret.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Staged => "staged",
            Self::Published => "published",
            Self::Activated => "activated",
            Self::Confirmed => "confirmed",
        }
    }

    /// Returns its number in `headworks_cert_rotation_phase`.
    pub fn number(self) -> u8 {
        self as u8
    }
}

type Data = BTreeMap<String, ByteString>;

fn bytes(data: &Data, key: &str) -> Option<Vec<u8>> {
    data.get(key).map(|value| value.0.clone()).filter(|value| !value.is_empty())
}

fn text(data: &Data, key: &str) -> Option<String> {
    bytes(data, key).and_then(|bytes| String::from_utf8(bytes).ok())
}

fn time(data: &Data, key: &str) -> Option<Timestamp> {
    text(data, key)?.parse().ok()
}

fn put_text(data: &mut Data, key: &str, value: Option<&str>) {
    put(data, key, value.map(str::as_bytes));
}

fn material(data: &Data, cert: &str, key: &str) -> Option<Material> {
    let key = bytes(data, key).and_then(|pem| String::from_utf8(pem).ok()).map(KeyPem::new);
    bytes(data, cert).map(|cert| Material { cert, key })
}

fn put(data: &mut Data, key: &str, value: Option<&[u8]>) {
    match value.filter(|value| !value.is_empty()) {
        Some(value) => data.insert(key.to_owned(), ByteString(value.to_vec())),
        None => data.remove(key),
    };
}

fn put_material(data: &mut Data, cert: &str, key: &str, material: Option<&Material>) {
    put(data, cert, material.map(|m| m.cert.as_slice()));
    put(data, key, material.and_then(|m| m.key.as_ref()).map(|key| key.expose().as_bytes()));
}
