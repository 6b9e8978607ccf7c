//! Values and the types that flows declare for them. A value is stored and passed on as text; expressions see it as the
//! declared type.

use serde_json::{Number, Value};

use super::api::ValueType;

/// The most bytes of all values of a step together; the status of a flow has to hold them.
pub const MAX_VALUES: usize = 64 * 1024;

/// Reads a text as a value of the declared type. The error says what the text has to be.
pub fn read(text: &str, declared: ValueType) -> Result<Value, &'static str> {
    let trimmed = text.trim();
    match declared {
        ValueType::String => Ok(Value::from(text)),
        ValueType::Int => trimmed.parse::<i64>().map(Value::from).map_err(|_| "must be a whole number"),
        ValueType::Double => {
            let number = serde_json::from_str::<Number>(trimmed).ok();
            number
                .and_then(|number| Number::from_f64(number.as_f64()?))
                .map(Value::Number)
                .ok_or("must be a number")
        }
        ValueType::Bool => match trimmed {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("must be true or false"),
        },
        ValueType::Json => serde_json::from_str(text).map_err(|_| "must be JSON"),
    }
}

/// Writes a value as text: strings as they are, everything else as compact JSON. `None` for null, which is absent.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Names the kind of a value in messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("3", ValueType::Int, Ok(json!(3)))]
    #[case(" 3\n", ValueType::Int, Ok(json!(3)))]
    #[case("9223372036854775808", ValueType::Int, Err("must be a whole number"))]
    #[case("3.0", ValueType::Int, Err("must be a whole number"))]
    #[case("3a", ValueType::Int, Err("must be a whole number"))]
    #[case("", ValueType::Int, Err("must be a whole number"))]
    #[case("3", ValueType::Double, Ok(json!(3.0)))]
    #[case("0.5", ValueType::Double, Ok(json!(0.5)))]
    #[case("1e3", ValueType::Double, Ok(json!(1000.0)))]
    #[case("1e999", ValueType::Double, Err("must be a number"))]
    #[case("NaN", ValueType::Double, Err("must be a number"))]
    #[case("true", ValueType::Bool, Ok(json!(true)))]
    #[case("True", ValueType::Bool, Err("must be true or false"))]
    #[case("1", ValueType::Bool, Err("must be true or false"))]
    #[case("{\"a\": [1]}", ValueType::Json, Ok(json!({"a": [1]})))]
    #[case("abc", ValueType::Json, Err("must be JSON"))]
    #[case(" abc ", ValueType::String, Ok(json!(" abc ")))]
    fn a_text_is_read_as_its_type_exactly(
        #[case] text: &str,
        #[case] declared: ValueType,
        #[case] wanted: Result<Value, &'static str>,
    ) {
        assert_eq!(read(text, declared), wanted);
    }

    #[test]
    fn texts_are_stored_as_they_are_and_the_rest_as_compact_json() {
        assert_eq!(text(&json!(0.5)).as_deref(), Some("0.5"));
        assert_eq!(text(&json!("a \"b\"\n")).as_deref(), Some("a \"b\"\n"));
        assert_eq!(text(&json!([1, {"a": null}])).as_deref(), Some("[1,{\"a\":null}]"));
        assert_eq!(text(&json!(18_446_744_073_709_551_615_u64)).as_deref(), Some("18446744073709551615"));
        assert_eq!(text(&Value::Null), None);
    }
}
