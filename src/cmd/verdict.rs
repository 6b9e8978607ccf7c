//! The verdict on one object of a file, as the cluster would give it.

use headworks::flows::api::JobFlow;
use headworks::flows::rules::{self, Options};
use headworks::leaders;
use headworks::manifest::Position;
use headworks::names;
use headworks::problem::Problem;
use headworks::problem::code;
use headworks::problem::field_path::Place;
use headworks::problem::suggest::did_you_mean;

use super::input::Object;

/// An object that was checked, and its problems.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub document: usize,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub problems: Vec<(Problem, Option<Position>)>,
    /// The flow, if it is one.
    pub flow: Option<JobFlow>,
}

impl Verdict {
    pub(crate) fn errors(&self) -> usize {
        self.problems.iter().filter(|(problem, _)| problem.is_error()).count()
    }

    pub(crate) fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }
}

/// The verdict on a `JobFlow` or Service, or on an unknown kind of their group; `None` for anything else.
pub(crate) fn judge(object: &Object, options: &Options) -> Option<Verdict> {
    let (problems, flow) = if object.is_flow() {
        let checked = rules::flow(&object.value, options);
        (checked.problems, Some(checked.flow))
    } else if object.is_service() {
        (leaders::rules::offline(&object.value), None)
    } else {
        (vec![unknown_kind(object)?], None)
    };
    let problems = problems.into_iter().map(|problem| {
        // An unknown field is wrong by its name, not by its value.
        let by_key = matches!(problem.code, code::UNKNOWN_FIELD | code::UNKNOWN_TEMPLATE_FIELD);
        let position = object.positions.locate(&problem.field, by_key);
        (problem, position)
    });
    let kind = match object.text("/kind") {
        "" => "(no kind)",
        kind => kind,
    };
    Some(Verdict {
        document: object.document,
        kind: kind.to_owned(),
        namespace: object.text("/metadata/namespace").to_owned(),
        name: object.name(),
        problems: problems.collect(),
        flow,
    })
}

/// A problem for an unknown kind of our API group: without it, a misspelt kind would look sound.
fn unknown_kind(object: &Object) -> Option<Problem> {
    let kind = object.text("/kind");
    if object.text("/apiVersion").split('/').next() != Some(names::GROUP) || kind == "JobFlowList" {
        return None;
    }
    let place = Place::ROOT;
    let place = place.field("kind");
    Some(if kind.is_empty() {
        Problem::required(code::MISSING_FIELD, &place, "nothing says what this is").hint("write \"JobFlow\"")
    } else {
        let what = format!("must be \"JobFlow\", the only kind of {}", names::GROUP);
        Problem::not_supported(code::UNSUPPORTED_VALUE, &place, kind, what)
            .maybe_hint(did_you_mean(kind, ["JobFlow"]))
    })
}
