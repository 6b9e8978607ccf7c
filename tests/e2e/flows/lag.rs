//! How late this machine is.
//!
//! Real time is promised with a tolerance, and a test that measures it from outside sees the scheduling of a busy
//! machine as well: etcd's, the API server's, the program's and its own. So it allows for what it has seen of that.

use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Between two looks at the clock.
const NAP: Duration = Duration::from_millis(20);
/// Processes between a decision and the test that sees it, each woken once.
const WAKES: f64 = 5.0;

static LATE: LazyLock<Mutex<Vec<(Instant, Duration)>>> = LazyLock::new(|| {
    std::thread::spawn(|| {
        loop {
            let due = Instant::now() + NAP;
            std::thread::sleep(NAP);
            let now = Instant::now();
            let late = now.saturating_duration_since(due);
            if late > Duration::from_millis(5) {
                LATE.lock().unwrap().push((now, late));
            }
        }
    });
    Mutex::default()
});

/// Begin to look.
pub(crate) fn watch() {
    LazyLock::force(&LATE);
}

/// Seconds that may have been lost from `from` to `to`, and a second before.
pub(crate) fn between(from: Instant, to: Instant) -> f64 {
    let window = from.checked_sub(Duration::from_secs(1)).unwrap_or(from)..=to + Duration::from_millis(500);
    let late = LATE.lock().unwrap();
    let worst = late.iter().filter(|(at, _)| window.contains(at)).map(|(_, late)| *late).max();
    worst.unwrap_or_default().as_secs_f64() * WAKES
}
