//! The terminal that a drawing has to fit.

/// The size of a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Columns.
    pub(super) width: usize,
    /// Lines.
    pub(super) height: usize,
}

/// The size of the terminal that standard output is, if it is one and knows.
pub(super) fn size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    // A serial line knows neither.
    (size.ws_col > 0 && size.ws_row > 0)
        .then(|| Size { width: usize::from(size.ws_col), height: usize::from(size.ws_row) })
}

/// A drawing that is drawn over again.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    lines: usize,
}

impl Canvas {
    /// The bytes that put `text` in place of the last drawing.
    ///
    /// Lines are not wrapped meanwhile: one that is wider than it seems, for its wide letters, would put the next
    /// drawing a line too low.
    pub(super) fn over(&mut self, text: &str) -> String {
        let mut bytes = String::from("\u{1b}[?7l");
        if self.lines > 0 {
            bytes += &format!("\u{1b}[{}F", self.lines);
        }
        for line in text.lines() {
            bytes += line;
            bytes += "\u{1b}[K\n";
        }
        self.lines = text.lines().count();
        bytes + "\u{1b}[J\u{1b}[?7h"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_begins_where_the_last_began() {
        let mut canvas = Canvas::default();
        assert_eq!(canvas.over("a\nb\n"), "\u{1b}[?7la\u{1b}[K\nb\u{1b}[K\n\u{1b}[J\u{1b}[?7h");
        assert!(canvas.over("c\n").starts_with("\u{1b}[?7l\u{1b}[2Fc\u{1b}[K\n\u{1b}[J"));
        assert!(canvas.over("d\n").starts_with("\u{1b}[?7l\u{1b}[1Fd"));
    }
}
