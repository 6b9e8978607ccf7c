//! Go durations: `1h2m3.5s`, `500ms`, `1µs`.
//!
//! Reads what Go's `time.ParseDuration` reads, exactly, in nanoseconds. Bounds are the caller's.

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// The longest duration that flows and Services take.
pub const THIRTY_DAYS: i64 = 30 * 24 * 3_600 * SECOND;

/// Reasons for which a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing is there.
    #[error("is empty; write \"10s\"")]
    Empty,
    /// A number without a unit.
    #[error("has a number without a unit; write \"{0}s\"")]
    MissingUnit(String),
    /// An unknown unit.
    #[error("has the unknown unit `{0}`; the units are h, m, s, ms, us and ns")]
    UnknownUnit(String),
    /// Something that is no number where one has to be.
    #[error("must be numbers with units, such as 500ms, 10s or 1m30s")]
    Format,
    /// Beyond what Go holds (292 years).
    #[error("is too long")]
    TooLong,
}

/// Reads a duration; returns nanoseconds, negative ones included. A fraction of a nanosecond is cut.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.as_bytes() {
        [] => return Err(DurationError::Empty),
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Format);
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(DurationError::Format);
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let unit = match name {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => i128::from(SECOND),
            "m" => 60 * i128::from(SECOND),
            "h" => 3_600 * i128::from(SECOND),
            "" => return Err(DurationError::MissingUnit(cut(&rest[..rest.len() - after.len()]))),
            _ => return Err(DurationError::UnknownUnit(cut(name))),
        };
        total += amount(whole, fraction, unit).ok_or(DurationError::TooLong)?;
        if total > i128::from(i64::MAX) {
            return Err(DurationError::TooLong);
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| DurationError::TooLong)
}

/// Writes nanoseconds as Go does: `1h0m0s`, `1m30s`, `500ms`.
pub fn format(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let n = nanoseconds.unsigned_abs();
    let part = |unit: u64, name: &str| {
        let fraction = n % unit;
        let width = unit.ilog10() as usize;
        let text = format!("{}.{fraction:0width$}", n / unit);
        format!("{sign}{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match n {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => part(1_000, "µs"),
        1_000_000..1_000_000_000 => part(1_000_000, "ms"),
        _ => {
            let seconds = n / 1_000_000_000;
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            let rest = n % 60_000_000_000;
            let text = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
            let rest = text.trim_end_matches('0').trim_end_matches('.');
            match (hours, minutes) {
                (0, 0) => format!("{sign}{rest}s"),
                (0, _) => format!("{sign}{minutes}m{rest}s"),
                _ => format!("{sign}{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn amount(whole: &str, fraction: &str, unit: i128) -> Option<i128> {
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 18 digits of a fraction are below a nanosecond even for hours.
    let fraction = &fraction[..fraction.len().min(18)];
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(part * unit / scale)
}

fn cut(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("5s", 5 * SECOND),
            ("1h2m3.5s", 3_723_500_000_000),
            ("500ms", 500_000_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("1us", 1_000),
            (".5s", SECOND / 2),
            ("1.s", SECOND),
            ("-1.5h", -5_400 * SECOND),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", i64::MAX),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_what_to_write() {
        assert_eq!(parse("10").unwrap_err().to_string(), "has a number without a unit; write \"10s\"");
        assert_eq!(parse("1m30"), Err(DurationError::MissingUnit("30".to_owned())));
        assert_eq!(parse("1d"), Err(DurationError::UnknownUnit("d".to_owned())));
        assert_eq!(parse("1 s"), Err(DurationError::UnknownUnit(" s".to_owned())));
        assert_eq!(parse(""), Err(DurationError::Empty));
        for text in ["s", ".s", "-", "+.", "abc", "1s2", " 1s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("9223372036854775808ns"), Err(DurationError::TooLong));
        assert_eq!(parse(&format!("{}h", "9".repeat(60))), Err(DurationError::TooLong));
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (500_000_000, "500ms"),
            (90 * SECOND, "1m30s"),
            (3_600 * SECOND, "1h0m0s"),
            (-SECOND - 1, "-1.000000001s"),
        ] {
            assert_eq!(format(nanoseconds), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanoseconds in any::<i64>()) {
            prop_assume!(nanoseconds != i64::MIN);
            prop_assert_eq!(parse(&format(nanoseconds)), Ok(nanoseconds));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = parse(&text);
        }
    }
}
