//! The exit codes of every command.

/// The result of a command, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExitStatus {
    Sound = 0,
    Wrong = 1,
    Unreadable = 2,
}
