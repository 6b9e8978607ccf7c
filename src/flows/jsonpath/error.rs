//! A mistake in a path, with its column.

/// The mistake for which a path cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Column of the mistake, in characters of the user's text, from 1.
    pub column: usize,
    /// Description of the mistake.
    pub message: String,
    /// A fix, if one is known.
    pub hint: Option<String>,
}

impl PathError {
    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.char_indices().take_while(|(at, _)| *at < offset).count();
        Self { column: before + 1, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
