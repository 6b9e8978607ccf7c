//! Deadline of a request.
//!
//! The API server puts what is left of its own deadline into the query, `?timeout=4.5s`, in Go's duration syntax.

use std::time::Duration;

use crate::limits::Limits;

/// Returns the time that an answer may take: the caller's timeout or our own cap, whichever is shorter, less a margin for the
/// way back. A timeout that cannot be read or is not positive counts as none.
pub(crate) fn allowance(query: Option<&str>, limits: &Limits) -> Duration {
    let asked = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("timeout="))
        .and_then(go_duration)
        .filter(|timeout| !timeout.is_zero());
    let whole = asked.map_or(limits.deadline, |timeout| timeout.min(limits.deadline));
    whole.saturating_sub(limits.margin.min(whole / 10))
}

/// Reads what Go's `Duration.String` writes and `ParseDuration` accepts, without sign: `1m0.5s`, `250ms`.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let seconds = match &tail[..unit] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let value: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(value * seconds).ok()?)?;
        rest = &tail[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(query: &str) -> u128 {
        allowance(Some(query), &Limits::default()).as_millis()
    }

    #[test]
    fn the_callers_timeout_is_kept_less_a_margin() {
        assert_eq!(millis("timeout=5s"), 4900);
        assert_eq!(millis("a=b&timeout=1.5s"), 1400);
        assert_eq!(millis("timeout=500ms"), 450, "a short timeout loses a tenth only");
    }

    #[test]
    fn our_own_cap_holds_where_the_caller_gives_no_shorter_one() {
        assert_eq!(allowance(None, &Limits::default()).as_millis(), 9900);
        for query in [
            "",
            "timeout=",
            "timeout=0s",
            "timeout=-1s",
            "timeout=5",
            "timeout=x",
            "timeout=1e9s",
            "timeout=30s",
        ] {
            assert_eq!(millis(query), 9900, "{query}");
        }
    }

    #[test]
    fn durations_read_as_in_go() {
        let cases =
            [("1m0s", 60_000), ("1h1m1.001s", 3_661_001), (".5s", 500), ("250ms", 250), ("7µs", 0), ("0", 0)];
        for (text, millis) in cases {
            assert_eq!(go_duration(text).map(|d| d.as_millis()), Some(millis), "{text}");
        }
        for text in ["", ".s", "1.1.1s", "s", "99999999999999999999h", "5 s", "5d"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
