//! Operators: the types they take and give.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Segment, Walk, path, written};
use crate::flows::api::StepPhase;
use crate::flows::expr::types::Type;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::suggest::did_you_mean;

impl<'a> Walk<'a, '_> {
    /// The type of an operator's result; `None` if the call is none.
    pub(super) fn operator(&mut self, call: &'a CallExpr) -> Option<Type> {
        let name = call.func_name.as_str();
        Some(match (name, call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, sides) => {
                for side in sides {
                    let found = self.visit(side);
                    self.must_be_condition(found, name);
                }
                Type::Bool
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                let found = self.visit(condition);
                self.must_be_condition(found, name);
                let (yes, no) = (self.visit(yes), self.visit(no));
                if yes == no { yes } else { Type::Unknown }
            }
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => {
                self.phases(a, b);
                self.phases(b, a);
                let (left, right) = (self.visit(a), self.visit(b));
                if !left.can_equal(right) {
                    let what =
                        format!("compares {} with {}, which are never equal", left.as_str(), right.as_str());
                    self.mismatch((a, left), (b, right), what);
                }
                Type::Bool
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [a, b],
            ) => {
                let (left, right) = (self.visit(a), self.visit(b));
                if !left.can_order(right) {
                    let what = format!("{} and {} have no order", left.as_str(), right.as_str());
                    self.mismatch((a, left), (b, right), what);
                }
                Type::Bool
            }
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [a, b],
            ) => {
                let (left, right) = (self.visit(a), self.visit(b));
                left.sum(right, name).unwrap_or_else(|| {
                    let sign = name.trim_matches('_');
                    let what = format!("`{sign}` does not take {} and {}", left.as_str(), right.as_str());
                    self.mismatch((a, left), (b, right), what);
                    Type::Unknown
                })
            }
            (operators::IN, [a, b]) => {
                if let Expr::List(list) = &b.expr {
                    list.elements.iter().for_each(|element| self.phases(a, element));
                }
                self.visit(a);
                let found = self.visit(b);
                if !matches!(found, Type::Unknown | Type::List | Type::Map) {
                    let what = format!("`in` looks into a list or map, and this is {}", found.as_str());
                    let problem = Problem::invalid(code::WRONG_RESULT_TYPE, self.place, "in", what);
                    self.report(problem.hint("for texts write text.contains(part)"));
                }
                Type::Bool
            }
            (operators::NEGATE, [value]) => {
                let found = self.visit(value);
                if !(found.is_number() || found == Type::Unknown) {
                    let what = format!("`-` takes a number, and this is {}", found.as_str());
                    self.report(Problem::invalid(code::WRONG_RESULT_TYPE, self.place, "-", what));
                }
                found
            }
            (operators::INDEX, [map, key]) => {
                self.visit(map);
                self.visit(key);
                Type::Unknown
            }
            (operators::NOT_STRICTLY_FALSE, [value]) => {
                self.visit(value);
                Type::Bool
            }
            _ => return None,
        })
    }

    fn must_be_condition(&mut self, found: Type, operator: &str) {
        if matches!(found, Type::Bool | Type::Unknown) {
            return;
        }
        let sign = operator.replace('_', " ").trim().to_owned();
        let what = format!("`{sign}` takes true or false, and this is {}", found.as_str());
        let problem = Problem::invalid(code::WRONG_RESULT_TYPE, self.place, sign, what);
        self.report(problem.hint("compare it with something"));
    }

    /// Two types that do not go together.
    fn mismatch(&mut self, a: (&'a IdedExpr, Type), b: (&'a IdedExpr, Type), what: String) {
        let text = [a, b].into_iter().find(|(_, found)| *found == Type::Text);
        let other = [a, b].into_iter().find(|(_, found)| *found != Type::Text);
        let hint = match (text.and_then(|(tree, _)| path(tree)), other.map(|(_, found)| found)) {
            (Some((root, segments)), Some(found)) => {
                let text = written(root, &segments);
                let cast = match found {
                    Type::Int => "int",
                    Type::Uint => "uint",
                    Type::Double => "double",
                    Type::Bool => "bool",
                    _ => "",
                };
                (!cast.is_empty()).then(|| format!("write {cast}({text}), or declare it with type: {cast}"))
            }
            _ => None,
        };
        let shown = [a.0, b.0].into_iter().find_map(path);
        let shown = shown.map_or_else(String::new, |(root, segments)| written(root, &segments));
        self.report(Problem::invalid(code::WRONG_RESULT_TYPE, self.place, shown, what).maybe_hint(hint));
    }

    /// Reports a phase that does not exist, where `phase` is a step's phase and `name` a text.
    fn phases(&mut self, phase: &'a IdedExpr, name: &'a IdedExpr) {
        let Expr::Literal(LiteralValue::String(name)) = &name.expr else { return };
        let Some(("steps", segments)) = path(phase) else { return };
        let [Segment::Name(step), Segment::Name("phase")] = segments.as_slice() else { return };
        let name = name.inner();
        if !self.scope.has_step(step) || StepPhase::NAMES.contains(&name) {
            return;
        }
        let hint = did_you_mean(name, StepPhase::NAMES.iter().copied())
            .unwrap_or_else(|| format!("the phases are {}", StepPhase::NAMES.join(", ")));
        self.report(
            Problem::not_supported(code::UNKNOWN_PHASE, self.place, name, "no step is ever in this phase")
                .hint(hint),
        );
    }
}
