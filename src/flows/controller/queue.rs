//! The queue of flows to reconcile: urgent ones first, each flow by one worker at a time, timers to the millisecond.
//!
//! Timers are kept in wall-clock time, because that is what a status is written in; the wait is cut into pieces of at
//! most half a minute, so that a clock change, or a machine that slept, is noticed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::pacing::Backoff;

/// The longest wait before the clock is read again.
const CLOCK_CHECK: Duration = Duration::from_secs(30);
/// The waits after work on a key failed.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_mins(5) };

/// The urgency of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Somebody waits for what follows: a Job or pod has ended, or a timer has fired.
    High,
    /// Everything else.
    Normal,
}

/// The end of work on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing is left to do before this time, if there is one.
    Until(Option<Timestamp>),
    /// It failed, and is retried with backoff.
    Failed,
}

/// A queue of keys.
pub(crate) struct Queue<K> {
    inner: Mutex<Inner<K>>,
    /// Notified when a key becomes ready, and when a timer is set that may be the next.
    changed: Notify,
}

struct Inner<K> {
    high: VecDeque<K>,
    normal: VecDeque<K>,
    timers: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// The key of each timer; a timer that is not here any more was replaced.
    timed: HashMap<u64, K>,
    states: HashMap<K, State>,
    next_timer: u64,
}

#[derive(Default)]
struct State {
    /// Set while it is in a queue: with this urgency, since this time.
    queued: Option<(Urgency, Timestamp)>,
    /// Set while a worker has it: the urgency of news that came meanwhile, and when the first came.
    #[expect(clippy::option_option, reason = "not in work; in work; in work and there is news")]
    working: Option<Option<(Urgency, Timestamp)>>,
    timer: Option<u64>,
    failures: u32,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                high: VecDeque::new(),
                normal: VecDeque::new(),
                timers: BinaryHeap::new(),
                timed: HashMap::new(),
                states: HashMap::new(),
                next_timer: 0,
            }),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        // Every change below is made whole before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues `key`, unless it is queued already with this urgency.
    pub(crate) fn add(&self, key: K, urgency: Urgency) {
        if self.lock().add(key, urgency, Timestamp::now()) {
            self.changed.notify_one();
        }
    }

    /// Forgets a key that is gone: its timer and its failures. A key that is queued is still handed out.
    pub(crate) fn forget(&self, key: &K) {
        let mut inner = self.lock();
        inner.cancel(key);
        if inner.states.get(key).is_some_and(|state| state.queued.is_none() && state.working.is_none()) {
            inner.states.remove(key);
        }
    }

    /// Counts the keys that wait for a worker.
    pub(crate) fn len(&self) -> usize {
        let inner = self.lock();
        inner.high.len() + inner.normal.len()
    }

    /// Returns the age of the key that has waited longest.
    pub(crate) fn age(&self) -> SignedDuration {
        let inner = self.lock();
        let oldest = inner.states.values().filter_map(|state| Some(state.queued?.1)).min();
        oldest.map_or(SignedDuration::ZERO, |since| Timestamp::now().duration_since(since))
    }

    /// Waits for the next key. Returns it with the time since which it has waited; nobody else gets it until
    /// [`Queue::done`].
    pub(crate) async fn next(&self) -> (K, Timestamp) {
        loop {
            let (key, due) = self.lock().next(Timestamp::now());
            if let Some((key, since, more)) = key {
                if more {
                    self.changed.notify_one();
                }
                return (key, since);
            }
            let wait = due.map_or(CLOCK_CHECK, |due| until(due).min(CLOCK_CHECK));
            // Notified or timed out: the top of the loop finds out what is ready.
            let _ = tokio::time::timeout(wait, self.changed.notified()).await;
        }
    }

    /// Takes `key` back from its worker, and queues it again if there was news meanwhile or a time is due.
    pub(crate) fn done(&self, key: &K, done: Done) {
        self.lock().done(key, done, Timestamp::now());
        self.changed.notify_one();
    }
}

impl<K: Clone + Eq + Hash> Inner<K> {
    /// Queues a key. Returns whether a worker should wake.
    fn add(&mut self, key: K, urgency: Urgency, now: Timestamp) -> bool {
        let state = self.states.entry(key.clone()).or_default();
        if let Some(again) = &mut state.working {
            *again = Some(again.map_or((urgency, now), |(was, since)| (was.min(urgency), since)));
            return false;
        }
        match state.queued {
            Some((was, _)) if was <= urgency => false,
            was => {
                let since = was.map_or(now, |(_, since)| since);
                state.queued = Some((urgency, since));
                // A key may be in both queues then; `next` skips the second entry.
                match urgency {
                    Urgency::High => self.high.push_back(key),
                    Urgency::Normal => self.normal.push_back(key),
                }
                true
            }
        }
    }

