//! The outputs of a step that has succeeded.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::Value;

use super::Failure;
use super::paths;
use super::paths::Broken;
use crate::flows::api::{OutputParameter, OutputValue, Step, ValueType};
use crate::flows::typed;
use crate::flows::typed::MAX_VALUES;
use crate::flows::{declared, jsonpath};

/// The output parameters of a step, in the order of their declaration.
pub(super) fn of(step: &Step, document: &Value) -> Result<Vec<OutputValue>, Failure> {
    let declared = declared::outputs(step);
    let left = Cell::new(jsonpath::MAX_PLACES);
    // The document as outputs of this container see it.
    let mut seen: HashMap<&str, Value> = HashMap::new();
    let mut found: Vec<OutputValue> = Vec::with_capacity(declared.len());
    for output in declared {
        let document = match output.value_from.container.as_deref() {
            Some(name) => &*seen.entry(name).or_insert_with(|| said_by(name, document)),
            None => document,
        };
        found.push(OutputValue { name: output.name.clone(), value: one(output, document, &left)? });
    }
    let bytes: usize = found.iter().map(|output| output.value.len()).sum();
    if bytes > MAX_VALUES {
        let what = format!("the outputs have {bytes} bytes together, and may have {MAX_VALUES}");
        return Err(Failure::new("DataTooLarge", &format!("{what}; hand large data on as an artifact")));
    }
    Ok(found)
}

fn one(output: &OutputParameter, document: &Value, left: &Cell<usize>) -> Result<String, Failure> {
    let fail = |reason, why: &str| {
        Failure::new(reason, &format!("output \"{}\": {}: {why}", output.name, output.value_from.json_path))
    };
    let path = jsonpath::parse(&output.value_from.json_path)
        .map_err(|error| fail("OutputInvalid", &error.message))?;
    let text = match paths::pick(&path, document, left) {
        Ok(text) => text,
        Err(Broken::Wrong(why)) => return Err(fail("OutputInvalid", &why)),
        Err(Broken::Nothing(why)) => {
            return output.default.clone().ok_or_else(|| fail("OutputMissing", &why));
        }
    };
    match typed::read(&text, output.type_.unwrap_or(ValueType::String)) {
        Ok(_) => Ok(text),
        Err(wanted) => Err(fail("OutputInvalid", &format!("does not fit the declared type: {wanted}"))),
    }
}

/// The document with what one container said as its `output`.
fn said_by(container: &str, document: &Value) -> Value {
    let mut document = document.clone();
    let said = document.get("containers").and_then(|containers| containers.get(container)).cloned();
    if let Some(map) = document.as_object_mut() {
        for field in ["output", "cut", "limit"] {
            match said.as_ref().and_then(|said| said.get(field)) {
                Some(said) => map.insert(field.to_owned(), said.clone()),
                None => map.remove(field),
            };
        }
    }
    document
}
