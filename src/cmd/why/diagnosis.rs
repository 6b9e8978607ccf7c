//! A reason for a step's phase, and the fixes.

/// A reason and what to do about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) why: String,
    /// Sentences and commands, the best first.
    pub(super) fixes: Vec<String>,
    /// True if the logs tell more.
    pub(super) logs: bool,
}

impl Diagnosis {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fixes.push(fix.into());
        self
    }

    pub(super) fn logs(mut self) -> Self {
        self.logs = true;
        self
    }
}
