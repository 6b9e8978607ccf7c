//! Resolves names: parameters, steps, outputs, resources.

use super::{FLOW_PROPERTIES, ROOTS, SELF_PROPERTIES, STEP_PROPERTIES, Segment, Walk, written};
use crate::flows::api::{StepPhase, ValueType};
use crate::flows::expr::expression::add;
use crate::flows::expr::functions;
use crate::flows::expr::names::show;
use crate::flows::expr::types::Type;
use crate::problem::Problem;
use crate::problem::code;

impl<'a> Walk<'a, '_> {
    fn near<'k>(&self, name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
        self.out.did_you_mean(name, known)
    }

    pub(super) fn variable(&mut self, name: &str) {
        if name.starts_with('@') || self.bound.contains(&name) || functions::TYPES.contains(&name) {
            return;
        }
        let known = ROOTS.into_iter().chain(self.bound.iter().copied());
        let hint = self.near(name, known).unwrap_or_else(|| self.owner(name));
        self.report(
            Problem::not_found(code::UNKNOWN_VARIABLE, self.place, name, "there is no variable of this name")
                .hint(hint),
        );
    }

    /// Suggests where a bare name was probably meant to be found.
    fn owner(&self, name: &str) -> String {
        if self.scope.parameter(name).is_some() {
            return format!("write {}", show("parameters", name));
        }
        if self.scope.has_step(name) {
            return format!("write {}.phase", show("steps", name));
        }
        if StepPhase::NAMES.contains(&name) {
            return format!("write \"{name}\", with quotes");
        }
        format!("the variables are {}", ROOTS.join(", "))
    }

    /// A path that starts at one of the roots.
    pub(super) fn reference(&mut self, root: &'a str, segments: &[Segment<'a>]) -> Type {
        for segment in segments {
            if let Segment::Index(index) = segment {
                self.visit(index);
            }
        }
        match (root, segments) {
            ("parameters", [Segment::Name(name), rest @ ..]) => self.parameter(name, rest),
            ("resources", [Segment::Name(name), ..]) => self.resource(name),
            ("steps", [Segment::Name(name), rest @ ..]) => self.step(name, rest, segments),
            ("flow", [Segment::Name(name), rest @ ..]) => match *name {
                "labels" | "annotations" if rest.is_empty() => Type::Map,
                "labels" | "annotations" => Type::Text,
                _ => self.property(|| root.to_owned(), name, &FLOW_PROPERTIES, Type::Text),
            },
            ("step", [Segment::Name(name), ..]) => {
                let found = if *name == "attempt" { Type::Int } else { Type::Text };
                self.property(|| root.to_owned(), name, &SELF_PROPERTIES, found)
            }
            ("flow" | "step", _) => {
                let list =
                    if root == "flow" { FLOW_PROPERTIES.join(", ") } else { SELF_PROPERTIES.join(", ") };
                self.incomplete(root, segments, &format!("name one of {list}"))
            }
            _ => self.incomplete(root, segments, &format!("write {root}.NAME, or {root}[\"NAME\"]")),
        }
    }

    /// A path that stops too early, or goes on with an index that is no name.
    fn incomplete(&mut self, root: &str, segments: &[Segment<'a>], hint: &str) -> Type {
        let text = written(root, segments);
        let indexed = segments.iter().any(|segment| matches!(segment, Segment::Index(_)));
        let what = if indexed { "a name is needed here, not an expression" } else { "is no value by itself" };
        self.report(Problem::invalid(code::UNKNOWN_PROPERTY, self.place, text, what).hint(hint));
        Type::Unknown
    }

    fn property(&mut self, root: impl FnOnce() -> String, name: &str, known: &[&str], found: Type) -> Type {
        if known.contains(&name) {
            return found;
        }
        let root = root();
        let hint = self
            .near(name, known.iter().copied())
            .unwrap_or_else(|| format!("`{root}` has {}", known.join(", ")));
        let what = format!("`{root}` has no such property");
        self.report(
            Problem::not_found(code::UNKNOWN_PROPERTY, self.place, show(&root, name), what).hint(hint),
        );
        Type::Unknown
    }

    fn parameter(&mut self, name: &str, rest: &[Segment<'a>]) -> Type {
        let Some(declared) = self.scope.parameter(name) else {
            if self.scope.excuses_parameter() {
                return Type::Unknown;
            }
            let hint = self
                .near(name, self.scope.parameters())
                .unwrap_or_else(|| "declare it in spec.parameters or in the step's inputs".to_owned());
            let what = "neither the step nor the flow has this parameter";
            self.report(Problem::not_found(code::UNKNOWN_PARAMETER, self.place, name, what).hint(hint));
            return Type::Unknown;
        };
        add(&mut self.references.parameters, name.to_owned());
        self.inside(|| show("parameters", name), declared, rest)
    }

    /// The type of a declared value, and of what is selected from it.
    fn inside(
        &mut self,
        text: impl FnOnce() -> String,
        declared: Option<ValueType>,
        rest: &[Segment<'a>],
    ) -> Type {
        if rest.is_empty() {
            return Type::declared(declared);
        }
        if !matches!(declared, Some(ValueType::Json) | None) {
            let what =
                format!("is {}, and nothing can be selected from it", Type::declared(declared).as_str());
            let hint = "declare it with type: json";
            self.report(Problem::invalid(code::UNKNOWN_PROPERTY, self.place, text(), what).hint(hint));
        }
        Type::Unknown
    }

    fn resource(&mut self, name: &str) -> Type {
        let known = self.scope.resources();
        if known.contains(&name) {
            add(&mut self.references.resources, name.to_owned());
        } else {
            let hint =
                self.near(name, known).unwrap_or_else(|| "add it to spec.resourceTemplates".to_owned());
            let what = "no resource template has this name";
            self.report(Problem::not_found(code::UNKNOWN_RESOURCE, self.place, name, what).hint(hint));
        }
        Type::Text
    }

    fn step(&mut self, name: &str, rest: &[Segment<'a>], segments: &[Segment<'a>]) -> Type {
        if !self.scope.has_step(name) {
            if !self.scope.excuses(name) {
                let near = self.near(name, self.scope.steps().iter().copied());
                let problem =
                    Problem::not_found(code::UNKNOWN_STEP, self.place, name, "no step has this name");
                self.report(problem.maybe_hint(near));
            }
            return Type::Unknown;
        }
        add(&mut self.references.steps, name.to_owned());
        if self.scope.current() == Some(name) {
            let text = written("steps", segments);
            let what = "a step cannot look at its own result";
            let problem = Problem::invalid(code::NOT_AN_ANCESTOR, self.place, text, what);
            self.report_once(name, problem.hint("step.name and step.attempt are known"));
        } else if !self.scope.is_ancestor(name) && !self.scope.excuses(name) {
            let text = written("steps", segments);
            let problem = |what| Problem::invalid(code::NOT_AN_ANCESTOR, self.place, text, what);
            let problem = if self.scope.is_descendant(name) {
                problem(format!("step \"{name}\" runs after this step"))
                    .hint("look at an earlier step, or turn the dependency round")
            } else {
                problem(format!("step \"{name}\" may not have run when this step starts"))
                    .hint(format!("add \"{name}\" to dependencies"))
            };
            self.report_once(name, problem);
        }
        let root = || show("steps", name);
        match rest {
            [Segment::Name("outputs"), Segment::Name(output), inner @ ..] => self.output(name, output, inner),
            [Segment::Name("outputs"), ..] => {
                self.incomplete("steps", segments, &format!("write {}.outputs.NAME", root()))
            }
            [Segment::Name(property), ..] => {
                let found = match *property {
                    "exitCode" | "attempt" => Type::Int,
                    _ => Type::Text,
                };
                self.property(root, property, &STEP_PROPERTIES, found)
            }
            _ => {
                let root = root();
                self.incomplete("steps", segments, &format!("write {root}.phase or {root}.outputs.NAME"))
            }
        }
    }

    fn output(&mut self, step: &str, name: &str, rest: &[Segment<'a>]) -> Type {
        let text = || show(&format!("{}.outputs", show("steps", step)), name);
        if let Some(declared) = self.scope.output(step, name) {
            add(&mut self.references.outputs, (step.to_owned(), name.to_owned()));
            return self.inside(text, declared, rest);
        }
        if self.scope.excuses_output(step) {
            return Type::Unknown;
        }
        let known = self.scope.outputs(step);
        let hint = self.near(name, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
            [] => format!("declare it in the outputs of \"{step}\""),
            known => format!("it has {}", known.join(", ")),
        });
        let what = format!("step \"{step}\" has no output parameter of this name");
        self.report(Problem::not_found(code::UNKNOWN_OUTPUT, self.place, name, what).hint(hint));
        Type::Unknown
    }
}
