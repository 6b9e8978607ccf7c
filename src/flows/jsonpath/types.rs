//! RFC 9535, 2.4.3: what a function takes and gives. The parser does not ask.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Segment, Selector, Test, TestFunction,
};

/// Describes the mistake of the first function that is used where it does not fit.
pub(super) fn fault(query: &JpQuery) -> Option<String> {
    segments(&query.segments)
}

fn segments(list: &[Segment]) -> Option<String> {
    list.iter().find_map(segment)
}

fn segment(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Descendant(inner) => self::segment(inner),
        Segment::Selector(selector) => self::selector(selector),
        Segment::Selectors(list) => list.iter().find_map(selector),
    }
}

fn selector(selector: &Selector) -> Option<String> {
    match selector {
        Selector::Filter(filter) => self::filter(filter),
        _ => None,
    }
}

fn filter(filter: &Filter) -> Option<String> {
    match filter {
        Filter::Or(list) | Filter::And(list) => list.iter().find_map(self::filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => self::filter(expr),
        Filter::Atom(FilterAtom::Test { expr, .. }) => match &**expr {
            Test::Function(called) if gives_value(called) => {
                Some(format!("`{}` gives a value, which has to be compared", name(called)))
            }
            test => self::test(test),
        },
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (Comparison::Eq(a, b)
            | Comparison::Ne(a, b)
            | Comparison::Gt(a, b)
            | Comparison::Gte(a, b)
            | Comparison::Lt(a, b)
            | Comparison::Lte(a, b)) = &**comparison;
            [a, b].into_iter().find_map(|side| match side {
                Comparable::Function(called) if !gives_value(called) => {
                    Some(format!("`{}` is true or false, and not to be compared", name(called)))
                }
                Comparable::Function(called) => function(called),
                _ => None,
            })
        }
    }
}

fn test(test: &Test) -> Option<String> {
    match test {
        Test::RelQuery(list) => segments(list),
        Test::AbsQuery(query) => fault(query),
        Test::Function(called) => function(called),
    }
}

fn function(called: &TestFunction) -> Option<String> {
    let (arguments, fits): (Vec<&FnArg>, fn(&FnArg) -> bool) = match called {
        TestFunction::Custom(..) => return Some(format!("RFC 9535 has no function `{}`", name(called))),
        TestFunction::Length(a) => (vec![a], is_value),
        TestFunction::Value(a) | TestFunction::Count(a) => (vec![a], is_query),
        TestFunction::Search(a, b) | TestFunction::Match(a, b) => (vec![a, b], is_value),
    };
    if !arguments.iter().all(|argument| fits(argument)) {
        let wanted = if matches!(called, TestFunction::Value(_) | TestFunction::Count(_)) {
            "a path"
        } else {
            "one value: a literal, or a path without `*`, `..`, slices and filters"
        };
        return Some(format!("`{}` takes {wanted}", name(called)));
    }
    arguments.into_iter().find_map(|argument| match argument {
        FnArg::Test(inner) => test(inner),
        _ => None,
    })
}

fn gives_value(called: &TestFunction) -> bool {
    matches!(called, TestFunction::Length(_) | TestFunction::Value(_) | TestFunction::Count(_))
}

fn is_value(argument: &FnArg) -> bool {
    match argument {
        FnArg::Literal(_) => true,
        FnArg::Filter(_) => false,
        FnArg::Test(test) => match &**test {
            Test::RelQuery(list) => list.iter().all(is_singular),
            Test::AbsQuery(query) => query.segments.iter().all(is_singular),
            Test::Function(called) => gives_value(called),
        },
    }
}

fn is_query(argument: &FnArg) -> bool {
    matches!(argument, FnArg::Test(test) if !matches!(&**test, Test::Function(_)))
}

fn is_singular(segment: &Segment) -> bool {
    let one = |selector: &Selector| matches!(selector, Selector::Name(_) | Selector::Index(_));
    match segment {
        Segment::Selector(selector) => one(selector),
        Segment::Selectors(list) => matches!(list.as_slice(), [selector] if one(selector)),
        Segment::Descendant(_) => false,
    }
}

fn name(called: &TestFunction) -> &str {
    match called {
        TestFunction::Custom(name, _) => name,
        TestFunction::Length(_) => "length",
        TestFunction::Value(_) => "value",
        TestFunction::Count(_) => "count",
        TestFunction::Search(..) => "search",
        TestFunction::Match(..) => "match",
    }
}
