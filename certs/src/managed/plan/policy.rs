//! The wanted form of certificates.

use crate::issue::Lifetimes;
use crate::names::ServiceNames;

/// Names and lifetimes that certificates are to have.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Names that the leaf must carry.
    pub names: ServiceNames,
    /// Lifetimes of leaf and CA.
    pub lifetimes: Lifetimes,
}
