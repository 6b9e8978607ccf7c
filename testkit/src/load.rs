//! Calls at a fixed rate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::{ApiServer, Call, CallError};

/// Calls that begin at fixed instants, whether earlier ones have ended or not: an open loop. Under a closed one a
/// server that stands still is asked less, and its pauses are not seen.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    running: JoinHandle<Report>,
}

/// The outcome of a load.
#[derive(Debug, Default)]
pub struct Report {
    /// From the instant at which each call was to begin to its answer, sorted.
    pub latencies: Vec<Duration>,
    /// Calls that a user would have seen fail, with when that was, after the begin of the load.
    pub failures: Vec<(Duration, CallError)>,
    /// Answers that refused the object.
    pub denied: usize,
    /// Times that a call was asked again, told to by the webhook.
    pub retries: u32,
    /// From the first call to the last answer.
    pub took: Duration,
}

impl Load {
    /// Calls `per_second` times a second from now on, until stopped. `call` makes the n-th.
    pub fn start(
        server: &ApiServer,
        per_second: f64,
        call: impl Fn(u64) -> Call + Send + Sync + 'static,
    ) -> Self {
        Self::start_bounded(server, per_second, Semaphore::MAX_PERMITS, call)
    }

    /// The same with so many calls under way at most; further ones wait for their turn. An API server bounds them
    /// as well, and a test on a busy machine must not fail for want of CPU.
    pub fn start_bounded(
        server: &ApiServer,
        per_second: f64,
        most: usize,
        call: impl Fn(u64) -> Call + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ticks = pace(per_second, Arc::clone(&stop));
        let turns = Arc::new(Semaphore::new(most));
        let running = tokio::spawn(drive(server.clone(), ticks, Arc::clone(&stop), turns, call));
        Self { stop, running }
    }

    /// Begins no more calls, and waits for the answers to those that have begun.
    pub async fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        // A panic in there would be one of this module's own.
        self.running.await.unwrap_or_default()
    }
}

/// Tells each call when it was to begin. A thread of its own, because tokio's timer knows milliseconds only.
fn pace(per_second: f64, stop: Arc<AtomicBool>) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let begin = Instant::now();
        let mut number = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            let due = begin + Duration::from_secs_f64(f64::from(number) / per_second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
            number += 1;
        }
    });
    receiver
}

async fn drive(
    server: ApiServer,
    mut ticks: mpsc::UnboundedReceiver<Instant>,
    stop: Arc<AtomicBool>,
    turns: Arc<Semaphore>,
    call: impl Fn(u64) -> Call,
) -> Report {
    let begin = Instant::now();
    let (sender, mut outcomes) = mpsc::unbounded_channel();
    let gather = tokio::spawn(async move {
        let mut report = Report::default();
        while let Some((due, ended, outcome)) = outcomes.recv().await {
            report.add(begin, due, ended, outcome);
        }
        report
    });
    let mut number = 0;
    while let Some(due) = ticks.recv().await {
        let turn = Arc::clone(&turns).acquire_owned().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (server, call, sender) = (server.clone(), call(number), sender.clone());
        number += 1;
        tokio::spawn(async move {
            let outcome = server.call(&call).await;
            drop(turn);
            // Whoever listens does so until the last has spoken.
            _ = sender.send((due, Instant::now(), outcome));
        });
    }
    drop(sender);
    let mut report = gather.await.unwrap_or_default();
    report.latencies.sort_unstable();
    report
}

impl Report {
    fn add(
        &mut self,
        begin: Instant,
        due: Instant,
        ended: Instant,
        outcome: Result<crate::Answer, CallError>,
    ) {
        self.took = self.took.max(ended.saturating_duration_since(begin));
        match outcome {
            Ok(answer) => {
                self.latencies.push(ended.saturating_duration_since(due));
                self.denied += usize::from(!answer.allowed);
                self.retries += answer.retries;
            }
            Err(error) => self.failures.push((due.saturating_duration_since(begin), error)),
        }
    }

    /// Calls that were made.
    pub fn calls(&self) -> usize {
        self.latencies.len() + self.failures.len()
    }

    /// The latency that this part of all answers kept, 0.99 say. Zero without an answer.
    pub fn percentile(&self, part: f64) -> Duration {
        percentile(&self.latencies, part)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the number of an element among millions at most"
)]
fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let at = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1).min(last)).copied().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls in {:.1?}, {} failed, {} denied, {} asked again, p50 {:.2?}, p99 {:.2?}",
            self.calls(),
            self.took,
            self.failures.len(),
            self.denied,
            self.retries,
            self.percentile(0.5),
            self.percentile(0.99),
        )?;
        let mut kinds: BTreeMap<&str, Vec<&(Duration, CallError)>> = BTreeMap::new();
        for failure in &self.failures {
            kinds.entry(failure.1.category()).or_default().push(failure);
        }
        for (kind, failures) in kinds {
            write!(f, "\n{kind}: {}", failures.len())?;
            for (at, error) in failures.iter().take(5) {
                write!(f, "\n  at {at:.3?}: {error}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_answer_that_so_many_were_not_slower_than() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 0.5), Duration::from_millis(100));
        assert_eq!(percentile(&sorted, 0.99), Duration::from_millis(198));
        assert_eq!(percentile(&sorted, 1.0), Duration::from_millis(200));
        assert_eq!(percentile(&sorted[..1], 0.99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
