//! Kubernetes quantities: `500m`, `1.5Gi`, `12e6`.
//!
//! Reads what `k8s.io/apimachinery/pkg/api/resource.ParseQuantity` reads, with its rounding (away from zero, to a
//! billionth) and its cap on binary suffixes, and compares exactly: nothing goes through a float.
//!
//! ```
//! use headworks::k8s::quantity::Quantity;
//! let limit: Quantity = "0.5".parse().unwrap();
//! let request: Quantity = "500m".parse().unwrap();
//! assert_eq!(limit, request);
//! ```

use std::cmp::Ordering;
use std::str::FromStr;

use serde_json::Value;

/// The longest text that is read; Kubernetes has no bound, and nobody writes one this long.
pub const LONGEST: usize = 256;
/// The largest exponent, either way.
const MAX_EXPONENT: i64 = 1_000;
/// Fraction digits that are kept.
const NANO_DIGITS: i64 = 9;
/// Quantities with a binary suffix are capped here.
const BINARY_CAP: i128 = i64::MAX as i128 * NANO;
const NANO: i128 = 1_000_000_000;

/// An exact amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(Amount);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Amount {
    /// A number of billionths.
    Nano(i128),
    /// A number that no `i128` holds: `0.DIGITS * 10^magnitude`, digits without zeros at either end.
    Huge { negative: bool, magnitude: i64, digits: Box<[u8]> },
}

/// Reasons for which a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// The text is longer than [`LONGEST`].
    #[error("is longer than 256 characters")]
    TooLong,
    /// It does not start with a number.
    #[error("must be a number with an optional unit, such as 500m, 2 or 1.5Gi")]
    Format,
    /// The unit is none of the known ones.
    #[error("has no unit that Kubernetes knows (n, u, m, k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei)")]
    Unit,
    /// The exponent is beyond any use.
    #[error("has an exponent beyond 1000")]
    Exponent,
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl Quantity {
    /// Reads a quantity; blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(QuantityError::Empty);
        }
        if text.len() > LONGEST {
            return Err(QuantityError::TooLong);
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        let unit = Unit::parse(suffix)?;
        let nano = small(whole, fraction, unit);
        Ok(Self(match nano {
            Some(nano) => Amount::Nano(if negative { -nano } else { nano }),
            None => large(negative, whole, fraction, unit),
        }))
    }

    /// Reads a JSON value: a string, or a number as Kubernetes takes it.
    pub fn from_value(value: &Value) -> Option<Result<Self, QuantityError>> {
        match value {
            Value::String(text) => Some(Self::parse(text)),
            Value::Number(number) => Some(Self::parse(&number.to_string())),
            _ => None,
        }
    }

    /// Returns the sign: -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        match &self.0 {
            Amount::Nano(nano) => nano.signum() as i32,
            Amount::Huge { negative: true, .. } => -1,
            Amount::Huge { .. } => 1,
        }
    }

    /// Tests whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.signum() < 0
    }

    /// Tests whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.signum() == 0
    }

    /// Tests whether it is a whole number to a thousandth, as Kubernetes asks of countable resources.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            // `MilliValue` rounds up before the remainder is taken.
            Amount::Nano(nano) => ceil_div(nano.abs(), NANO / 1_000) % 1_000 == 0,
            Amount::Huge { magnitude, digits, .. } => {
                i64::try_from(digits.len()).is_ok_and(|len| len <= *magnitude)
            }
        }
    }

    /// The amount in billionths, if it fits.
    pub fn nano(&self) -> Option<i128> {
        match self.0 {
            Amount::Nano(nano) => Some(nano),
            Amount::Huge { .. } => None,
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Amount::Nano(a), Amount::Nano(b)) => a.cmp(b),
            (Amount::Huge { negative, .. }, Amount::Nano(_)) => {
                if *negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (Amount::Nano(_), Amount::Huge { .. }) => other.cmp(self).reverse(),
            (
                Amount::Huge { negative, magnitude, digits },
                Amount::Huge { negative: n, magnitude: m, digits: d },
            ) => match (negative, n) {
                (false, true) => Ordering::Greater,
                (true, false) => Ordering::Less,
                (false, false) => magnitude.cmp(m).then_with(|| digits.cmp(d)),
                (true, true) => m.cmp(magnitude).then_with(|| d.cmp(digits)),
            },
        }
    }
}

/// The factor of a suffix.
#[derive(Clone, Copy)]
enum Unit {
    /// A power of ten.
    Ten(i64),
    /// A power of 1024.
    Binary(u32),
}

impl Unit {
    fn parse(suffix: &str) -> Result<Self, QuantityError> {
        Ok(match suffix {
            "" => Self::Ten(0),
            "n" => Self::Ten(-9),
            "u" => Self::Ten(-6),
            "m" => Self::Ten(-3),
            "k" => Self::Ten(3),
            "M" => Self::Ten(6),
            "G" => Self::Ten(9),
            "T" => Self::Ten(12),
            "P" => Self::Ten(15),
            "E" => Self::Ten(18),
            "Ki" => Self::Binary(1),
            "Mi" => Self::Binary(2),
            "Gi" => Self::Binary(3),
            "Ti" => Self::Binary(4),
            "Pi" => Self::Binary(5),
            "Ei" => Self::Binary(6),
            _ => return Self::exponent(suffix),
        })
    }

