//! `nodeseal explain`.

mod text;

use crds::{Problem, Severity};
use policy::capability;
use policy::explain::{Explanation, explain};
use policy::flatten::NodeFacts;
use policy::version::Version;
use serde::Serialize;

use crate::arguments::Asked;
use crate::input;
use crate::output::{self, Answer, Format};
use crate::runtime::Runtime;

/// Tell what happens to an image, and why.
///
/// Shows which policies cover the image and by which scope, what each of them demands, and what
/// each container runtime makes of it, with the entry of its files that decides. No signature is
/// looked at, and nothing is fetched. A nodeSelector is not looked at either: the node is taken to be
/// one that all policies select.
#[derive(clap::Args)]
#[command(
    override_usage = "nodeseal explain <IMAGE> -f <PATH>... [OPTIONS]",
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
    args.asked.needs_policies("explain");
    let loaded = input::load(&args.asked.filename);
    if input::is_incomplete(&loaded) {
        output::print_problems(loaded.problems_of(Severity::Error));
        output::error_line("some policies could not be read, so nothing certain can be said");
        return Answer::Unknown;
    }
    let bundle = input::bundle(&loaded);
    let runtimes: Vec<capability::Runtime> = match args.runtime {
        Some(runtime) => vec![runtime.in_version(args.runtime_version)],
        None => [Runtime::CriO, Runtime::Containerd]
            .map(|it| it.in_version(None))
            .to_vec(),
    };
    let namespace = args.asked.namespace.as_deref();
    let explanation = explain(
        &bundle,
        &NodeFacts::default(),
        &args.asked.image,
        namespace,
        &runtimes,
    );
    match format {
        Format::Json => output::print_json(&Report {
            explanation: &explanation,
            problems: &loaded.problems,
        }),
        Format::Text => {
            // Notes are for `validate`.
            output::print_problems(
                loaded
                    .problems
                    .iter()
                    .filter(|problem| problem.severity != Severity::Note),
            );
            text::print(&explanation);
        }
    }
    if loaded.has_errors() {
        output::error_line("what is not valid is left out of this answer");
        Answer::No
    } else {
        Answer::Yes
    }
}
