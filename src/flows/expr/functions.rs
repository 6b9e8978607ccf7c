//! The functions that expressions have: CEL's standard library and macros, without `optional`, clock and randomness.
//!
//! The crate's extensions (`split`, `replace`, `format`) stay out: nested `replace` calls grow a text exponentially,
//! and evaluation has no step budget. A test calls every function of this table.

use super::types::Type;

/// A function, and how it may be called.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Arguments as `f(a)`.
    pub(super) global: &'static [usize],
    /// Arguments as `x.f(a)`, `x` not counted.
    pub(super) method: &'static [usize],
    pub(super) result: Type,
    pub(super) example: &'static str,
}

const fn function(
    name: &'static str,
    global: &'static [usize],
    method: &'static [usize],
    result: Type,
    example: &'static str,
) -> Function {
    Function { name, global, method, result, example }
}

pub(super) const TABLE: [Function; 20] = [
    function("size", &[1], &[0], Type::Int, "size(\"abc\")"),
    function("contains", &[], &[1], Type::Bool, "\"abc\".contains(\"b\")"),
    function("startsWith", &[], &[1], Type::Bool, "\"abc\".startsWith(\"a\")"),
    function("endsWith", &[], &[1], Type::Bool, "\"abc\".endsWith(\"c\")"),
    function("matches", &[2], &[1], Type::Bool, "\"abc\".matches(\"^a\")"),
    function("int", &[1], &[], Type::Int, "int(\"3\")"),
    function("uint", &[1], &[], Type::Uint, "uint(\"3\")"),
    function("double", &[1], &[], Type::Double, "double(\"0.5\")"),
    function("string", &[1], &[], Type::Text, "string(3)"),
    function("bytes", &[1], &[], Type::Bytes, "bytes(\"abc\")"),
    function("bool", &[1], &[], Type::Bool, "bool(\"true\")"),
    function("type", &[1], &[], Type::Unknown, "type(3)"),
    function("dyn", &[1], &[], Type::Unknown, "dyn(3)"),
    function("has", &[1], &[], Type::Bool, "has({\"a\": 1}.a)"),
    function("all", &[], &[2], Type::Bool, "[1, 2].all(x, x > 0)"),
    function("exists", &[], &[2], Type::Bool, "[1, 2].exists(x, x > 1)"),
    function("exists_one", &[], &[2], Type::Bool, "[1, 2].exists_one(x, x > 1)"),
    function("existsOne", &[], &[2], Type::Bool, "[1, 2].existsOne(x, x > 1)"),
    function("map", &[], &[2, 3], Type::List, "[1, 2].map(x, x + 1)"),
    function("filter", &[], &[2], Type::List, "[1, 2].filter(x, x > 1)"),
];

/// The names of the functions that expressions have.
pub const NAMES: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut i = 0;
    while i < TABLE.len() {
        names[i] = TABLE[i].name;
        i += 1;
    }
    names
};

/// Names that stand for a type, as in `type(x) == int`.
pub(super) const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "dyn"];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    TABLE.iter().find(|function| function.name == name)
}
