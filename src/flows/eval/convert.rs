//! Between JSON and CEL: what an expression reads, and what comes out.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Number, Value};

/// A JSON value as CEL sees it. Numbers with a point or an exponent are doubles.
pub(super) fn to_cel(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(list) => Box::new(CelList::from(list.iter().map(to_cel).collect::<Vec<_>>())),
        Value::Object(map) => {
            let entry =
                |(key, value)| (CelMapKey::String(CelString::from(String::as_str(key))), to_cel(value));
            Box::new(CelMap::from(map.iter().map(entry).collect::<HashMap<_, _>>()))
        }
    }
}

/// Converts the value of an expression to JSON; the error says why JSON has no such value. A type is its name.
pub(super) fn from_cel(value: &cel::Value) -> Result<Value, &'static str> {
    Ok(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(value) => Value::from(*value),
        cel::Value::Int(number) => Value::from(*number),
        cel::Value::UInt(number) => Value::from(*number),
        cel::Value::Float(number) => {
            Value::Number(Number::from_f64(*number).ok_or("the result is no finite number")?)
        }
        cel::Value::String(text) => Value::from(text.as_str()),
        cel::Value::List(list) => Value::Array(list.iter().map(from_cel).collect::<Result<_, _>>()?),
        cel::Value::Map(map) => {
            let mut entries = Map::new();
            for (key, entry) in map.map.iter() {
                if entries.insert(key.to_string(), from_cel(entry)?).is_some() {
                    return Err("two keys of a map are the same in JSON");
                }
            }
            Value::Object(entries)
        }
        cel::Value::Bytes(_) => return Err("the result is bytes; write string(...) around it"),
        _ => return Err("the result has no text"),
    })
}

/// A value in the middle of a text: strings as they are, lists and maps as JSON. `None` for null.
pub(super) fn to_text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().map(float),
        other => crate::flows::typed::text(other),
    }
}

/// As CEL's `string(...)` has it (0.5 and 3), but for numbers that would be long rows of zeros.
fn float(number: f64) -> String {
    if number == 0.0 || (1e-7..1e21).contains(&number.abs()) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_goes_through_cel_unchanged() {
        let value = json!({
            "a": [null, true, -1, 0.5, 18_446_744_073_709_551_615_u64, "é\n\"{{"], "b": {"c d": [], "": {}}
        });
        let there = cel::Value::try_from(to_cel(&value).as_ref()).unwrap();
        assert_eq!(from_cel(&there), Ok(value.clone()));
    }

    #[test]
    fn floats_are_written_shortly() {
        for (number, text) in [
            (0.5, "0.5"),
            (3.0, "3"),
            (-0.1, "-0.1"),
            (0.0, "0"),
            (1e20, "100000000000000000000"),
            (1e300, "1e300"),
            (2.5e-9, "2.5e-9"),
        ] {
            assert_eq!(to_text(&json!(number)).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_json_does_not_have_is_told() {
        use cel::objects::{Key, Map};
        assert!(from_cel(&cel::Value::Float(f64::NAN)).is_err());
        assert!(from_cel(&cel::Value::from(vec![1_u8])).is_err_and(|why| why.contains("string")));
        let keys = [Key::Int(1), Key::from("1")].map(|key| (key, cel::Value::Null));
        let map = Map { map: std::sync::Arc::new(HashMap::from(keys)) };
        assert!(from_cel(&cel::Value::Map(map)).is_err_and(|why| why.contains("keys")));
    }
}
