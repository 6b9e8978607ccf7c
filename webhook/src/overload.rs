//! Bounds on work: some reviews run together, some wait, and the rest is asked to try again.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The two bounds. A waiting or running review holds a slot; a running one holds a turn besides.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    slots: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A review that may wait for its turn.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
}

/// A review that may run, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

impl Gate {
    pub(crate) fn new(in_flight: usize, queue: usize) -> Self {
        let bounded = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let in_flight = in_flight.max(1);
        Self { slots: bounded(in_flight.saturating_add(queue)), turns: bounded(in_flight) }
    }

    /// Takes a slot if one is free, without waiting.
    pub(crate) fn enter(&self) -> Result<Slot, Overloaded> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Overloaded)?;
        Ok(Slot { permit, turns: Arc::clone(&self.turns) })
    }
}

impl Slot {
    /// Waits for a turn, first come, first served. A caller that stops waiting gives up its slot.
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
    fn a_caller_that_stops_waiting_frees_its_slot() {
        let gate = Gate::new(1, 1);
        let _running = gate.enter().unwrap().turn().now_or_never().unwrap();
        drop(gate.enter().unwrap().turn());
        assert!(gate.enter().is_ok());
    }
}
