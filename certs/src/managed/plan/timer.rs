//! PURE: how long the bundle with the next CA has been published, by this writer's own steady clock.
//!
//! The Secret tells in which generations of the configurations the bundle was read back (`published-to`). A generation
//! counts every change of the webhooks, so the same generations, seen at two instants, held the same bundle in between,
//! also where a watch told nothing of what came and went. The instant in the Secret (`published-at`) is somebody's wall
//! clock: it names the publication and informs people, and nothing is decided by it. A machine that was suspended, or
//! whose clock was set, so waits as long as any other; one that comes new waits anew.

use tokio::time::Instant;

use crate::managed::{Configuration, Phase, State, fingerprint, state::Published};

/// What is being waited for, and since when.
#[derive(Clone, Debug, Default)]
pub(in crate::managed) struct Vigil(Option<(Published, Vec<u8>, Instant)>);

impl Vigil {
    /// Looks once more. `whole`: every configuration has been read and carries the bundle.
    pub(in crate::managed) fn look(
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
    use crate::managed::{ConfigurationKind, ConfigurationRef, Material};

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
        let (mut vigil, start) = (Vigil::default(), Instant::now());
        let second = |n| start + Duration::from_secs(n);
        assert_eq!(vigil.look(Some(&state), &configurations, true, second(0)), Some(second(0)));
        assert_eq!(vigil.look(Some(&state), &configurations, true, second(9)), Some(second(0)));
        configurations[0].version = "2".to_owned(); // a label, say
        assert_eq!(vigil.look(Some(&state), &configurations, true, second(10)), Some(second(0)));
        configurations[0].generation = 6; // blanked and repaired
        assert_eq!(vigil.look(Some(&state), &configurations, true, second(11)), None);
        state.published = Some(Published { at, to: fingerprint(&configurations) });
        assert_eq!(vigil.look(Some(&state), &configurations, true, second(12)), Some(second(12)));
        assert_eq!(vigil.look(Some(&state), &configurations, false, second(13)), None, "one was not read");
        assert_eq!(vigil.look(Some(&state), &configurations, true, second(14)), Some(second(14)));
    }
}
