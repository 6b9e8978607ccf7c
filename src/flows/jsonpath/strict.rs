//! Refuses what the parser accepts and RFC 9535 does not: blanks inside names and numbers, control characters in
//! quotes, and functions of its own; and numbers that nothing can be compared with. A path that another implementation
//! reads differently, or not at all, is no RFC 9535.

/// The functions of RFC 9535.
const FUNCTIONS: [&str; 5] = ["count", "length", "match", "search", "value"];

/// The greatest integer that every reader of JSON holds exactly: 2^53 - 1 (RFC 7493, 2.2; RFC 9535, 2.1).
const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// The fix for most of these mistakes.
const NAMES: &str = "names with other characters are written as ['name']";

/// The offset of the first such thing in `query`, what is wrong with it, and what to do.
pub(super) fn fault(query: &str) -> Option<(usize, String, &'static str)> {
    let (mut quote, mut escaped) = (None, false);
    // The last character that is no blank, and whether a blank follows it.
    let (mut last, mut blank) = (None, false);
    let mut word = 0;
    // The end of the last number.
    let mut counted = 0;
    for (at, c) in query.char_indices() {
        if let Some(open) = quote {
            match c {
                c if c < ' ' => return Some((at, "a control character has to be escaped".to_owned(), NAMES)),
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == open => quote = None,
                _ => {}
            }
            continue;
        }
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            blank = true;
            continue;
        }
        let joins = |last: char| {
            is_word(last) && (is_word(c) || matches!(c, '(' | '-' | '+'))
                || last == '.'
                || (matches!(last, '-' | '+') && c.is_ascii_digit())
                // `1 .5` is a number torn apart; no name starts with a digit, but one may end with it.
                || (is_word(last) && c == '.' && query[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
        };
        if blank && last.is_some_and(joins) {
            return Some((at, format!("unexpected `{c}` after a blank"), NAMES));
        }
        if c == '(' && word < at && !blank && last.is_some_and(is_word) {
            let name = &query[word..at];
            if !FUNCTIONS.contains(&name) {
                return Some((word, format!("RFC 9535 has no function `{name}`"), NAMES));
            }
        }
        if is_word(c) && (blank || !last.is_some_and(is_word)) {
            word = at;
            if c.is_ascii_digit() && at >= counted && last != Some('.') {
                let number = number(&query[at..]);
                if let Some(what) = too_large(number) {
                    return Some((at, what, "write a smaller number"));
                }
                counted = at + number.len();
            }
        }
        if matches!(c, '\'' | '"') {
            quote = Some(c);
        }
        (last, blank) = (Some(c), false);
    }
    None
}

/// The number at the start of `text`, without its sign: digits, a fraction, an exponent.
fn number(text: &str) -> &str {
    let digits = |from: usize| from + text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(0);
    if text[end..].starts_with('.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = end + 1 + usize::from(text[end + 1..].starts_with(['+', '-']));
        if digits(sign) > sign {
            end = digits(sign);
        }
    }
    &text[..end]
}

/// Describes the mistake in a number that no JSON document can hold, or not exactly.
fn too_large(number: &str) -> Option<String> {
    let whole = number.split(['.', 'e', 'E']).next().unwrap_or(number);
    // `007` is no number of JSON; the parser reports it.
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    if whole.parse::<u64>().map_or(true, |whole| whole > MAX_INTEGER) {
        return Some(format!("integers are at most {MAX_INTEGER}"));
    }
    number.parse::<serde_json::Number>().is_err().then(|| format!("numbers are at most {:e}", f64::MAX))
}

/// Part of a name or a number.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}
