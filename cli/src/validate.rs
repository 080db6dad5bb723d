//! `nodeseal validate`.

use std::path::PathBuf;

use crds::{Layer, Problem, Severity};
use serde::Serialize;

use crate::input;
use crate::output::{self, Answer, Format};

/// Check policies by the rules of the API server and of the operator.
///
/// Prints one line for each problem, as `FILE:LINE:COLUMN: error: KIND/NAME: FIELD: what is wrong
/// and what to do`, then a summary.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 valid, 1 not valid, 2 wrong usage, 3 something could not be read."
)]
pub(crate) struct Args {
    /// Files, folders with all folders in them (.yaml, .yml, .json), or `-` for standard input.
    /// Any `ConfigMap`, `Secret` and `TrustRoot` that policies refer to belongs in there as well.
    #[arg(short, long = "filename", required = true, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Let warnings fail the check.
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    valid: bool,
    policies: usize,
    trust_roots: usize,
    errors: usize,
    warnings: usize,
    problems: &'a [Problem],
}

/// Runs the command.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let loaded = input::load(&args.filename);
    let answer = answer(&loaded.problems, args.strict);
    let report = Report {
        valid: answer == Answer::Yes,
        policies: loaded.policies.len(),
        trust_roots: loaded.trust_roots.len(),
        errors: loaded.problems_of(Severity::Error).count(),
        warnings: loaded.problems_of(Severity::Warning).count(),
        problems: &loaded.problems,
    };
    match format {
        Format::Json => output::print_json(&report),
        Format::Text => {
            output::print_problems(report.problems);
            output::print_line(summary(&report));
        }
    }
    answer
}

fn summary(report: &Report<'_>) -> String {
    let policies = output::count(report.policies, "policy", "policies");
    let roots = match report.trust_roots {
        0 => String::new(),
        number => format!(
            " and {}",
            output::count(number, "trust root", "trust roots")
        ),
    };
    let errors = output::count(report.errors, "error", "errors");
    let warnings = output::count(report.warnings, "warning", "warnings");
    format!("{policies}{roots} valid, {errors}, {warnings}")
}

/// An invalid object is a no, even beside a file that could not be read.
fn answer(problems: &[Problem], strict: bool) -> Answer {
    let fails = |problem: &&Problem| match problem.severity {
        Severity::Error => true,
        Severity::Warning => strict,
        Severity::Note => false,
    };
    let unread =
        |problem: &Problem| problem.layer == Layer::File && problem.severity == Severity::Error;
    let mut failing = problems.iter().filter(fails).peekable();
    if failing.peek().is_none() {
        Answer::Yes
    } else if failing.all(unread) {
        Answer::Unknown
    } else {
        Answer::No
    }
}
