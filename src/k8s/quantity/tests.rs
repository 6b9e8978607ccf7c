use proptest::prelude::*;
use serde_json::json;

use super::*;

fn nano(text: &str) -> i128 {
    Quantity::parse(text).unwrap().nano().unwrap()
}

#[test]
fn quantities_are_read_as_kubernetes_reads_them() {
    for (text, expected) in [
        ("0", 0),
        ("100m", 100_000_000),
        ("1", NANO),
        ("+1.5", 3 * NANO / 2),
        ("-1.5Ki", -1536 * NANO),
        ("1Gi", (1 << 30) * NANO),
        ("12e6", 12_000_000 * NANO),
        ("1E", 1_000_000_000_000_000_000 * NANO),
        ("1E3", 1000 * NANO),
        ("1e-3", 1_000_000),
        (".5", NANO / 2),
        ("1.", NANO),
        (" 1 ", NANO),
        ("0001.5000", 3 * NANO / 2),
        // Rounded away from zero.
        ("0.1n", 1),
        ("-0.1n", -1),
        ("1.0000000001", NANO + 1),
        ("0.0000000000000000000000000000001", 1),
        ("1e-1000", 1),
        ("999999999.9999999999999999999999", 1_000_000_000 * NANO),
        // Capped with a binary suffix only.
        ("100Ei", i128::from(i64::MAX) * NANO),
        ("99999999999999999999999999999999999999999999Ki", i128::from(i64::MAX) * NANO),
        // Odd, and taken by Kubernetes: digits may be missing.
        ("Ki", 0),
        ("+", 0),
        (".", 0),
        ("0000000000000000000000000000000000000000e9", 0),
    ] {
        assert_eq!(nano(text), expected, "{text}");
    }
}

#[test]
fn what_kubernetes_refuses_is_refused_with_the_reason() {
    for (text, error) in [
        ("", QuantityError::Empty),
        ("  ", QuantityError::Empty),
        ("1e", QuantityError::Unit),
        ("1e+", QuantityError::Unit),
        ("1mi", QuantityError::Unit),
        ("1GB", QuantityError::Unit),
        ("1K", QuantityError::Unit),
        ("aoeu", QuantityError::Unit),
        ("1.1.1", QuantityError::Format),
        ("1 Gi", QuantityError::Format),
        ("--1", QuantityError::Format),
        ("1e99999999999999999999", QuantityError::Exponent),
    ] {
        assert_eq!(Quantity::parse(text), Err(error), "{text}");
    }
    assert_eq!(Quantity::parse(&"9".repeat(300)), Err(QuantityError::TooLong));
}

#[test]
fn huge_amounts_still_compare() {
    let list = ["-1e101", "-2e100", "-1e100", "-1", "0", "1", "1e99", "1e100", "12e99", "2e100", "1e101"];
    let quantities: Vec<Quantity> = list.iter().map(|text| text.parse().unwrap()).collect();
    assert!(quantities.is_sorted_by(|a, b| a < b));
    assert_eq!("10e99".parse::<Quantity>(), "1e100".parse());
}

#[test]
fn json_numbers_are_quantities() {
    assert_eq!(Quantity::from_value(&json!(0.5)).unwrap().unwrap(), "500m".parse().unwrap());
    assert_eq!(Quantity::from_value(&json!(2)).unwrap().unwrap(), "2".parse().unwrap());
    assert_eq!(Quantity::from_value(&json!(true)), None);
}

#[test]
fn whole_numbers_are_told_from_parts() {
    assert!(Quantity::parse("2000m").unwrap().is_whole());
    assert!(!Quantity::parse("1500m").unwrap().is_whole());
    assert!(Quantity::parse("1e100").unwrap().is_whole());
}

/// `mantissa * 10^exponent * 1024^power` in billionths, rounded away from zero.
fn reference(mantissa: i128, exponent: i32, power: u32) -> i128 {
    let value = mantissa * 1024_i128.pow(power);
    let exponent = exponent + 9;
    if exponent >= 0 {
        return value * 10_i128.pow(exponent.unsigned_abs());
    }
    let divisor = 10_i128.pow(exponent.unsigned_abs());
    value.signum() * ((value.abs() + divisor - 1) / divisor)
}

proptest! {
    #[test]
    fn any_number_agrees_with_the_rational_reference(
        mantissa in -999_999_999_i128..1_000_000_000,
        places in 0_usize..8,
        suffix in 0_usize..16,
        zeros in 0_usize..30,
    ) {
        let suffixes = ["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "e0", "e3", "E-2", "e-12", "Gi", "e7"];
        let (exponent, power) = [
            (0, 0), (-9, 0), (-6, 0), (-3, 0), (3, 0), (6, 0), (9, 0), (12, 0),
            (0, 1), (0, 2), (0, 0), (3, 0), (-2, 0), (-12, 0), (0, 3), (7, 0),
        ][suffix];
        let text = format!("{:0>width$}", mantissa.abs(), width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        // Trailing zeros change nothing but the path that is taken.
        let sign = if mantissa < 0 { "-" } else { "" };
        let text = format!("{sign}{whole}.{fraction}{}{}", "0".repeat(zeros), suffixes[suffix]);
        let places = i32::try_from(places).unwrap();
        let expected = reference(mantissa, exponent - places, power);
        let cap = i128::from(i64::MAX) * NANO;
        let expected = if power > 0 { expected.clamp(-cap, cap) } else { expected };
        prop_assert_eq!(nano(&text), expected, "{}", text);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn no_text_like_a_quantity_panics(text in "[-+]?[0-9]{0,60}\\.?[0-9]{0,60}([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,4})?") {
        if let Ok(quantity) = Quantity::parse(&text) {
            prop_assert_eq!(quantity.cmp(&quantity), Ordering::Equal);
            prop_assert!(quantity.signum() == 0 || quantity.is_negative() == text.starts_with('-'));
        }
    }
}
