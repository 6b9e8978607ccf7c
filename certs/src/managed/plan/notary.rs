//! PURE, but for random keys: what the decision asks of certificates. The real answers are X.509; the simulation has its
//! own, on plain paper, because it asks a million times.

use jiff::Timestamp;

use super::state::Material;
use crate::{Authority, Bundle, Facts, IssueError, Lifetimes, Pair, Rejection};

/// Reads, checks and makes certificates. All of them are PEM.
pub(super) trait Notary {
    /// What the first certificate says.
    fn facts(&self, cert: &[u8]) -> Result<Facts, String>;

    /// Whether `ca` has the key it signs with.
    fn signs(&self, ca: &Material) -> Result<(), IssueError>;

    /// Whether the pair can be served as `name`.
    fn pair(&self, leaf: &Material, name: &str, now: Timestamp) -> Result<Facts, Rejection>;

    /// Sorted, without duplicates, malformed and expired ones.
    fn bundle(&self, sources: &[&[u8]], now: Timestamp) -> Vec<String>;

    /// Whether a client that trusts `bundle` accepts the leaf as `name`.
    fn verify(&self, bundle: &[u8], leaf: &[u8], name: &str, now: Timestamp) -> Result<(), String>;

    /// A new CA.
    fn make_ca(&self, name: &str, lifetimes: &Lifetimes, now: Timestamp) -> Result<Material, IssueError>;

    /// A new leaf under `ca`.
    fn make_leaf(
        &self,
        ca: &Material,
        names: &[String],
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Material, IssueError>;
}

/// The real one.
pub(super) struct X509;

impl Notary for X509 {
    fn facts(&self, cert: &[u8]) -> Result<Facts, String> {
        let chain = crate::pair::chain(cert).map_err(|rejection| rejection.to_string())?;
        Facts::of(chain.first().ok_or("no certificate")?)
    }

    fn signs(&self, ca: &Material) -> Result<(), IssueError> {
        authority(ca).map(|_| ())
    }

    fn pair(&self, leaf: &Material, name: &str, now: Timestamp) -> Result<Facts, Rejection> {
        let key = leaf.key.as_ref().ok_or(Rejection::Empty { what: "key" })?;
        Pair::parse(&leaf.cert, key.expose().as_bytes(), &[name], now).map(|pair| pair.facts().clone())
    }

    fn bundle(&self, sources: &[&[u8]], now: Timestamp) -> Vec<String> {
        Bundle::of(sources.iter().copied(), now).members()
    }

    fn verify(&self, bundle: &[u8], leaf: &[u8], name: &str, now: Timestamp) -> Result<(), String> {
        let chain = crate::pair::chain(leaf).map_err(|rejection| rejection.to_string())?;
        Bundle::of([bundle], now).verify(&chain, name, now)
    }

    fn make_ca(&self, name: &str, lifetimes: &Lifetimes, now: Timestamp) -> Result<Material, IssueError> {
        Authority::generate(name, lifetimes, now).map(Material::from)
    }

    fn make_leaf(
        &self,
        ca: &Material,
        names: &[String],
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Material, IssueError> {
        authority(ca)?.leaf(names, lifetimes, now).map(Material::from)
    }
}

fn authority(ca: &Material) -> Result<Authority, IssueError> {
    Authority::from_pem(&ca.cert, ca.key.as_ref().ok_or(IssueError::Key)?)
}
