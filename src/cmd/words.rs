//! Spans, lists and other people's words, as a terminal may show them.

use jiff::SignedDuration;

/// A span of time for people: `1.4s`, `12s`, `4m12s`, `2h05m`, `3d04h`.
pub(crate) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        ..10 => format!("{}.{}s", seconds, span.subsec_millis().max(0) / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// At most `most` of the names, and how many more there are.
pub(crate) fn list(names: &[&str], most: usize) -> String {
    let shown = names[..names.len().min(most)].join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `1 step`, `2 steps`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Words that come from elsewhere, on one line and without anything that a terminal would obey.
pub(crate) fn clean(text: &str) -> String {
    let obeyed = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let words: String = text.chars().map(|c| if obeyed(c) { ' ' } else { c }).collect();
    words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `text`, cut to `width` characters if need be.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{}..", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_at_most() {
        let of = |millis| span(SignedDuration::from_millis(millis));
        assert_eq!(of(-5), "0.0s");
        assert_eq!(of(1_449), "1.4s");
        assert_eq!(of(59_999), "59s");
        assert_eq!(of(252_000), "4m12s");
        assert_eq!(of(7_500_000), "2h05m");
        assert_eq!(of(273_600_000), "3d04h");
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n\tc \u{202e}d"), "a [2Jb c d");
    }

    #[test]
    fn long_texts_and_lists_are_cut() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcd fg", 6), "abcd..");
        assert_eq!(cut("abcdef", 0), "..");
        assert_eq!(list(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(list(&["a", "b"], 2), "a, b");
    }
}
