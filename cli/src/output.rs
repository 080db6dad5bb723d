//! Exit codes and output that all commands share.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use clap::error::ErrorKind;
use crds::{Problem, Severity};
use serde::Serialize;

/// For people or for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned text, coloured on a terminal.
    Text,
    /// One JSON object.
    Json,
}

/// What a command found out; wrong usage is exit code 2 and ends in the argument parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1: invalid, denied, not ready.
    No,
    /// Exit code 3: could not tell.
    Unknown,
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        Self::from(match answer {
            Answer::Yes => 0,
            Answer::No => 1,
            Answer::Unknown => 3,
        })
    }
}

/// How a piece of text looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
        }
    }
}

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::decide(io::stdout().is_terminal())
    }

    /// No colour.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self(false)
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self::decide(io::stderr().is_terminal())
    }

    fn decide(terminal: bool) -> Self {
        let variable = std::env::var_os;
        Self(wants_colour(
            terminal,
            variable("NO_COLOR").as_deref(),
            variable("TERM").as_deref(),
        ))
    }

    pub(crate) fn apply(self, style: Style, text: impl fmt::Display) -> String {
        if self.0 {
            format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
        } else {
            text.to_string()
        }
    }
}

/// Colour only on a terminal that knows any, and not where `NO_COLOR` has a value
/// (no-color.org).
fn wants_colour(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term != Some(OsStr::new("dumb"))
}

/// Prints one JSON object on standard output.
pub(crate) fn print_json(value: &impl Serialize) {
    let mut out = io::stdout().lock();
    // A reader that has gone away is no error of ours.
    let _ = serde_json::to_writer_pretty(&mut out, value);
    let _ = writeln!(out);
}

/// Prints one line on standard output.
pub(crate) fn print_line(line: impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints one line on standard error.
pub(crate) fn warn_line(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints why a command cannot go on.
pub(crate) fn error_line(message: impl fmt::Display) {
    let word = Paint::stderr().apply(Style::Red, "error:");
    warn_line(format_args!("{word} {message}"));
}

/// Prints problems on standard error, one a line.
pub(crate) fn print_problems<'a>(problems: impl IntoIterator<Item = &'a Problem>) {
    let paint = Paint::stderr();
    for problem in problems {
        let (word, style) = match problem.severity {
            Severity::Error => ("error:", Style::Red),
            Severity::Warning => ("warning:", Style::Yellow),
            Severity::Note => ("note:", Style::Cyan),
        };
        let line = problem.to_string();
        // The file's name stands before the word, and may hold it.
        let (file, rest) = line.split_at(problem.file.len());
        warn_line(format_args!(
            "{file}{}",
            rest.replacen(word, &paint.apply(style, word), 1)
        ));
    }
}

/// Ends the program as the argument parser does.
pub(crate) fn usage(kind: ErrorKind, message: impl fmt::Display) -> ! {
    clap::Error::raw(kind, format_args!("{message}\n")).exit()
}

/// `1 policy`, `2 policies`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_whose_users_have_nothing_against_it() {
        let wants = |terminal, no_color: Option<&str>, term: Option<&str>| {
            wants_colour(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(wants(true, None, Some("xterm")));
        assert!(wants(true, Some(""), None));
        assert!(!wants(true, Some("1"), Some("xterm")));
        assert!(!wants(true, None, Some("dumb")));
        assert!(!wants(false, None, Some("xterm")));
        assert_eq!(Paint(true).apply(Style::Red, "no"), "\u{1b}[31mno\u{1b}[0m");
        assert_eq!(Paint(false).apply(Style::Red, "no"), "no");
    }
}
