//! Regular expressions that users write, with a bound on what they cost.
//!
//! The crate's time is linear in the text, but each byte may take as many steps as the compiled expression has states.
//! So a large one costs more for each byte, and too large a one is refused.

use regex::{Regex, RegexBuilder};

/// The most bytes of a compiled expression, and what a byte of text costs one that is no larger.
const SIZES: [(usize, usize); 3] = [(8 * 1024, 1), (64 * 1024, 8), (256 * 1024, 32)];

/// A compiled regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    /// The cost of matching one byte, compared with a small expression.
    pub cost: usize,
}

/// Reasons for which an expression is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It cannot be read.
    Malformed,
    /// It would take too much memory, and time.
    TooLarge,
}

impl Pattern {
    /// Compiles an expression.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        for (size, cost) in SIZES {
            match RegexBuilder::new(text).size_limit(size).dfa_size_limit(4 * size).build() {
                Ok(regex) => return Ok(Self { regex, cost }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(_) => return Err(PatternError::Malformed),
            }
        }
        Err(PatternError::TooLarge)
    }

    /// Tests whether it matches somewhere in a text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_costs_more_and_what_is_too_large_is_refused() {
        let cost = |text: &str| Pattern::new(text).map(|pattern| pattern.cost);
        for text in ["^a", "^[a-z0-9-]+$", r"^v?[0-9]+\.[0-9]+(-rc[0-9]+)?$", "(?i)error|failed", "a.*b"] {
            assert_eq!(cost(text), Ok(1), "{text}");
        }
        assert_eq!(cost(r"^\w+@\w+$"), Ok(32));
        assert_eq!(cost("(a{1000}){1000}").unwrap_err(), PatternError::TooLarge);
        assert_eq!(cost("(").unwrap_err(), PatternError::Malformed);
        assert!(Pattern::new("b$").unwrap().is_match("ab"));
    }
}
