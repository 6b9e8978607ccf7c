//! The arguments of `headworks run` for managed mode: lifetimes, and the name of this pod.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use headworks_certs::managed::{ManagedConfig, ReplicaRef};
use headworks_certs::{Lifetimes, ServiceNames};
use jiff::SignedDuration;

use super::duration::go_span;

/// The CA of its own, and the certificates that it signs.
#[derive(Args, Debug)]
#[command(next_help_heading = "Managed certificates")]
pub(super) struct OwnCaArgs {
    /// The lifetime of a certificate, as a duration such as 336h; it is renewed after two thirds.
    #[arg(long, default_value = "336h", value_parser = lifetime, value_name = "DURATION")]
    cert_lifetime: SignedDuration,
    /// The lifetime of the CA; it is replaced, in steps, after two thirds.
    #[arg(long, default_value = "8760h", value_parser = lifetime, value_name = "DURATION")]
    ca_lifetime: SignedDuration,
    /// The time that a new CA is published before a certificate needs it, so that every API server has seen it.
    #[arg(long, default_value = "30s", value_parser = go_span, value_name = "DURATION")]
    cert_publish_wait: Duration,
    /// The pod that this is: it reports in a Lease named after it which certificate it serves.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// The UID of that pod, so that the Lease goes with it.
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pod_uid: Option<String>,
}

/// Minutes are for tests.
fn lifetime(text: &str) -> Result<SignedDuration, String> {
    let span: SignedDuration = text.parse().map_err(|error| format!("{error}: write it as 336h or 30m"))?;
    (span >= SignedDuration::from_mins(1)).then_some(span).ok_or_else(|| "must be at least 1m".to_owned())
}

impl OwnCaArgs {
    /// Checks that the durations go together.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Self { cert_lifetime, ca_lifetime, cert_publish_wait, .. } = self;
        ensure!(
            ca_lifetime >= cert_lifetime,
            "--ca-lifetime {ca_lifetime:#} is shorter than --cert-lifetime {cert_lifetime:#}: no certificate could live that long"
        );
        // A rotation begins with a third of the life left, and has to wait before the new CA is used.
        let wait = SignedDuration::try_from(*cert_publish_wait)?;
        ensure!(
            wait * 6 <= *cert_lifetime,
            "--cert-publish-wait {wait:#} is more than a sixth of --cert-lifetime {cert_lifetime:#}: certificates would end before their successors may be used"
        );
        Ok(())
    }

    pub(super) fn lifetimes(&self) -> Lifetimes {
        Lifetimes { leaf: self.cert_lifetime, ca: self.ca_lifetime, ..Lifetimes::default() }
    }

    /// For the Secret of that name, and no webhook configuration yet.
    pub(super) fn config(&self, secret: &str, names: ServiceNames) -> ManagedConfig {
        let usual = ManagedConfig::new(secret, names);
        // Once a minute, or often enough for a certificate of minutes.
        let often = Duration::try_from(self.cert_lifetime / 20).unwrap_or(usual.tick);
        ManagedConfig {
            lifetimes: self.lifetimes(),
            publish_wait: self.cert_publish_wait,
            replica: self.pod_name.clone().map(|pod| ReplicaRef { pod, uid: self.pod_uid.clone() }),
            tick: usual.tick.min(often),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        own_ca: OwnCaArgs,
    }

    fn parse(line: &str) -> OwnCaArgs {
        Line::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).unwrap().own_ca
    }

    #[test]
    fn certificates_of_minutes_are_possible_and_the_pod_is_ready_with_them() {
        let args = parse("--cert-lifetime 3m --ca-lifetime 6m --cert-publish-wait 10s");
        args.check().unwrap();
        assert_eq!(args.lifetimes().margin(), SignedDuration::from_secs(18));
        assert_eq!(args.config("s", ServiceNames::new("a", "b")).tick, Duration::from_secs(9));
        assert_eq!(parse("").lifetimes().margin(), SignedDuration::from_mins(10));
        assert_eq!(parse("").config("s", ServiceNames::new("a", "b")).tick, Duration::from_mins(1));
    }

    #[test]
    fn what_cannot_work_together_is_refused_in_words() {
        let refused = |line| parse(line).check().unwrap_err().to_string();
        assert_eq!(
            refused("--ca-lifetime 24h"),
            "--ca-lifetime 24h is shorter than --cert-lifetime 336h: no certificate could live that long"
        );
        assert_eq!(
            refused("--cert-lifetime 2m"),
            "--cert-publish-wait 30s is more than a sixth of --cert-lifetime 2m: certificates would end before their successors may be used"
        );
        assert!(Line::try_parse_from(["x", "--cert-lifetime", "59s"]).is_err());
    }
}
