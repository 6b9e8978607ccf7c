//! Certificates and life cycle where they matter: pods that come and go while the API server calls them.
//!
//! headworks is installed anew, as a Deployment of as many replicas as a test wants ([`rig`]). Two callers never pause: a
//! client without a limiter, and `kubectl apply --server-side` in a loop ([`traffic`]). The judge is the API server
//! itself, which counts the calls of a webhook that failed ([`counters`]).
//!
//! `make test-certificates` runs the long forms; see `hack/test-certificates`.

mod boot;
mod restarts;
mod rotation;
mod secrecy;

mod aged;
mod audit;
mod counters;
mod process;
mod rig;
mod slow;
mod traffic;

/// A number from the environment, for the long form of a test.
fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Whether this is the long form.
fn long() -> bool {
    std::env::var_os("HEADWORKS_LONG").is_some()
}
