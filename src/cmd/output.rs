//! Standard output and standard error, whose readers may close them.

use std::io::{self, Write};

/// The output of commands that go on for long: it ends them when its reader closes it.
pub(crate) fn live() -> impl Write {
    io::BufWriter::new(io::stdout())
}

/// True if the output's reader has closed it.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(closed)
}

/// An output whose reader may close it: it has read enough then, and what was found is found all the same.
pub(crate) struct UntilClosed<W>(pub(crate) W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
