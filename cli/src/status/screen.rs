//! A text that changes in place on a terminal.

use std::io::{self, StdoutLock, Write};

use rustix::termios::tcgetwinsize;

/// Long lines end at the edge, and the cursor is out of the way.
const BEGIN: &str = "\u{1b}[?7l\u{1b}[?25l";
/// All as it was.
const END: &str = "\u{1b}[?7h\u{1b}[?25h";
/// What the last picture had there is wiped out.
const END_OF_LINE: &str = "\u{1b}[K\n";
/// For a terminal that does not say how large it is.
const ROWS: usize = 24;

/// What stands on the terminal. Dropping it leaves the last text there.
pub(super) struct Screen {
    drawn: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { drawn: 0 }
    }

    /// Puts the lines where the last ones were, in one piece, so that nothing flickers. What does not
    /// fit is cut off and counted.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let rows = tcgetwinsize(io::stdout()).map_or(ROWS, |size| usize::from(size.ws_row));
        let frame = frame(lines, rows.max(2), &mut self.drawn);
        write(&mut io::stdout().lock(), &frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no tidying.
        let _ = write(&mut io::stdout().lock(), END);
    }
}

fn write(out: &mut StdoutLock<'_>, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn frame(lines: &[String], rows: usize, drawn: &mut usize) -> String {
    // The terminal may have become smaller: what has left it upwards cannot be reached.
    let up = (*drawn).min(rows - 1);
    let back = if up > 0 {
        format!("\u{1b}[{up}A\r")
    } else {
        String::new()
    };
    let fits = rows - 1;
    let cut = lines.len() > fits;
    let shown = if cut { fits - 1 } else { lines.len() };
    let mut parts: Vec<&str> = vec![BEGIN, &back];
    for line in lines.iter().take(shown) {
        parts.extend([line, END_OF_LINE]);
    }
    let rest = format!("… {} more lines", lines.len() - shown);
    if cut {
        parts.extend([&rest, END_OF_LINE]);
    }
    parts.push("\u{1b}[J");
    *drawn = shown + usize::from(cut);
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_text_stands_where_the_first_one_was_and_leaves_nothing_of_it() {
        let mut drawn = 0;
        let lines = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        let first = frame(&lines(&["a", "b", "c"]), 24, &mut drawn);
        assert_eq!(
            first,
            format!("{BEGIN}a\u{1b}[K\nb\u{1b}[K\nc\u{1b}[K\n\u{1b}[J")
        );
        let second = frame(&lines(&["d"]), 24, &mut drawn);
        assert_eq!(second, format!("{BEGIN}\u{1b}[3A\rd\u{1b}[K\n\u{1b}[J"));
        assert_eq!(drawn, 1);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut drawn = 0;
        let lines: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        let frame = frame(&lines, 4, &mut drawn);
        assert!(frame.contains("1\u{1b}[K\n… 8 more lines"), "{frame:?}");
        assert_eq!(drawn, 3);
    }
}
