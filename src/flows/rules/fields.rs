//! Reads a raw object, and reports every wrong type, unknown field, enum and bound together.
//!
//! The schema is the CRD's own, with the schemas of Kubernetes grafted in where a user's Job template,
//! `PersistentVolumeClaim` or `ConfigMap` stands. The family of a problem follows from where it is.

use std::sync::LazyLock;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::flows::api::{JobFlow, JobFlowSpec, JobTemplate, order};
use crate::flows::expr;
use crate::names;
use crate::problem::code;
use crate::problem::faults;
use crate::problem::faults::{Codes, kubernetes};
use crate::problem::field_path::{FieldPath, Place, Segment};
use crate::problem::schema::{Fault, Report, Shape};
use crate::problem::{Problem, Problems};

/// The shape of a whole `JobFlow`, templates included.
pub fn job_flow() -> &'static Shape {
    static SHAPE: LazyLock<Shape> = LazyLock::new(|| {
        let text = || Shape::Text { one_of: Vec::new(), max: None };
        Shape::object([
            ("apiVersion", text(), false),
            ("kind", text(), false),
            ("metadata", kubernetes::<ObjectMeta>(), false),
            ("spec", Shape::compile(&schemars::schema_for!(JobFlowSpec).to_value(), order::fields), true),
            // Written by headworks, and not checked: fields of an older or newer version are no user's mistake.
            ("status", Shape::Any, false),
        ])
        .graft("spec.steps.[].template", kubernetes::<Job>())
        .graft("spec.resourceTemplates.volumeClaimTemplates.[]", kubernetes::<PersistentVolumeClaim>())
        .graft("spec.resourceTemplates.configMapTemplates.[]", kubernetes::<ConfigMap>())
    });
    &SHAPE
}

/// Reads a `JobFlow` as far as it can be read, and reports the parts that could not.
pub fn read(object: Value, out: &mut Problems) -> JobFlow {
    let root = Place::ROOT;
    if !object.is_object() {
        out.push(Problem::wrong_type(code::WRONG_TYPE, &root, object, "a JobFlow is an object"));
        return JobFlow::default();
    }
    let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version != names::API_VERSION {
        out.push(
            Problem::not_supported(
                code::UNSUPPORTED_API_VERSION,
                &root.field("apiVersion"),
                version,
                "JobFlows of this apiVersion are not served",
            )
            .hint(format!("write \"{}\"", names::API_VERSION)),
        );
    }
    let mut object = match job_flow().check(&object, &root, &mut Faults { out }) {
        Some(mended) => mended,
        None => object,
    };
    // A decoder would rebuild every map of a template; most of a flow is templates, so they are handed over instead.
    let templates = take_templates(&mut object["spec"]);
    let mut spec: JobFlowSpec = decode(object["spec"].take(), &root.field("spec"), out);
    for (step, template) in spec.steps.iter_mut().zip(templates) {
        step.template = template.map(JobTemplate::from);
    }
    // A value of the right shape can be decoded, except for texts with a format (times), which the API server has
    // checked.
    let metadata = serde_json::from_value(object["metadata"].take()).unwrap_or_default();
    JobFlow { metadata, spec, status: None }
}

/// Takes the template out of every step.
fn take_templates(spec: &mut Value) -> Vec<Option<Value>> {
    let steps = spec.get_mut("steps").and_then(Value::as_array_mut);
    let take =
        |step: &mut Value| step.get_mut("template").map(Value::take).filter(|template| !template.is_null());
    steps.into_iter().flatten().map(take).collect()
}

/// Decodes a value of the right shape. Should shape and decoder ever disagree, that is reported, and not admitted.
fn decode<T: DeserializeOwned + Default>(value: Value, place: &Place<'_>, out: &mut Problems) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| {
        out.push(Problem::invalid(code::WRONG_TYPE, place, "...", format!("cannot be decoded: {error}")));
        T::default()
    })
}

/// Turns faults of shape into problems of the family that the place belongs to.
pub struct Faults<'a> {
    /// Receives the problems.
    pub out: &'a mut Problems,
}

/// The way in which the faults of one part of a flow are reported.
struct Family {
    codes: Codes,
    /// Unknown fields are only warned of: the cluster may be newer than our schema.
    lenient: bool,
    /// A whole value may be an expression.
    expressions: bool,
}

