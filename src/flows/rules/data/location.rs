//! Sources and destinations of artifacts: S3, HTTP.

use serde_json::Value;

use super::shared::key_ref;
use crate::flows::api::S3Location;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

pub(super) fn s3(location: &S3Location, place: &Place<'_>, out: &mut Problems) {
    let needed = [("endpoint", Some(&location.endpoint)), ("bucket", Some(&location.bucket))];
    let optional = [("region", location.region.as_ref()), ("key", location.key.as_ref())];
    for (field, value) in needed.into_iter().chain(optional) {
        let here = place.field(field);
        if value.is_some_and(|value| value.trim().is_empty()) && !out.has(&here) {
            out.push(Problem::required(code::INCOMPLETE_S3, &here, format!("`{field}` is empty")));
        }
    }
    if location.endpoint.contains("://") {
        url(&location.endpoint, &place.field("endpoint"), out);
    }
    let secrets = [
        ("accessKeyIDSecretRef", &location.access_key_id_secret_ref),
        ("secretAccessKeySecretRef", &location.secret_access_key_secret_ref),
        ("sessionTokenSecretRef", &location.session_token_secret_ref),
    ];
    for (field, reference) in secrets {
        if let Some(reference) = reference {
            key_ref(reference, &place.field(field), out);
        }
    }
    let [id, secret, token] = secrets;
    let wanted = id.1.is_some() || secret.1.is_some() || token.1.is_some();
    for (field, reference) in [id, secret] {
        let here = place.field(field);
        if wanted && reference.is_none() && !out.has(&here) {
            out.push(
                Problem::required(
                    code::INCOMPLETE_S3,
                    &here,
                    format!("`{field}` is needed with the other key"),
                )
                .hint("give both keys, or none for anonymous access"),
            );
        }
    }
}

pub(super) fn url(text: &str, place: &Place<'_>, out: &mut Problems) {
    if text.is_empty() {
        if !out.has(place) {
            out.push(Problem::required(code::ARTIFACT_URL, place, "a URL is needed"));
        }
        return;
    }
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let rest = text.get(scheme.len() + 3..).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (what, hint) = if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        ("must be an http or https URL", "start it with https://")
    } else if host.is_empty() || host.contains(char::is_whitespace) {
        ("must name a host", "write it as https://host/path")
    } else if host.contains('@') {
        ("must not contain a user name or password", "use headers with a secretKeyRef")
    } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        ("must not contain spaces", "write %20 for a space")
    } else {
        return;
    };
    // A password or a token in it must not be shown, wherever a mistake has put it.
    let shown = match text.find(['?', '#']) {
        _ if text.contains('@') => format!("{scheme}://..."),
        Some(at) => format!("{}...", &text[..=at]),
        None => text.to_owned(),
    };
    out.push(Problem::invalid(code::ARTIFACT_URL, place, shown, what).hint(hint));
}

/// A list of {name, value | secretKeyRef}, or zen-flow's map.
pub(super) fn header_list(headers: &Value, place: &Place<'_>, out: &mut Problems) {
    match headers {
        Value::Object(map) => {
            out.push(
                Problem::warning(code::DEPRECATED, place, "a map of headers is deprecated")
                    .hint("write a list of {name, value}"),
            );
            for (name, value) in map {
                let here = place.key(name);
                header_name(name, &here, out);
                if !value.is_string() {
                    out.push(wrong(&here, "must be a string", "quote it"));
                }
            }
        }
        Value::Array(list) => {
            for (i, entry) in list.iter().enumerate() {
                header(entry, &place.index(i), out);
            }
        }
        _ => out.push(wrong(place, "must be a list of headers", "write a list of {name, value}")),
    }
}

fn header(entry: &Value, place: &Place<'_>, out: &mut Problems) {
    let Some(map) = entry.as_object() else {
        out.push(wrong(place, "must be an object", "write {name, value} or {name, secretKeyRef}"));
        return;
    };
    match map.get("name").and_then(Value::as_str) {
        Some(name) => header_name(name, &place.field("name"), out),
        None => out.push(Problem::required(code::HTTP_HEADER, &place.field("name"), "a header needs a name")),
    }
    match (map.get("value"), map.get("secretKeyRef")) {
        (Some(_), Some(_)) => out.push(wrong(place, "has a value and a secretKeyRef", "keep one of the two")),
        (None, None) => out.push(
            Problem::required(code::HTTP_HEADER, place, "a header needs a value")
                .hint("add value or secretKeyRef"),
        ),
        (Some(Value::String(value)), None) => {
            if value.contains(char::is_control) {
                out.push(wrong(&place.field("value"), "must be one line", "remove the control characters"));
            }
        }
        (Some(_), None) => out.push(wrong(&place.field("value"), "must be a string", "quote it")),
        (None, Some(reference)) => {
            let here = place.field("secretKeyRef");
            for field in ["name", "key"] {
                if reference.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                    let what = format!("`{field}` is needed");
                    out.push(Problem::required(code::INCOMPLETE_KEY_REF, &here.field(field), what));
                }
            }
        }
    }
    if let Some(key) = map.keys().find(|key| !matches!(key.as_str(), "name" | "value" | "secretKeyRef")) {
        out.push(wrong(
            &place.field(key),
            "a header has no such field",
            "write {name, value} or {name, secretKeyRef}",
        ));
    }
}

/// A token of RFC 9110, 5.6.2.
fn header_name(name: &str, place: &Place<'_>, out: &mut Problems) {
    let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if name.is_empty() || !name.bytes().all(token) {
        out.push(Problem::invalid(code::HTTP_HEADER, place, name, "is no header name").hint("see RFC 9110"));
    }
}

/// Header values may be secret, so they are never shown.
fn wrong(place: &Place<'_>, what: &str, hint: &str) -> Problem {
    Problem::forbidden(code::HTTP_HEADER, place, what).hint(hint)
}
