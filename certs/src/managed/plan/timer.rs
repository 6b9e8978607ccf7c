//! Time that the bundle with the next CA has been published, by this writer's own steady clock.
//!
//! The Secret records in which generations of the configurations the bundle was read back (`published-to`). A generation
//! counts every change of the webhooks, so the same generations, seen at two instants, held the same bundle in between,
//! even if a watch missed a change that was undone. The time in the Secret (`published-at`) is somebody's wall clock: it
//! identifies the publication and informs people, and nothing is decided by it. A machine that was suspended, or whose
//! clock was set, therefore waits as long as any other, and a new process begins the wait anew.

use tokio::time::Instant;

use crate::managed::plan::configuration::Configuration;
use crate::managed::plan::decide::fingerprint;
use crate::managed::plan::secret::{Phase, Published, State};

/// The publication that is waited for, the next CA in it, and since when this writer has observed both.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishTimer(Option<(Published, Vec<u8>, Instant)>);

impl PublishTimer {
    /// Observes the cluster once more. `whole`: every configuration has been read and carries the bundle. Returns since
    /// when the publication has been there without a break.
    pub(crate) fn observe(
        &mut self,
        state: Option<&State>,
        configurations: &[Configuration],
        whole: bool,
        now: Instant,
    ) -> Option<Instant> {
        let publication = state.filter(|state| whole && state.phase == Phase::Published).and_then(|state| {
            let published = state.published.clone()?;
            let next = state.next_ca.as_ref()?.cert.clone();
            (published.to == fingerprint(configurations)).then_some((published, next))
        });
        self.0 = publication.map(|(published, next)| match self.0.take() {
            Some((before, ca, since)) if before == published && ca == next => (before, ca, since),
            _ => (published, next, now),
        });
        self.0.as_ref().map(|(_, _, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::managed::plan::configuration::{ConfigurationKind, ConfigurationRef};
    use crate::managed::plan::secret::Material;

    #[test]
    fn the_wait_begins_anew_with_every_change_even_one_that_was_not_seen() {
        let reference = ConfigurationRef { kind: ConfigurationKind::Validating, name: "a".to_owned() };
        let (uid, version, webhooks) = ("u".to_owned(), "1".to_owned(), vec![]);
        let mut configurations = [Configuration { reference, uid, version, generation: 4, webhooks }];
        let at = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut state = State {
            next_ca: Some(Material { cert: b"ca".to_vec(), key: None }),
            phase: Phase::Published,
            published: Some(Published { at, to: fingerprint(&configurations) }),
            ..State::default()
        };
        let (mut timer, start) = (PublishTimer::default(), Instant::now());
        let second = |n| start + Duration::from_secs(n);
        assert_eq!(timer.observe(Some(&state), &configurations, true, second(0)), Some(second(0)));
        assert_eq!(timer.observe(Some(&state), &configurations, true, second(9)), Some(second(0)));
        configurations[0].version = "2".to_owned(); // a label, say
        assert_eq!(timer.observe(Some(&state), &configurations, true, second(10)), Some(second(0)));
        configurations[0].generation = 6; // blanked and repaired
        assert_eq!(timer.observe(Some(&state), &configurations, true, second(11)), None);
        state.published = Some(Published { at, to: fingerprint(&configurations) });
        assert_eq!(timer.observe(Some(&state), &configurations, true, second(12)), Some(second(12)));
        assert_eq!(timer.observe(Some(&state), &configurations, false, second(13)), None, "one was not read");
        assert_eq!(timer.observe(Some(&state), &configurations, true, second(14)), Some(second(14)));
    }
}
