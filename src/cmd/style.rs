//! Colours, where somebody sees them.

use std::io::IsTerminal;

/// The choice between colours and none.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Paints, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    when: When,
    colours: bool,
}

impl Style {
    /// Never any colour.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { when: When::Never, colours: false };

    /// For standard output.
    pub(crate) fn new(when: When) -> Self {
        Self::on(when, std::io::stdout().is_terminal())
    }

    /// The same wish for standard error, which may be a terminal where the output is a pipe.
    pub(crate) fn for_stderr(self) -> Self {
        Self::on(self.when, std::io::stderr().is_terminal())
    }

    fn on(when: When, is_terminal: bool) -> Self {
        let colours = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self { when, colours }
    }

    pub(crate) fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Frames and margins.
    pub(crate) fn frame(self, text: &str) -> String {
        self.paint("1;34", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
