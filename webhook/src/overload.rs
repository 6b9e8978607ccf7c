//! Bounded work: so many reviews are judged at once, so many wait, and the rest is told to come back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The two bounds. A place is what a waiting or running review holds, a turn is what a running one holds besides.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A review that may wait for its turn.
#[derive(Debug)]
pub(crate) struct Place {
    permit: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
}

/// A review that may run, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

/// As many are waiting as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

impl Gate {
    pub(crate) fn new(in_flight: usize, queue: usize) -> Self {
        let bounded = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let in_flight = in_flight.max(1);
        Self { places: bounded(in_flight.saturating_add(queue)), turns: bounded(in_flight) }
    }

    /// Takes a place, at once or not at all.
    pub(crate) fn enter(&self) -> Result<Place, Overloaded> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Overloaded)?;
        Ok(Place { permit, turns: Arc::clone(&self.turns) })
    }
}

impl Place {
    /// Waits for a turn, first come, first served. A caller that stops waiting gives its place up.
    pub(crate) async fn turn(self) -> Turn {
        // The semaphore is never closed, so there always is a permit to wait for.
        let turn = self.turns.acquire_owned().await.ok();
        Turn { _permits: (self.permit, turn) }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn one_runs_one_waits_and_the_third_is_turned_away() {
        let gate = Gate::new(1, 1);
        let running = gate.enter().unwrap().turn().now_or_never().unwrap();
        let mut waiting = Box::pin(gate.enter().unwrap().turn());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(gate.enter().unwrap_err(), Overloaded);
        drop(running);
        assert!(waiting.as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_stops_waiting_leaves_the_place_to_another() {
        let gate = Gate::new(1, 1);
        let _running = gate.enter().unwrap().turn().now_or_never().unwrap();
        drop(gate.enter().unwrap().turn());
        assert!(gate.enter().is_ok());
    }
}
