//! `nodeseal explain`.

mod text;

use crds::{Problem, Severity};
use policy::capability;
use policy::explain::{Explanation, explain};
use policy::flatten::NodeFacts;
use policy::version::Version;
use serde::Serialize;

use crate::arguments::Asked;
use crate::output::{self, Answer, Format};
use crate::runtime::Runtime;

/// Tell what happens to an image, and why.
///
/// Shows which policies cover the image and by which scope, what each of them demands, and what
/// each container runtime makes of it, with the entry of its files that decides. No signature is
/// looked at, and no registry is asked. Without -f the policies of the cluster are taken, and what
/// cannot be resolved from here (a Secret, a trust root behind TUF) as its nodes have it. A nodeSelector is not looked at either: the node is taken to be
/// one that all policies select.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 explained, whatever the answer; 1 explained, without policies that are not valid; 2 wrong usage; 3 something could not be read, and nothing is explained."
)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Only this container runtime; both where it is left out.
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,
    /// The runtime's version; the newest one where it is left out.
    #[arg(long, value_name = "VERSION", requires = "runtime")]
    runtime_version: Option<Version>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    problems: &'a [Problem],
}

/// Runs the command.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let given = match args.asked.policies() {
        Ok(given) => given,
        Err(trouble) => {
            output::error_line(trouble);
            return Answer::Unknown;
        }
    };
    if given.incomplete {
        output::print_problems(given.problems_of(Severity::Error));
        output::error_line("some policies could not be read, so nothing certain can be said");
        return Answer::Unknown;
    }
    let runtimes: Vec<capability::Runtime> = match args.runtime {
        Some(runtime) => vec![runtime.in_version(args.runtime_version)],
        None => [Runtime::CriO, Runtime::Containerd]
            .map(|it| it.in_version(None))
            .to_vec(),
    };
    let namespace = args.asked.namespace.as_deref();
    let explanation = explain(
        &given.bundle,
        &NodeFacts::default(),
        &args.asked.image,
        namespace,
        &runtimes,
    );
    match format {
        Format::Json => output::print_json(&Report {
            explanation: &explanation,
            problems: &given.problems,
        }),
        Format::Text => {
            // Notes are for `validate`.
            output::print_problems(
                given
                    .problems
                    .iter()
                    .filter(|problem| problem.severity != Severity::Note),
            );
            text::print(&explanation);
        }
    }
    if given.has_errors() {
        output::error_line("what is not valid is left out of this answer");
        Answer::No
    } else {
        Answer::Yes
    }
}
