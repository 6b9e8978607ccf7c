//! Steps of managed mode, and the reasons for them.

use std::fmt;

use jiff::Timestamp;

use crate::managed::plan::configuration::ConfigurationRef;

/// The next step. The cluster is observed anew after each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The Secret holds nothing usable: make a new CA and a leaf, and serve it immediately.
    Generate(Cause),
    /// Make a new leaf under the current CA. The bundle does not change.
    RenewLeaf(Cause),
    /// Add a next CA and a next leaf beside the current ones.
    Stage {
        /// Reason to replace the CA.
        cause: Cause,
        /// PEM: CAs that are published, that the current leaf needs, and that the Secret does not have.
        keep: String,
    },
    /// Write this bundle (PEM) into the configurations that have another.
    Publish {
        /// The bundle, PEM.
        bundle: String,
        /// The configurations that have another.
        into: Vec<ConfigurationRef>,
    },
    /// The bundle with the next CA is in every configuration: record the time and their generations.
    Date {
        /// The [`fingerprint`](super::fingerprint) of the configurations.
        to: String,
    },
    /// The next leaf and CA become the current ones; the old CA stays trusted.
    Activate {
        /// True if the publish wait is over; false if nothing could be served any more, and waiting would gain nothing.
        waited: bool,
    },
    /// No replica serves an old leaf any more: take the old CA out of the bundle.
    Confirm,
    /// The old CA has left every configuration: remove it from the Secret.
    Retire,
    /// Nothing to write.
    Rest {
        /// Problems to report.
        due: Vec<Due>,
        /// The event that the rotation waits for.
        wait: Wait,
    },
}

/// Reason to make certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no Secret, or neither CA nor leaf in it.
    Missing,
    /// The old certificate cannot be used.
    Malformed(String),
    /// The old certificate has expired.
    Expired(Timestamp),
    /// Two thirds of its life have passed.
    Due(Timestamp),
    /// The leaf lacks a name.
    Name(String),
    /// The leaf is due, and its CA cannot make another.
    Barren(String),
}

/// A problem that somebody should solve before a certificate expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The CA's key is missing or does not match: the next leaf will need another CA.
    AuthorityKey(String),
    /// The leaf is due, and no certificate like the one wanted can be made.
    Renewal(String),
    /// A certificate is valid only from then: some clock is wrong. Nothing is written until it is right.
    Clock(Timestamp),
}

/// The event that a rotation at rest waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// No rotation is under way.
    #[default]
    Nothing,
    /// That every configuration is read.
    Observation,
    /// That API servers see the bundle that is published.
    Trust,
    /// That these replicas serve the new leaf. Empty: the replicas are not known.
    Replicas(Vec<String>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there was none"),
            Self::Malformed(reason) => write!(f, "the old one cannot be used: {reason}"),
            Self::Expired(at) => write!(f, "the old one expired at {at}"),
            Self::Due(at) => write!(f, "renewal was due at {at}"),
            Self::Name(name) => write!(f, "the old one lacks the name `{name}`"),
            Self::Barren(reason) => write!(f, "the old one cannot sign another certificate: {reason}"),
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthorityKey(reason) => write!(f, "the CA cannot sign another certificate: {reason}"),
            Self::Renewal(reason) => write!(f, "the certificate cannot be renewed: {reason}"),
            Self::Clock(from) => {
                write!(f, "a certificate is valid only from {from}: some clock is wrong, nothing is written")
            }
        }
    }
}
