//! Fuzzes durations with any text: a duration that is parsed and printed parses again.
#![no_main]

use headworks::k8s::duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match duration::parse(text) {
        Ok(nanoseconds) => {
            let written = duration::format(nanoseconds);
            assert_eq!(duration::parse(&written), Ok(nanoseconds), "{written}");
            // The same duration with the other sign.
            if !text.starts_with(['-', '+']) {
                assert_eq!(duration::parse(&format!("-{text}")), Ok(-nanoseconds));
            }
        }
        Err(error) => assert!(error.to_string().len() < 200),
    }
});
