//! Printed lines, and warnings about logs that cannot be read.

use std::io::Write;

use super::source::Source;
use crate::cmd::style::Style;

pub(super) fn prefix(label: &str, style: Style) -> String {
    if label.is_empty() { String::new() } else { format!("{} ", style.frame(&format!("[{label}]"))) }
}

/// Writes a line exactly as the container printed it.
pub(super) fn write_line(out: &mut dyn Write, prefix: &str, line: &[u8]) -> std::io::Result<()> {
    out.write_all(prefix.as_bytes())?;
    out.write_all(line)?;
    out.write_all(b"\n")
}

/// Warns of a log that cannot be read; it does not hide the others.
pub(super) fn warn(source: &Source, error: &anyhow::Error) {
    let what = format!("the log of {} in pod {}: {error:#}", source.container, source.pod);
    let _ = writeln!(std::io::stderr(), "warning: {what}");
}
