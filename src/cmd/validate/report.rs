//! The formats' common interface.

use std::io::{self, Write};

use headworks::manifest::Unreadable;

use crate::cmd::input::{Failure, Source};
use crate::cmd::verdict::Verdict;

/// Prints the results for all files, in one format.
pub(super) trait Report {
    /// A file that cannot be opened.
    fn failure(&mut self, failure: &Failure, out: &mut dyn Write) -> io::Result<()>;
    /// A document that cannot be read.
    fn unreadable(&mut self, source: &Source, error: &Unreadable, out: &mut dyn Write) -> io::Result<()>;
    /// An object that was looked at.
    fn verdict(&mut self, source: &Source, verdict: &Verdict, out: &mut dyn Write) -> io::Result<()>;
    /// The end.
    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()>;
}
