//! PURE: the steps of managed mode, and the reasons for them.

use std::fmt;

use jiff::Timestamp;

use super::ConfigurationRef;

/// The next thing to do. At most one thing is written before looking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to go on from: make a new CA and a leaf, and serve it at once.
    Generate(Cause),
    /// Make a new leaf under the CA that is there. The bundle does not change.
    RenewLeaf(Cause),
    /// Lay a next CA and a next leaf beside the current ones.
    Stage {
        /// Why the CA is to be replaced.
        cause: Cause,
        /// PEM: CAs that are published, that the current leaf needs, and that the Secret does not have.
        keep: String,
    },
    /// Write this bundle (PEM) into the configurations that have another.
    Publish {
        /// The bundle, PEM.
        bundle: String,
        /// Those that differ.
        into: Vec<ConfigurationRef>,
    },
    /// The bundle with the next CA is in every configuration: write down when, and in which generations.
    Date {
        /// The [`fingerprint`](super::fingerprint) of the configurations.
        to: String,
    },
    /// The next leaf and CA become the current ones; the old CA stays trusted.
    Activate {
        /// The wait is over; or else nothing could be served any more, and waiting would gain nothing.
        waited: bool,
    },
    /// No replica serves an old leaf any more: the old CA may leave the bundle.
    Confirm,
    /// The old CA has left every configuration, and now the Secret.
    Retire,
    /// Nothing to write.
    Rest {
        /// Reported, not done.
        due: Vec<Due>,
        /// What the rotation waits for.
        wait: Wait,
    },
}

/// Why certificates are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no Secret, or nothing of ours in it.
    Missing,
    /// What is there cannot be used.
    Malformed(String),
    /// What is there has expired.
    Expired(Timestamp),
    /// Two thirds of its life have passed.
    Due(Timestamp),
    /// The leaf lacks a name.
    Name(String),
    /// The leaf is due, and its CA cannot make another.
    Barren(String),
}

/// What ought to happen soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The CA's key is missing or does not match: the next leaf will need another CA.
    AuthorityKey(String),
    /// The leaf is due, and no certificate like the one wanted can be made.
    Renewal(String),
    /// A certificate begins only then: some clock is wrong. Nothing is written until it is right.
    Clock(Timestamp),
}

/// What a rotation at rest waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// No rotation is under way.
    #[default]
    Nothing,
    /// Something has not been read yet.
    Sight,
    /// That API servers see the bundle that is published.
    Trust,
    /// That these replicas serve the new leaf. Empty: it is not known who there is.
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
