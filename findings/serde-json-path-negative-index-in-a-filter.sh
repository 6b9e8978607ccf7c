#!/usr/bin/env bash
# A negative index in a path inside a JSONPath filter, in the Rust crate serde_json_path.
#
# Guess: `$[-1]` selects the last element wherever it stands, as RFC 9535 (2.3.3.2) says of every index selector.
# Seen, serde_json_path 0.7.2 on [10, 20, 30]; jsonpath-rust 1.0.12 in parentheses:
#   $[-1]                     30                 (30)
#   $[?$[-1]]                 10, 20, 30         (the same)
#   $[?$[-1] == 30]           nothing            (10, 20, 30)
#   $[?count($[-1]) > 0]      nothing            (10, 20, 30)
#   $[?value($[-1]) == 30]    nothing            (10, 20, 30)
# So a negative index is lost where a path must give a single value, in a comparison or as the argument of a function, but works
# where a path only has to exist. No error is raised. Fails if one of the rows changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.1.0"
edition = "2024"
[dependencies]
jsonpath-rust = "=1.0.12"
serde_json = "1"
serde_json_path = "=0.7.2"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use jsonpath_rust::JsonPath as _;
use serde_json::{Value, json};

fn main() {
    let document = json!([10, 20, 30]);
    for path in ["$[-1]", "$[?$[-1]]", "$[?$[-1] == 30]", "$[?count($[-1]) > 0]", "$[?value($[-1]) == 30]"] {
        let one: Vec<&Value> = serde_json_path::JsonPath::parse(path).unwrap().query(&document).all();
        let other: Vec<&Value> = document.query(path).unwrap();
        println!("{path} {} {}", json!(one), json!(other));
    }
}
RUST
seen=$(cd "$folder" && cargo run --quiet)
expected='$[-1] [30] [30]
$[?$[-1]] [10,20,30] [10,20,30]
$[?$[-1] == 30] [] [10,20,30]
$[?count($[-1]) > 0] [] [10,20,30]
$[?value($[-1]) == 30] [] [10,20,30]'
if [[ $seen != "$expected" ]]; then
  printf 'changed:\n%s\n' "$seen" >&2
  exit 1
fi
printf 'as described:\n%s\n' "$seen"
