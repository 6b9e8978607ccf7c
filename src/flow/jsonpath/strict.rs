//! What the parser lets pass and RFC 9535 does not: blanks inside names and numbers, control characters in quotes, and
//! functions of its own. A path that another implementation reads differently, or not at all, is no RFC 9535.

/// The functions of RFC 9535.
const FUNCTIONS: [&str; 5] = ["count", "length", "match", "search", "value"];

/// The offset of the first such thing in `query`, and what is wrong with it.
pub(super) fn fault(query: &str) -> Option<(usize, String)> {
    let (mut quote, mut escaped) = (None, false);
    // The last character that is no blank, and whether a blank follows it.
    let (mut last, mut blank) = (None, false);
    let mut word = 0;
    for (at, c) in query.char_indices() {
        if let Some(open) = quote {
            match c {
                c if c < ' ' => return Some((at, "a control character has to be escaped".to_owned())),
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
            return Some((at, format!("unexpected `{c}` after a blank")));
        }
        if c == '(' && word < at && !blank && last.is_some_and(is_word) {
            let name = &query[word..at];
            if !FUNCTIONS.contains(&name) {
                return Some((word, format!("RFC 9535 has no function `{name}`")));
            }
        }
        if is_word(c) && (blank || !last.is_some_and(is_word)) {
            word = at;
        }
        if matches!(c, '\'' | '"') {
            quote = Some(c);
        }
        (last, blank) = (Some(c), false);
    }
    None
}

/// Part of a name or a number.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}