    fn exponent(suffix: &str) -> Result<Self, QuantityError> {
        let Some(text) = suffix.strip_prefix(['e', 'E']) else {
            let starts = suffix.starts_with(|c: char| c.is_ascii_alphabetic());
            return Err(if starts { QuantityError::Unit } else { QuantityError::Format });
        };
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(QuantityError::Unit);
        }
        match text.parse::<i64>() {
            Ok(exponent) if exponent.abs() <= MAX_EXPONENT => Ok(Self::Ten(exponent)),
            _ => Err(QuantityError::Exponent),
        }
    }
}

/// Splits leading digits off.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn ceil_div(n: i128, d: i128) -> i128 {
    n / d + i128::from(n % d != 0)
}

/// The magnitude in billionths by plain arithmetic, or `None` where that could overflow.
fn small(whole: &str, fraction: &str, unit: Unit) -> Option<i128> {
    let whole = whole.trim_start_matches('0');
    if whole.len() + fraction.len() > 18 {
        return None;
    }
    let mantissa =
        whole.bytes().chain(fraction.bytes()).fold(0_i128, |value, c| value * 10 + i128::from(c - b'0'));
    if mantissa == 0 {
        return Some(0);
    }
    let places = i64::try_from(fraction.len()).ok()?;
    let (value, exponent, cap) = match unit {
        Unit::Ten(exponent) => (mantissa, NANO_DIGITS + exponent - places, i128::MAX),
        Unit::Binary(power) => (mantissa * 1024_i128.pow(power), NANO_DIGITS - places, BINARY_CAP),
    };
    let power = u32::try_from(exponent.abs()).ok()?;
    let nano = if exponent >= 0 {
        value.checked_mul(10_i128.checked_pow(power)?)?
    } else {
        // More than any 18 digits can be: what is left is one billionth.
        10_i128.checked_pow(power).map_or(1, |divisor| ceil_div(value, divisor))
    };
    Some(nano.min(cap))
}

/// The same by long multiplication, for any length.
fn large(negative: bool, whole: &str, fraction: &str, unit: Unit) -> Amount {
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|c| c - b'0').collect();
    let mut point = signed(whole.len());
    match unit {
        Unit::Ten(exponent) => point += exponent,
        Unit::Binary(power) => {
            for _ in 0..power {
                point += times_1024(&mut digits);
            }
        }
    }
    let kept = usize::try_from(point + NANO_DIGITS).unwrap_or(0);
    if kept < digits.len() {
        let lost = digits[kept..].iter().any(|&digit| digit != 0);
        digits.truncate(kept);
        // Below the first kept digit: `point + NANO_DIGITS` may be negative, the result is then one billionth.
        point = point.max(-NANO_DIGITS);
        if lost && add_one(&mut digits) {
            point += 1;
        }
    }
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    digits.drain(..zeros);
    point -= signed(zeros);
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let mut nano = Some(0_i128);
    for &digit in &digits {
        nano = nano.and_then(|nano| nano.checked_mul(10)?.checked_add(i128::from(digit)));
    }
    let missing = u32::try_from(point + NANO_DIGITS - signed(digits.len())).unwrap_or(0);
    let power = if digits.is_empty() { Some(1) } else { 10_i128.checked_pow(missing) };
    let nano = nano.zip(power).and_then(|(nano, power)| nano.checked_mul(power));
    let nano = match unit {
        Unit::Binary(_) => Some(nano.map_or(BINARY_CAP, |nano| nano.min(BINARY_CAP))),
        Unit::Ten(_) => nano,
    };
    match nano {
        Some(nano) => Amount::Nano(if negative { -nano } else { nano }),
        None => Amount::Huge { negative, magnitude: point, digits: digits.into() },
    }
}

/// Multiplies in place; returns the number of digits by which it grew at the front.
fn times_1024(digits: &mut Vec<u8>) -> i64 {
    let mut carry = 0_u32;
    for digit in digits.iter_mut().rev() {
        carry += u32::from(*digit) * 1024;
        *digit = low(carry);
        carry /= 10;
    }
    let mut front = Vec::new();
    while carry > 0 {
        front.push(low(carry));
        carry /= 10;
    }
    let grown = signed(front.len());
    digits.splice(0..0, front.into_iter().rev());
    grown
}

/// Adds one to the last digit; returns true if a digit was put in front.
fn add_one(digits: &mut Vec<u8>) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return false;
        }
        *digit = 0;
    }
    digits.insert(0, 1);
    true
}

fn low(number: u32) -> u8 {
    u8::try_from(number % 10).unwrap_or(0)
}

/// A length; texts are at most [`LONGEST`].
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