const OWN: Family = Family { codes: faults::GENERAL, lenient: false, expressions: false };
const POLICY: Family = Family {
    codes: Codes { enumeration: code::POLICY_VALUE, range: code::POLICY_NUMBER, ..faults::GENERAL },
    ..OWN
};
const TEMPLATE: Family = Family {
    codes: Codes {
        wrong_type: code::TEMPLATE_TYPE,
        missing: code::TEMPLATE_REQUIRED,
        enumeration: code::TEMPLATE_VALUE,
        range: code::TEMPLATE_NUMBER,
    },
    lenient: true,
    expressions: true,
};
const RESOURCE: Family = Family {
    codes: Codes {
        wrong_type: code::RESOURCE_TYPE,
        missing: code::RESOURCE_TYPE,
        enumeration: code::RESOURCE_TYPE,
        range: code::RESOURCE_TYPE,
    },
    lenient: true,
    expressions: false,
};

fn family(path: &FieldPath) -> &'static Family {
    let field = |i: usize| match path.0.get(i) {
        Some(Segment::Field(name)) => name.as_str(),
        _ => "",
    };
    match (field(0), field(1), field(3)) {
        // Inside a template or resource template only; the field itself belongs to the flow.
        ("spec", "steps", "template") if path.0.len() > 4 => &TEMPLATE,
        ("spec", "resourceTemplates", _) if path.0.len() > 4 => &RESOURCE,
        ("spec", "executionPolicy", _) => &POLICY,
        _ => &OWN,
    }
}

impl Report for Faults<'_> {
    fn fault(&mut self, place: &Place<'_>, shape: &Shape, fault: Fault<'_>) -> bool {
        let path = place.path();
        let family = family(&path);
        let problem = match fault {
            Fault::Type { found: Value::String(text), wanted }
                if family.expressions && expr::has_expression(text) =>
            {
                return self.expression(place, text, wanted, shape);
            }
            Fault::Unknown { .. } if is_raw(&path) => {
                Problem::forbidden(code::RAW_TEMPLATE, place, "a Job cannot be given as text")
                    .hint("write the Job itself under template")
            }
            Fault::Unknown { known } if family.lenient => {
                let name = path.0.last().map(faults::segment_name).unwrap_or_default();
                Problem::warning(code::UNKNOWN_TEMPLATE_FIELD, place, "no field that Kubernetes 1.33 knows")
                    .maybe_hint(self.out.did_you_mean(&name, known.names()))
            }
            // The schema is older than the cluster: newer versions of Kubernetes fill in True here.
            Fault::Missing if is_pod_condition(&path) => return false,
            // Names and expressions have rules of their own.
            Fault::TooLong { .. } if has_own_length(&path) => return true,
            fault => faults::problem(self.out, &family.codes, place, shape, fault),
        };
        self.out.push(problem);
        false
    }
}

/// Tests whether a path leads into an entry of a list `onPodConditions`.
fn is_pod_condition(path: &FieldPath) -> bool {
    let into = |pair: &[Segment]| matches!(pair, [Segment::Field(name), Segment::Index(_)] if name == "onPodConditions");
    path.0.windows(2).any(into)
}

/// Tests whether this is the field `raw` of a step's template, with which zen-flow takes a Job as text.
fn is_raw(path: &FieldPath) -> bool {
    matches!(path.0.as_slice(), [_, _, _, Segment::Field(field), Segment::Field(name) | Segment::Key(name)]
        if field == "template" && name == "raw")
}

impl Faults<'_> {
    /// An expression where the schema wants no text: the whole value may be one, a part of it may not.
    fn expression(&mut self, place: &Place<'_>, text: &str, wanted: &str, shape: &Shape) -> bool {
        let scalar = matches!(shape, Shape::Integer { .. } | Shape::Number { .. } | Shape::Boolean);
        if scalar && is_whole(text.trim()) {
            return true;
        }
        let what = format!("must be {wanted}, and this is a text with an expression in it");
        let problem = Problem::wrong_type(code::PARTIAL_EXPRESSION, place, text, what);
        self.out.push(problem.maybe_hint(scalar.then_some("make the expression the whole value")));
        false
    }
}

/// Tests whether a text is one expression and nothing else, as far as its ends show. The inside is checked as an
/// expression.
fn is_whole(text: &str) -> bool {
    let braces = text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1;
    // zen-flow's spelling of a parameter.
    let shell = text.strip_prefix("${parameters.").and_then(|name| name.split_once('}'));
    braces || shell.is_some_and(|(_, after)| after.is_empty())
}

/// Tests whether another rule reports a text at `path` that is too long.
fn has_own_length(path: &FieldPath) -> bool {
    let field = |back: usize| match path.0.iter().rev().nth(back) {
        Some(Segment::Field(name)) => name.as_str(),
        _ => "",
    };
    match field(0) {
        "name" => !field(1).ends_with("Ref") && field(1) != "configMap",
        "when" | "expression" => true,
        _ => field(1) == "dependencies",
    }
}
