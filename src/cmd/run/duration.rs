//! Durations on the command line.

use std::time::Duration;

use jiff::SignedDuration;

/// A duration of more than nothing, such as 2s.
pub(super) fn go_span(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = text.parse().map_err(|error| format!("{error}: write it as 2s or 1m30s"))?;
    Duration::try_from(span).map_err(|_| "must be more than 0".to_owned())
}
