//! The types of expressions, as far as they are known without evaluating.

use cel::common::ast::LiteralValue;

use crate::flows::api::ValueType;

/// A type, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Unknown,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Null,
    List,
    Map,
}

impl Type {
    pub(super) fn of(literal: &LiteralValue) -> Self {
        match literal {
            LiteralValue::Boolean(_) => Self::Bool,
            LiteralValue::Bytes(_) => Self::Bytes,
            LiteralValue::Double(_) => Self::Double,
            LiteralValue::Int(_) => Self::Int,
            LiteralValue::Null => Self::Null,
            LiteralValue::String(_) => Self::Text,
            LiteralValue::UInt(_) => Self::Uint,
        }
    }

    /// The type of a value whose declaration says `declared`.
    pub(super) fn declared(declared: Option<ValueType>) -> Self {
        match declared {
            Some(ValueType::String) => Self::Text,
            Some(ValueType::Int) => Self::Int,
            Some(ValueType::Double) => Self::Double,
            Some(ValueType::Bool) => Self::Bool,
            Some(ValueType::Json) | None => Self::Unknown,
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Tests whether values of the two can be equal. Numbers of all kinds compare with each other.
    pub(super) fn can_equal(self, other: Self) -> bool {
        let open = |side| matches!(side, Self::Unknown | Self::Null);
        self == other || open(self) || open(other) || (self.is_number() && other.is_number())
    }

    /// Tests whether values of the two have an order.
    pub(super) fn can_order(self, other: Self) -> bool {
        let ordered = |side| !matches!(side, Self::Null | Self::List | Self::Map);
        ordered(self) && ordered(other) && self.can_equal(other)
    }

    /// The type of `self + other` (or another operator of numbers); `None` if there is none.
    pub(super) fn sum(self, other: Self, operator: &str) -> Option<Self> {
        let addable = operator == "_+_" && matches!(self, Self::Text | Self::Bytes | Self::List);
        match (self, other) {
            (Self::Unknown, known) | (known, Self::Unknown) => {
                let fits =
                    known == Self::Unknown || known.is_number() || operator == "_+_" && known.is_added();
                fits.then_some(known)
            }
            _ if self == other && (self.is_number() || addable) => Some(self),
            _ => None,
        }
    }

    fn is_added(self) -> bool {
        matches!(self, Self::Text | Self::Bytes | Self::List)
    }

    /// Names the type, for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "a value",
            Self::Bool => "true or false",
            Self::Int | Self::Uint => "a whole number",
            Self::Double => "a number",
            Self::Text => "a string",
            Self::Bytes => "bytes",
            Self::Null => "null",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}
