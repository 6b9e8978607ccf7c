//! The configuration of the controller.

use std::time::Duration;

use jiff::SignedDuration;

/// The configuration of the controller.
#[derive(Clone, Debug)]
pub struct Config {
    /// The only namespace to watch; all if absent.
    pub namespace: Option<String>,
    /// The time for which a node may be not Ready until its pods are given up.
    pub node_grace: SignedDuration,
    /// The timeout of one write.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { namespace: None, node_grace: SignedDuration::from_secs(5), timeout: Duration::from_secs(5) }
    }
}
