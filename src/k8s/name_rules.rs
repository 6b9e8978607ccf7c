//! Rules for names and labels, as Kubernetes checks them (`k8s.io/apimachinery/pkg/util/validation`).
//!
//! Each function says what is wrong, for the user, or gives `None`.

use crate::names::MAX_LABEL;

/// A DNS label (RFC 1123): the name of a step, container, volume, Service.
pub fn dns_label(name: &str) -> Option<String> {
    if name.len() > MAX_LABEL {
        return Some(format!("must be no more than {MAX_LABEL} characters"));
    }
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if name.is_empty() || !name.bytes().all(inner) || name.starts_with('-') || name.ends_with('-') {
        return Some(
            "must be lower case letters, digits and `-`, and start and end with a letter or digit".to_owned(),
        );
    }
    None
}

/// A DNS subdomain (RFC 1123): the name of most objects.
pub fn dns_subdomain(name: &str) -> Option<String> {
    if name.len() > 253 {
        return Some("must be no more than 253 characters".to_owned());
    }
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if !name.split('.').all(part) {
        return Some(
            "must be lower case letters, digits, `-` and `.`, and start and end with a letter or digit"
                .to_owned(),
        );
    }
    None
}

/// A qualified name, the key of a label or annotation: `name` or `prefix/name`.
pub fn qualified_name(key: &str) -> Option<String> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if let Some(wrong) = dns_subdomain(prefix) {
                return Some(format!("must have a DNS name before `/`, which {wrong}"));
            }
            name
        }
        None => key,
    };
    if name.len() > MAX_LABEL {
        return Some(format!("must have a name of no more than {MAX_LABEL} characters"));
    }
    if !is_label_text(name) {
        return Some(
            "must be letters, digits, `-`, `_` and `.`, and start and end with a letter or digit, \
             with at most one `/` after a DNS prefix"
                .to_owned(),
        );
    }
    None
}

/// Tests whether a label of a Job's pods is one that the API server writes, from the Job's own name and uid: another
/// value is refused (`generateSelector`, `validateGeneratedSelector` of `k8s.io/kubernetes/pkg/apis/batch`).
pub fn is_generated_label(key: &str) -> bool {
    matches!(key.strip_prefix("batch.kubernetes.io/").unwrap_or(key), "controller-uid" | "job-name")
}

/// The value of a label; empty is allowed.
pub fn label_value(value: &str) -> Option<String> {
    if value.len() > MAX_LABEL {
        return Some(format!("must be no more than {MAX_LABEL} characters"));
    }
    if !value.is_empty() && !is_label_text(value) {
        return Some(
            "must be letters, digits, `-`, `_` and `.`, and start and end with a letter or digit".to_owned(),
        );
    }
    None
}

/// The name of an environment variable, as Kubernetes 1.34 and later takes it: printable ASCII but `=`.
pub fn env_name(name: &str) -> Option<String> {
    if name.is_empty() || !name.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=') {
        return Some("must be printable ASCII characters other than `=`".to_owned());
    }
    None
}

/// The name of a parameter or artifact: a letter or `_`, then letters, digits, `_` and `-`; at most 63.
pub fn parameter(name: &str) -> Option<String> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_');
    if !first || !bytes.all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-') {
        return Some("must be a letter or `_`, then letters, digits, `_` and `-`".to_owned());
    }
    (name.len() > MAX_LABEL).then(|| format!("must be no more than {MAX_LABEL} characters"))
}

/// The name of a port: a service name of IANA (RFC 6335; `IsValidPortName`).
pub fn port_name(name: &str) -> Option<&'static str> {
    if name.len() > 15 {
        return Some("must be no more than 15 characters");
    }
    if !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-') {
        return Some("must be lower case letters, digits and `-`");
    }
    if !name.bytes().any(|c| c.is_ascii_lowercase()) {
        return Some("must have at least one letter");
    }
    if name.contains("--") || name.starts_with('-') || name.ends_with('-') {
        return Some("must not start or end with `-`, or have two of them in a row");
    }
    None
}

/// A DNS label near to what the user wrote, if there is one: `Load_Data` becomes `load-data`.
pub fn dns_label_near(name: &str) -> Option<String> {
    // With holes for its other letters a name says something else.
    if !name.is_ascii() {
        return None;
    }
    let mapped: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(MAX_LABEL)
        .collect();
    let near = mapped.trim_matches('-').to_owned();
    (near != name && dns_label(&near).is_none()).then_some(near)
}

fn is_label_text(text: &str) -> bool {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kubernetes_judges_them() {
        for good in ["a", "load-1", "0", &"a".repeat(63)] {
            assert_eq!(dns_label(good), None, "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", &"a".repeat(64)] {
            assert!(dns_label(bad).is_some(), "{bad}");
        }
        assert_eq!(dns_subdomain("a.b-c.d"), None);
        assert!(dns_subdomain("a..b").is_some());
        assert_eq!(qualified_name("example.com/Team_1.x"), None);
        assert!(qualified_name("a/b/c").is_some());
        assert!(qualified_name("/b").is_some());
        assert_eq!(label_value(""), None);
        assert!(label_value("a b").is_some());
        assert_eq!(parameter("max-rows"), None);
        assert!(parameter("1st").is_some());
        assert_eq!(dns_label_near("Load_Data"), Some("load-data".to_owned()));
    }
}
