//! The type of a scalar, resolved as go-yaml 2 does, on which `sigs.k8s.io/yaml` and so kubectl are built.
//!
//! Every row of the tests was seen in the output of kubectl 1.37.

use base64::Engine;
use serde_json::{Number, Value};

/// The value of a plain (unquoted, untagged) scalar, or why JSON cannot hold it.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
        | ".NaN" | ".NAN" => return Err(format!("JSON has no number `{text}`")),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    })
}

/// The value of a scalar with a tag of YAML's own, such as `!!int`; `plain` says whether it is unquoted.
pub(super) fn tagged(tag: &str, text: &str) -> Result<Value, String> {
    let wrong = || format!("`{text}` is no {tag}");
    match tag {
        "binary" => {
            let compact: String = text.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(compact)
                .map_err(|_| "the value of `!!binary` is not base64".to_owned())?;
            Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
        }
        "int" | "float" => match plain(text)? {
            Value::Number(number) if tag == "float" || number.is_i64() || number.is_u64() => {
                Ok(Value::Number(number))
            }
            _ => Err(wrong()),
        },
        "bool" => plain(text).ok().filter(Value::is_boolean).ok_or_else(wrong),
        "null" => plain(text).ok().filter(Value::is_null).ok_or_else(wrong),
        _ => Ok(Value::from(text)),
    }
}

/// A scalar as the key of a JSON object.
pub(super) fn key(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(match number.as_f64() {
            Some(float) if number.is_f64() => go_float(float),
            _ => number.to_string(),
        }),
        _ => Err("a key cannot be null".to_owned()),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

/// Go's `strconv.ParseInt(text, 0, 64)`, then its unsigned brother.
fn integer(text: &str) -> Option<Number> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = rest.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(_) if lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // go-yaml reads a sign after `0b`, and only there.
    let signed_binary = radix == 2 && digits.starts_with('-') && !negative;
    if !signed_binary && !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    i64::try_from(value).map(Number::from).or_else(|_| u64::try_from(value).map(Number::from)).ok()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`. What overflows is a text.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) || !exponent_fits {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    // On its way to the cluster a whole number loses its point: 5.0 is sent as 5.
    #[expect(clippy::cast_possible_truncation, reason = "checked: whole and within the range of i64")]
    if value.fract() == 0.0 && value.abs() < 9.2e18 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// Go's `strconv.FormatFloat(f, 'g', -1, 32)`, which makes keys out of numbers with a point.
fn go_float(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "go-yaml narrows to 32 bits here")]
    let value = value as f32;
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_reads() {
        let rows = [
            ("y", json!(true)),
            ("Yes", json!(true)),
            ("ON", json!(true)),
            ("yEs", json!("yEs")),
            ("tRue", json!("tRue")),
            ("n", json!(false)),
            ("Off", json!(false)),
            ("~", json!(null)),
            ("nUll", json!("nUll")),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("+0x1f", json!(31)),
            ("0b101", json!(5)),
            ("0b-1", json!(-1)),
            ("-0b11", json!(-3)),
            ("1_000", json!(1000)),
            ("0_7", json!(7)),
            ("-010", json!(-8)),
            ("08", json!(8)),
            ("09.5", json!(9.5)),
            ("5.", json!(5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000)),
            ("1E-2", json!(0.01)),
            ("1.0", json!(1)),
            ("1e400", json!("1e400")),
            ("100000000000000000000000", json!(1e23)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("2001-01-01", json!("2001-01-01")),
            ("190:20:30", json!("190:20:30")),
            ("0x", json!("0x")),
            ("_1", json!("_1")),
            ("1_", json!(1)),
            ("-", json!("-")),
            ("-.", json!("-.")),
            (".inf2", json!(".inf2")),
            ("infinity", json!("infinity")),
        ];
        for (text, value) in rows {
            assert_eq!(plain(text), Ok(value), "{text}");
        }
        assert!(plain("-.INF").is_err());
        assert!(plain(".NaN").is_err());
    }

    #[test]
    fn tags_decide_what_a_scalar_is() {
        assert_eq!(tagged("str", "yes"), Ok(json!("yes")));
        assert_eq!(tagged("binary", "aGVsbG8="), Ok(json!("hello")));
        assert_eq!(tagged("int", "0644"), Ok(json!(420)));
        assert_eq!(tagged("float", "1"), Ok(json!(1)));
        assert_eq!(tagged("timestamp", "2001-01-01"), Ok(json!("2001-01-01")));
        assert_eq!(tagged("int", "x"), Err("`x` is no int".to_owned()));
        assert!(tagged("binary", "%%").is_err());
    }

    #[test]
    fn keys_become_texts() {
        assert_eq!(key(json!(31)), Ok("31".to_owned()));
        assert_eq!(key(json!(true)), Ok("true".to_owned()));
        assert_eq!(key(json!(0.5)), Ok("0.5".to_owned()));
        assert!(key(json!(null)).is_err());
    }
}
