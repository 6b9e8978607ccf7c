//! Keys and values of labels and annotations.

use crate::flows::expr;
use crate::k8s::name_rules;
use crate::names;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// Checks keys and, for labels, values. A value with an expression in it is checked by the API server, when it is
/// known.
pub(super) fn check<'a>(
    map: impl IntoIterator<Item = (&'a String, &'a String)>,
    place: &Place<'_>,
    invalid: code::Code,
    reserved: code::Code,
    values: bool,
    out: &mut Problems,
) {
    for (key, value) in map {
        let here = place.key(key);
        // Kubernetes reads the key of an annotation in lower case (`ValidateAnnotations`).
        let read = if values { key.clone() } else { key.to_ascii_lowercase() };
        if let Some(wrong) = name_rules::qualified_name(&read) {
            out.push(Problem::invalid(
                invalid,
                &here,
                key.as_str(),
                format!("this key is malformed: it {wrong}"),
            ));
        } else if names::RESERVED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
            || key == names::INITIATED_BY
        {
            out.push(
                Problem::forbidden(reserved, &here, "this key belongs to headworks")
                    .hint("choose another prefix"),
            );
        }
        if values
            && !expr::has_expression(value)
            && let Some(wrong) = name_rules::label_value(value)
        {
            out.push(Problem::invalid(invalid, &here, value.as_str(), wrong));
        }
    }
}