    /// Returns the next key, since when it has waited and whether there are more; or when the next timer is due.
    fn next(&mut self, now: Timestamp) -> (Option<(K, Timestamp, bool)>, Option<Timestamp>) {
        while let Some(Reverse((time, timer))) = self.timers.peek().copied() {
            if !self.timed.contains_key(&timer) {
                self.timers.pop();
                continue;
            }
            if time > now {
                break;
            }
            self.timers.pop();
            if let Some(key) = self.timed.remove(&timer) {
                if let Some(state) = self.states.get_mut(&key) {
                    state.timer = None;
                }
                self.add(key, Urgency::High, time);
            }
        }
        while let Some(key) = self.high.pop_front().or_else(|| self.normal.pop_front()) {
            let Some(state) = self.states.get_mut(&key) else { continue };
            let Some((_, since)) = state.queued.take() else { continue };
            state.working = Some(None);
            if let Some(timer) = state.timer.take() {
                self.timed.remove(&timer);
            }
            let more = !self.high.is_empty() || !self.normal.is_empty();
            return (Some((key, since, more)), None);
        }
        (None, self.timers.peek().map(|Reverse((time, _))| *time))
    }

    fn done(&mut self, key: &K, done: Done, now: Timestamp) {
        let Some(state) = self.states.get_mut(key) else { return };
        let again = state.working.take().flatten();
        let due = match done {
            Done::Until(due) => {
                state.failures = 0;
                due
            }
            Done::Failed => {
                let wait = BACKOFF.after(state.failures);
                state.failures = state.failures.saturating_add(1);
                Some(now.checked_add(wait).unwrap_or(now))
            }
        };
        // After a failure even news waits for the backoff: it would fail as well.
        if let (Some((urgency, since)), Done::Until(_)) = (again, done) {
            self.add(key.clone(), urgency, since);
        } else if let Some(due) = due {
            let timer = self.next_timer;
            self.next_timer += 1;
            state.timer = Some(timer);
            self.timed.insert(timer, key.clone());
            self.timers.push(Reverse((due, timer)));
        } else {
            self.states.remove(key);
        }
    }

    fn cancel(&mut self, key: &K) {
        if let Some(state) = self.states.get_mut(key) {
            state.failures = 0;
            if let Some(timer) = state.timer.take() {
                self.timed.remove(&timer);
            }
        }
    }
}

/// Returns the time from now to `time`, zero if it is past. Timers of tokio are exact to a millisecond, upwards.
fn until(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn next(queue: &Queue<&'static str>, now: Timestamp) -> Option<&'static str> {
        queue.lock().next(now).0.map(|(key, ..)| key)
    }

    #[test]
    fn what_is_urgent_goes_first_and_a_key_is_handed_out_once() {
        let queue = Queue::new();
        for key in ["a", "b", "c"] {
            queue.add(key, Urgency::Normal);
        }
        queue.add("c", Urgency::High);
        queue.add("c", Urgency::Normal);
        let order: Vec<_> = std::iter::from_fn(|| next(&queue, second(0))).collect();
        assert_eq!(order, ["c", "a", "b"]);
    }

    #[test]
    fn a_key_in_work_is_not_handed_out_again_until_it_is_done() {
        let queue = Queue::new();
        queue.add("a", Urgency::Normal);
        assert_eq!(next(&queue, second(0)), Some("a"));
        queue.add("a", Urgency::High);
        assert_eq!(next(&queue, second(0)), None);
        queue.done(&"a", Done::Until(None));
        assert_eq!(next(&queue, second(0)), Some("a"));
    }

    #[test]
    fn news_of_a_key_in_work_wait_since_they_came() {
        let queue = Queue::new();
        queue.lock().add("a", Urgency::Normal, second(1));
        assert_eq!(queue.lock().next(second(2)).0, Some(("a", second(1), false)));
        queue.lock().add("a", Urgency::Normal, second(3));
        queue.lock().add("a", Urgency::High, second(4));
        queue.lock().done(&"a", Done::Until(None), second(5));
        assert_eq!(queue.lock().next(second(6)).0, Some(("a", second(3), false)));
    }

    #[test]
    fn a_timer_fires_when_it_is_due_and_news_replace_it() {
        let queue = Queue::new();
        queue.add("a", Urgency::Normal);
        assert_eq!(next(&queue, second(0)), Some("a"));
        queue.lock().done(&"a", Done::Until(Some(second(10))), second(0));
        assert_eq!(queue.lock().next(second(9)).1, Some(second(10)));
        queue.add("a", Urgency::Normal);
        assert_eq!(next(&queue, second(9)), Some("a"));
        queue.lock().done(&"a", Done::Until(None), second(9));
        assert_eq!(next(&queue, second(11)), None, "the old timer is gone");
    }

    #[test]
    fn a_key_that_fails_waits_longer_each_time_even_when_there_is_news() {
        let queue = Queue::new();
        queue.add("a", Urgency::Normal);
        let mut now = second(0);
        let mut waits = Vec::new();
        for _ in 0..4 {
            assert_eq!(next(&queue, now), Some("a"));
            queue.add("a", Urgency::High);
            queue.lock().done(&"a", Done::Failed, now);
            let due = queue.lock().next(now).1.unwrap();
            waits.push(due.duration_since(now).as_millis());
            now = due;
        }
        assert_eq!(waits, [50, 100, 200, 400]);
    }

    #[tokio::test]
    async fn a_worker_is_woken_by_news() {
        let queue = std::sync::Arc::new(Queue::new());
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.add("a", Urgency::Normal);
        assert_eq!(waiting.await.unwrap().0, "a");
    }
}
