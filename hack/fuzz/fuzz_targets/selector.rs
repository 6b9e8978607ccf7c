//! Fuzzes label selectors with any text: a contradiction is reported exactly if no labels match.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use headworks::k8s::selector::{Operator, Requirement, Selector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let selector = match Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error:?}");
            return;
        }
    };
    let contradicted: BTreeSet<String> =
        selector.contradictions().into_iter().map(|found| found.key).collect();
    let mut keys: BTreeMap<&str, Vec<Requirement>> = BTreeMap::new();
    for requirement in &selector.requirements {
        assert!(requirement.column <= text.chars().count());
        keys.entry(&requirement.key).or_default().push(requirement.clone());
    }
    let mut labels = BTreeMap::new();
    for (key, requirements) in keys {
        // Absent, a value that the selector does not name, and every value that it names: no other case exists.
        let mut values = BTreeSet::from(["nobody-names-this-one".to_owned()]);
        for requirement in &requirements {
            if let Operator::In(named) | Operator::NotIn(named) = &requirement.operator {
                values.extend(named.iter().cloned());
            }
        }
        let one = Selector { requirements };
        let fitting = std::iter::once(BTreeMap::new())
            .chain(values.into_iter().map(|value| BTreeMap::from([(key.to_owned(), value)])))
            .find(|labels| one.matches(labels));
        assert_eq!(fitting.is_none(), contradicted.contains(key), "{key} in {text:?}");
        labels.extend(fitting.unwrap_or_default());
    }
    assert_eq!(selector.matches(&labels), contradicted.is_empty(), "{text:?}");
});
