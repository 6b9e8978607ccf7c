//! Fuzzes JSONPath with any text: accepted paths are RFC 9535, as another implementation reads it.
#![no_main]

use headworks::flows::jsonpath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (step, path) = jsonpath::split_step(text);
    if let Some(step) = step {
        assert!(text.contains(':') && text.trim_start().starts_with(step));
    }
    match jsonpath::parse(path) {
        Ok(read) => {
            // The other implementation does not accept a blank before `..`, which RFC 9535 allows.
            let blank = [" ..", "\t..", "\n..", "\r.."].iter().any(|blank| read.query.contains(blank));
            if let Err(error) = serde_json_path::JsonPath::parse(&read.query)
                && !blank
            {
                panic!("{path:?} became {:?}, which RFC 9535 has not: {error}", read.query);
            }
            // A translation may be longer than the original, and so exceed the limit on what may be written.
            if read.query.len() <= jsonpath::MAX_BYTES {
                let again = jsonpath::parse(&read.query).expect("a translation stays readable");
                assert_eq!(again.query, read.query, "translated once, translated for good");
            }
        }
        Err(error) => {
            assert!(error.column >= 1 && error.column <= path.chars().count() + 1, "{error:?}");
            let said = error.message + &error.hint.unwrap_or_default();
            assert!(said.len() < 4096, "{said}");
        }
    }
});
