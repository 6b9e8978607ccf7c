//! The `zen-lead.io/` annotations of a source Service.

use serde_json::{Map, Value};

use super::read::text;
use crate::k8s::duration;
use crate::k8s::name_rules;
use crate::k8s::selector::Selector;
use crate::leaders::leader_name::{is_cut, leader_name};
use crate::names::LEADER_PREFIX;
use crate::names::leader;
use crate::problem::code;
use crate::problem::code::Code;
use crate::problem::field_path::Place;
use crate::problem::suggest::did_you_mean;
use crate::problem::{Problem, Problems};

const STRATEGIES: [&str; 3] = ["oldest", "lease", "newest"];

pub(crate) fn check(object: &Value, annotations: &Map<String, Value>, out: &mut Problems) {
    let metadata = Place::ROOT.field("metadata");
    let here = metadata.field("annotations");
    let name = object.get("metadata").and_then(|metadata| text(metadata, "name")).unwrap_or_default();
    let get = |key: &str| annotations.get(key).and_then(Value::as_str);
    let mut settings = 0;
    for (key, value) in annotations {
        let (Some(short), Some(value)) = (key.strip_prefix(LEADER_PREFIX), value.as_str()) else { continue };
        let place = here.key(key);
        settings += usize::from(key != leader::ENABLED && leader::SETTINGS.contains(&key.as_str()));
        match key.as_str() {
            leader::ENABLED => boolean(value, code::SERVICE_ENABLED, &place, out),
            leader::STICKY | leader::EXPOSE => boolean(value, code::SERVICE_BOOLEAN, &place, out),
            leader::MIN_READY | leader::HOLD_DOWN => wait(value, &place, out),
            leader::STRATEGY => strategy(value, get(leader::LEASE_NAME), &place, out),
            leader::LEASE_NAME => subdomain(value, code::LEASE_NAME, &place, out),
            leader::PROMOTE if !value.is_empty() => subdomain(value, code::SERVICE_VALUE, &place, out),
            leader::LEADER_SERVICE_NAME => leader_service_name(value, name, &place, out),
            leader::CANDIDATE_SELECTOR => candidates(value, &place, out),
            leader::COPY_LABELS => copied(value, &place, out),
            key if leader::SETTINGS.contains(&key) || leader::PUBLISHED.contains(&key) => {}
            _ => unknown(short, value, &place, out),
        }
    }
    let enabled = get(leader::ENABLED);
    if settings > 0 && matches!(enabled, None | Some("false")) {
        out.push(
            Problem::warning(
                code::SERVICE_NOT_ENABLED,
                &here.key(leader::ENABLED),
                "the other zen-lead.io/ annotations have no effect",
            )
            .hint("write \"true\""),
        );
    }
    if enabled == Some("true") && get(leader::LEADER_SERVICE_NAME).is_none() && is_cut(name) {
        out.push(Problem::warning(
            code::LEADER_NAME_CUT,
            &metadata.field("name"),
            format!("the leader Service will be {}", leader_name(name)),
        ));
    }
}

/// Reports an annotation that does not exist. Names are compared without the prefix, which all of them share.
fn unknown(short: &str, value: &str, place: &Place<'_>, out: &mut Problems) {
    let known = leader::SETTINGS.into_iter().filter_map(|key| key.strip_prefix(LEADER_PREFIX));
    let near = did_you_mean(short, known).map(|hint| hint.replacen('"', &format!("\"{LEADER_PREFIX}"), 1));
    out.push(
        Problem::invalid(code::SERVICE_ANNOTATION, place, value, "there is no such annotation")
            .hint(near.unwrap_or_else(|| "remove it".to_owned())),
    );
}

fn boolean(value: &str, code: Code, place: &Place<'_>, out: &mut Problems) {
    if matches!(value, "true" | "false") {
        return;
    }
    let hint = match value.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some("write \"true\""),
        "false" | "no" | "off" | "0" => Some("write \"false\""),
        _ => None,
    };
    out.push(Problem::not_supported(code, place, value, "must be \"true\" or \"false\"").maybe_hint(hint));
}

fn wait(value: &str, place: &Place<'_>, out: &mut Problems) {
    let what = match duration::parse(value) {
        Ok(nanoseconds) if nanoseconds < 0 => "must not be negative".to_owned(),
        Ok(nanoseconds) if nanoseconds > duration::THIRTY_DAYS => "must be at most 30 days (720h)".to_owned(),
        Ok(_) => return,
        Err(error) => error.to_string(),
    };
    out.push(Problem::invalid(code::SERVICE_DURATION, place, value, what));
}

fn strategy(value: &str, lease: Option<&str>, place: &Place<'_>, out: &mut Problems) {
    if !STRATEGIES.contains(&value) {
        out.push(
            Problem::not_supported(
                code::SERVICE_STRATEGY,
                place,
                value,
                "must be \"oldest\", \"lease\" or \"newest\"",
            )
            .maybe_hint(did_you_mean(value, STRATEGIES)),
        );
    } else if value == "lease" && lease.is_none_or(str::is_empty) {
        out.push(
            Problem::required(code::LEASE_NAME, place, "strategy lease needs the name of a Lease")
                .hint("add zen-lead.io/lease-name"),
        );
    }
}

fn subdomain(value: &str, code: Code, place: &Place<'_>, out: &mut Problems) {
    if let Some(wrong) = name_rules::dns_subdomain(value) {
        out.push(Problem::invalid(code, place, value, wrong));
    }
}

fn leader_service_name(value: &str, service: &str, place: &Place<'_>, out: &mut Problems) {
    if let Some(wrong) = name_rules::dns_label(value) {
        let near = name_rules::dns_label_near(value).map(|near| format!("write \"{near}\""));
        out.push(Problem::invalid(code::LEADER_NAME, place, value, wrong).maybe_hint(near));
    } else if value == service {
        out.push(
            Problem::invalid(code::LEADER_NAME, place, value, "is the name of this Service itself")
                .hint("choose another name"),
        );
    }
}

fn candidates(value: &str, place: &Place<'_>, out: &mut Problems) {
    match Selector::parse(value) {
        Err(error) => out.push(Problem::invalid(code::CANDIDATE_SELECTOR, place, value, error.to_string())),
        Ok(selector) => {
            for found in selector.contradictions() {
                out.push(
                    Problem::invalid(
                        code::CANDIDATE_CONTRADICTION,
                        place,
                        value,
                        format!(
                            "no pod can match: `{}` contradicts itself at column {}",
                            found.key, found.column
                        ),
                    )
                    .hint("remove one of the conditions"),
                );
            }
        }
    }
}

fn copied(value: &str, place: &Place<'_>, out: &mut Problems) {
    for key in value.split(',').map(str::trim).filter(|key| !key.is_empty()) {
        if let Some(wrong) = name_rules::qualified_name(key) {
            let what = format!("the key `{key}` is malformed: it {wrong}");
            out.push(Problem::invalid(code::SERVICE_VALUE, place, value, what));
        }
    }
}
