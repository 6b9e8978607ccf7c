//! PURE: which configurations were right, and have been changed by somebody else since.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::patience::Patience;
use crate::managed::{ConfigurationRef, Observed, Seen};

/// What is remembered of every configuration.
#[derive(Debug)]
pub(super) struct Repairs(BTreeMap<ConfigurationRef, Watched>);

#[derive(Debug, Default)]
struct Watched {
    /// The bundle it had, and ought to have had, when last seen right.
    right: Option<String>,
    /// It has lost that same bundle since, by somebody else's hand, and may be repaired from then on.
    repair: Option<Instant>,
    patience: Patience,
}

impl Repairs {
    pub(super) fn new(configurations: Vec<ConfigurationRef>) -> Self {
        Self(configurations.into_iter().map(|one| (one, Watched::default())).collect())
    }

    /// Remembers which configurations were right: one that was, and has lost the very bundle that it still ought to
    /// have, has been changed by somebody else. One that lacks a new bundle has not.
    pub(super) fn note(&mut self, seen: &Observed, bundle: &str, now: Instant) {
        for (reference, watched) in &mut self.0 {
            let Some(Seen::Present(configuration)) = seen.configurations.get(reference) else {
                (watched.right, watched.repair) = (None, None);
                continue;
            };
            if configuration.carries(bundle) {
                (watched.right, watched.repair) = (Some(bundle.to_owned()), None);
            } else if watched.right.take().is_some_and(|right| right == bundle) {
                watched.repair = Some(watched.patience.strike(now));
            }
        }
    }

    /// From when on it may be repaired, if it was changed.
    pub(super) fn due(&self, reference: &ConfigurationRef) -> Option<Instant> {
        self.0.get(reference).and_then(|watched| watched.repair)
    }
}
