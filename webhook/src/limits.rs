//! Every bound of the server in one place.

use std::thread::available_parallelism;
use std::time::Duration;

/// Bounds on size, number and time. The defaults fit an API server as the only caller and rarely need a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body: 7 MiB. An API server takes 3 MiB from its users, and an update carries two objects.
    pub body: usize,
    /// Bytes of all bodies held at one time: 64 MiB. Counted as they arrive, not as they are announced; beyond it
    /// callers are asked to try again.
    pub bodies: usize,
    /// Reviews judged at one time: twice the cores, so that a few long ones do not hold up the
    /// short.
    pub in_flight: usize,
    /// Reviews that may wait for their turn: 256. One more is asked to try again.
    pub queue: usize,
    /// The longest a call may take, if the caller gives no shorter `?timeout=`: 10 s.
    pub deadline: Duration,
    /// Time before the caller gives up at which the answer is sent: 100 ms, but no more than a tenth of the deadline.
    pub margin: Duration,
    /// A TLS handshake: 5 s.
    pub handshake: Duration,
    /// A request's head, from its first byte to its last: 5 s.
    pub header: Duration,
    /// A request's body, from the end of the head: 10 s.
    pub body_read: Duration,
    /// A write that makes no progress: 10 s.
    pub write: Duration,
    /// A connection between two requests: 120 s. An API server closes after 90 s; who closes first must be the
    /// caller, or a call could meet a connection that is just going away.
    pub idle: Duration,
    /// Connections at one time: 1,024. Further ones wait in the kernel's queue until one closes.
    pub connections: usize,
    /// At shutdown, stop once no request has come for this long: 5 s.
    pub quiet: Duration,
    /// At shutdown, stop after this long in any case: 25 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            body: 7 << 20,
            bodies: 64 << 20,
            in_flight: 2 * available_parallelism().map_or(2, usize::from),
            queue: 256,
            deadline: seconds(10),
            margin: Duration::from_millis(100),
            handshake: seconds(5),
            header: seconds(5),
            body_read: seconds(10),
            write: seconds(10),
            idle: seconds(120),
            connections: 1024,
            quiet: seconds(5),
            drain: seconds(25),
        }
    }
}
