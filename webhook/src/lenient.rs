//! Finds the uid to answer in a body that does not parse.
//!
//! The API server drops an answer without the right uid, so the user would read "expected response.uid" and not
//! what is wrong. This reads only as much JSON as that takes: brackets and strings, in one pass, without
//! recursion, over any bytes.

/// The fields that could be found; `None` where one could not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// `apiVersion` of the top level.
    pub api_version: Option<String>,
    /// `request.uid`.
    pub uid: Option<String>,
}

/// Finds the first `apiVersion` and the first `request.uid`.
pub(crate) fn envelope(body: &[u8]) -> Envelope {
    let mut found = Envelope::default();
    let mut depth = 0_usize;
    let mut in_request = false;
    let mut key: Option<String> = None; // the key whose value comes next, at depth 1 or 2
    let mut last: Option<String> = None; // the string just read
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let end = end_of_string(body, at);
                if depth == 1 || (depth == 2 && in_request) {
                    let text = unquote(&body[at..end]);
                    match (depth, key.as_deref()) {
                        (1, Some("apiVersion")) => keep(&mut found.api_version, &text),
                        (2, Some("uid")) => keep(&mut found.uid, &text),
                        _ => {}
                    }
                    last = Some(text);
                }
                at = end + 1;
            }
            b':' => key = last.take(),
            b',' => (key, last) = (None, None),
            b'{' | b'[' => {
                depth += 1;
                if depth == 2 {
                    in_request = byte == b'{' && key.as_deref() == Some("request");
                }
                (key, last) = (None, None);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                in_request &= depth >= 2;
                (key, last) = (None, None);
            }
            _ => {}
        }
        if found.uid.is_some() && found.api_version.is_some() {
            break;
        }
    }
    found
}

fn keep(slot: &mut Option<String>, text: &str) {
    slot.get_or_insert_with(|| text.to_owned());
}

/// Index of the closing quote of the string whose content starts at `at`, or of the end of the body.
fn end_of_string(body: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

/// The text of a JSON string's content; what is no valid JSON string is taken as it stands.
fn unquote(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if !text.contains('\\') {
        return text.into_owned();
    }
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(body: &str) -> Option<String> {
        envelope(body.as_bytes()).uid
    }

    #[test]
    fn the_uid_is_found_before_the_break() {
        assert_eq!(
            uid(r#"{"apiVersion":"v","request":{"uid":"a-1","object":{"x":[1,"#).as_deref(),
            Some("a-1")
        );
        assert_eq!(uid(r#" { "request" : { "x":{"y":[]}, "uid" : "a\u002d1" }"#).as_deref(), Some("a-1"));
    }

    #[test]
    fn another_uid_is_not_mistaken_for_it() {
        assert_eq!(
            uid(r#"{"uid":"no","object":{"uid":"no"},"request":{"userInfo":{"uid":"no"},"x":["uid","no"]}"#),
            None
        );
        assert_eq!(uid(r#"{"request":["uid","no"]}{"uid":"no"}"#), None);
        assert_eq!(uid(r#"{"request":{"name":"uid","x":"no"}}"#), None);
    }

    #[test]
    fn the_first_of_two_is_taken() {
        assert_eq!(uid(r#"{"request":{"uid":"a","uid":"b"}}"#).as_deref(), Some("a"));
    }

    #[test]
    fn a_string_without_an_end_ends_with_the_body() {
        assert_eq!(envelope(br#"{"request":{"uid":"a\"#).uid.as_deref(), Some("a\\"));
        assert_eq!(envelope(b"\"\\").uid, None);
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let body = format!(r#"{{"x":{}"#, "[".repeat(1 << 20));
        assert_eq!(uid(&body), None);
    }
}
