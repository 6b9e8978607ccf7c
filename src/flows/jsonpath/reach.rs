//! The members of a document that a path looks at.

use jsonpath_rust::parser::model::{
    Comparable, Filter, FilterAtom, FnArg, JpQuery, Segment, Selector, SingularQuery, SingularQuerySegment,
    Test, TestFunction,
};

use serde_json::Value;

use super::JsonPath;
use super::select::at;

impl JsonPath {
    /// The name or index with which the path starts, if it starts with one.
    pub fn first(&self) -> Option<Step<'_>> {
        self.steps().next()?
    }

    /// The names and indices that the path is made of; `None` for what may select several values or none.
    pub fn steps(&self) -> impl Iterator<Item = Option<Step<'_>>> {
        self.tree.segments.iter().map(|segment| {
            let selector = match segment {
                Segment::Selector(selector) => selector,
                Segment::Selectors(list) => match list.as_slice() {
                    [only] => only,
                    _ => return None,
                },
                Segment::Descendant(_) => return None,
            };
            match selector {
                Selector::Name(name) => Some(Step::Name(name)),
                Selector::Index(index) => Some(Step::Index(*index)),
                _ => None,
            }
        })
    }

    /// The members of the document that the path may look at; `None` if it may be all of them.
    pub fn members(&self) -> Option<Vec<&str>> {
        let mut reach = Reach::default();
        reach.query(&self.tree);
        (!reach.all).then_some(reach.names)
    }
}

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'p> {
    /// To a member of an object.
    Name(&'p str),
    /// To an entry of a list.
    Index(i64),
}

impl Step<'_> {
    /// Follows the step from a value.
    pub fn of(self, value: &Value) -> Option<&Value> {
        match self {
            Self::Name(name) => value.as_object()?.get(name),
            Self::Index(index) => at(value, index),
        }
    }
}

#[derive(Default)]
struct Reach<'p> {
    names: Vec<&'p str>,
    all: bool,
}

impl<'p> Reach<'p> {
    fn query(&mut self, query: &'p JpQuery) {
        match query.segments.first() {
            Some(Segment::Selector(selector)) => self.first(selector),
            Some(Segment::Selectors(list)) => list.iter().for_each(|selector| self.first(selector)),
            Some(Segment::Descendant(_)) | None => self.all = true,
        }
        self.segments(&query.segments);
    }

    fn first(&mut self, selector: &'p Selector) {
        match selector {
            Selector::Name(name) => self.names.push(name),
            _ => self.all = true,
        }
    }

    /// Collects the members that the filters in a path look at.
    fn segments(&mut self, segments: &'p [Segment]) {
        for segment in segments {
            let mut segment = segment;
            while let Segment::Descendant(inner) = segment {
                segment = inner;
            }
            match segment {
                Segment::Selector(Selector::Filter(filter)) => self.filter(filter),
                Segment::Selectors(list) => {
                    for selector in list {
                        if let Selector::Filter(filter) = selector {
                            self.filter(filter);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn filter(&mut self, filter: &'p Filter) {
        match filter {
            Filter::Or(list) | Filter::And(list) => list.iter().for_each(|one| self.filter(one)),
            Filter::Atom(FilterAtom::Filter { expr, .. }) => self.filter(expr),
            Filter::Atom(FilterAtom::Test { expr, .. }) => self.test(expr),
            Filter::Atom(FilterAtom::Comparison(comparison)) => {
                let (a, b) = comparison.vals();
                for side in [a, b] {
                    match side {
                        Comparable::Literal(_) | Comparable::SingularQuery(SingularQuery::Current(_)) => {}
                        Comparable::Function(called) => self.function(called),
                        Comparable::SingularQuery(SingularQuery::Root(segments)) => match segments.first() {
                            Some(SingularQuerySegment::Name(name)) => self.names.push(name),
                            _ => self.all = true,
                        },
                    }
                }
            }
        }
    }

    fn test(&mut self, test: &'p Test) {
        match test {
            Test::RelQuery(segments) => self.segments(segments),
            Test::AbsQuery(query) => self.query(query),
            Test::Function(called) => self.function(called),
        }
    }

    fn function(&mut self, called: &'p TestFunction) {
        let arguments: Vec<&FnArg> = match called {
            TestFunction::Custom(_, arguments) => arguments.iter().collect(),
            TestFunction::Length(argument) => vec![argument],
            TestFunction::Value(argument) | TestFunction::Count(argument) => vec![argument],
            TestFunction::Search(text, pattern) | TestFunction::Match(text, pattern) => vec![text, pattern],
        };
        for argument in arguments {
            match argument {
                FnArg::Literal(_) => {}
                FnArg::Test(test) => self.test(test),
                FnArg::Filter(filter) => self.filter(filter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::flows::jsonpath::parse;

    #[rstest]
    #[case("$.status.succeeded", Some(vec!["status"]))]
    #[case("{.output.a}", Some(vec!["output"]))]
    #[case("$['output','status']", Some(vec!["output", "status"]))]
    #[case("$.output[?@.a == 1]", Some(vec!["output"]))]
    #[case("$.output[?@.a == $.spec.completions]", Some(vec!["output", "spec"]))]
    #[case("$.output[?count($.status.conditions[*]) > 1 || !@..b[?$.pods]]", Some(vec!["output", "status", "pods"]))]
    #[case("$", None)]
    #[case("$.*", None)]
    #[case("$..succeeded", None)]
    #[case("$[?@.a]", None)]
    #[case("$.output[?@ == $]", None)]
    fn the_members_that_a_path_may_look_at(#[case] path: &str, #[case] wanted: Option<Vec<&str>>) {
        assert_eq!(parse(path).unwrap().members(), wanted);
    }
}
