//! `nodeseal validate`.

use std::path::PathBuf;

use crds::{Layer, Problem, Severity, files, load};
use serde::Serialize;

use crate::output::{self, Answer, Format};

/// Check policies by the rules of the API server and of the operator.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files, folders, or `-` for standard input; YAML streams or JSON.
    #[arg(short, long = "filename", required = true, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Let warnings fail the check.
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    policies: usize,
    problems: &'a [Problem],
}

/// Runs the command.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let loaded = load::load_read(&files::read(&args.filename));
    let problems = &loaded.problems;
    let answer = answer(problems, args.strict);
    match format {
        Format::Json => output::print_json(&Report {
            valid: answer == Answer::Yes,
            policies: loaded.policies.len(),
            problems,
        }),
        Format::Text => {
            output::print_problems(problems);
            let policies = output::count(loaded.policies.len(), "policy", "policies");
            let errors = output::count(number(problems, Severity::Error), "error", "errors");
            let warnings =
                output::count(number(problems, Severity::Warning), "warning", "warnings");
            output::print_line(format_args!("{policies} valid, {errors}, {warnings}"));
        }
    }
    answer
}

fn number(problems: &[Problem], severity: Severity) -> usize {
    problems
        .iter()
        .filter(|problem| problem.severity == severity)
        .count()
}

/// An invalid object is a no, even beside a file that could not be read.
fn answer(problems: &[Problem], strict: bool) -> Answer {
    let fails = |problem: &&Problem| match problem.severity {
        Severity::Error => true,
        Severity::Warning => strict,
        Severity::Note => false,
    };
    let mut failing = problems.iter().filter(fails).peekable();
    if failing.peek().is_none() {
        Answer::Yes
    } else if failing.all(|problem| problem.layer == Layer::File) {
        Answer::Unknown
    } else {
        Answer::No
    }
}
