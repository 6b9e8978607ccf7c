//! Operations on certificates that the decision needs, as a trait: X.509 for real, and for the simulation a fake without
//! cryptography, for speed. Pure but for random keys.

use jiff::Timestamp;

use crate::bundle::Bundle;
use crate::facts::Facts;
use crate::issue::{Authority, IssueError, Lifetimes};
use crate::managed::plan::secret::Material;
use crate::pair::{Pair, Rejection};

/// Reads, checks and makes certificates. All of them are PEM.
pub(crate) trait Notary {
    /// Reads the facts of the first certificate.
    fn facts(&self, cert: &[u8]) -> Result<Facts, String>;

    /// Checks that `ca` has the key it signs with.
    fn signs(&self, ca: &Material) -> Result<(), IssueError>;

    /// Checks that the pair can be served as `name`.
    fn pair(&self, leaf: &Material, name: &str, now: Timestamp) -> Result<Facts, Rejection>;

    /// Returns the CA certificates in `sources`: sorted, without duplicates, malformed and expired ones.
    fn bundle(&self, sources: &[&[u8]], now: Timestamp) -> Vec<String>;

    /// Checks that a client that trusts `bundle` accepts the leaf as `name`.
    fn verify(&self, bundle: &[u8], leaf: &[u8], name: &str, now: Timestamp) -> Result<(), String>;

    /// Makes a new CA.
    fn make_ca(&self, name: &str, lifetimes: &Lifetimes, now: Timestamp) -> Result<Material, IssueError>;

    /// Makes a new leaf under `ca`.
    fn make_leaf(
        &self,
        ca: &Material,
        names: &[String],
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Material, IssueError>;
}

/// The real one: X.509 certificates.
pub(crate) struct X509;

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
