//! Exit codes and output that all commands share.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
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

/// Prints one JSON object on standard output.
pub(crate) fn print_json(value: &impl Serialize) {
    let mut out = io::stdout().lock();
    // A reader that has gone away is no error of ours.
    let _ = serde_json::to_writer_pretty(&mut out, value);
    let _ = writeln!(out);
}

/// Prints one line on standard output.
pub(crate) fn print_line(line: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints one line on standard error.
pub(crate) fn warn_line(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints problems on standard error, one a line, with the severity coloured on a terminal.
pub(crate) fn print_problems(problems: &[Problem]) {
    let coloured = io::stderr().is_terminal();
    for problem in problems {
        let line = problem.to_string();
        let (word, colour) = match problem.severity {
            Severity::Error => ("error:", "31"),
            Severity::Warning => ("warning:", "33"),
            Severity::Note => ("note:", "36"),
        };
        if coloured {
            warn_line(line.replacen(word, &format!("\u{1b}[{colour}m{word}\u{1b}[0m"), 1));
        } else {
            warn_line(line);
        }
    }
}

/// `1 policy`, `2 policies`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
