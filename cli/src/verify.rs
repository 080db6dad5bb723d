//! `nodeseal verify`.

mod access;
mod report;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use crds::Severity;
use image_verifier::environment::Environment;
use image_verifier::inspect::{Inspection, inspect, resolve};
use image_verifier::registry::RegistryError;
use image_verifier::run::{self as engine, Options, Platform, Subject};
use policy::bundle::Bundle;
use policy::explain::{Coverage, Explanation, Outcome as Meant, explain};
use policy::flatten::{Decision, NodeFacts, Outcome};
use policy::model::{PolicyId, Requirement};
use policy::reference::Reference;
use policy::verifier::{Access, Limits};
use tokio::time::Instant;

use crate::arguments::Asked;
use crate::output::{self, Answer, Format};
use report::{Report, Word};

/// Verify an image as a node would.
///
/// Looks for signatures in the registry and weighs them by the policies: the same code as on a
/// node, with the proxies, registry hosts and credentials of this machine. A node may have others,
/// and knows nothing of an imagePullSecret. A tag is looked up first; of a multi-arch image the index
/// counts, which is what containerd asks about, unless `--index-signature` says otherwise. A nodeSelector is not looked at: the node is taken to
/// be one that all policies select. Without -f the policies of the cluster are taken, and what cannot be
/// resolved from here (a Secret, a trust root behind TUF) as its nodes have it.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 allowed; 1 denied, or policies are not valid; 2 wrong usage; 3 could not tell: the registry does not answer or wants credentials, or something could not be read."
)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Docker's `config.json`, or the folder that holds it; that of `$DOCKER_CONFIG`, else of
    /// ~/.docker, where it is left out.
    #[arg(long, value_name = "PATH")]
    docker_config: Option<PathBuf>,
    /// A folder as containerd's `config_path`, with a `hosts.toml` for each registry; again for
    /// more. This machine's /etc/containerd/certs.d and /etc/docker/certs.d where it is left out.
    #[arg(long, value_name = "DIR")]
    certs_dir: Vec<PathBuf>,
    /// What of a multi-arch image has to be signed.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = IndexSignature::Itself)]
    index_signature: IndexSignature,
    /// The platform of the nodes, such as linux/arm64: whose manifests of a multi-arch image are
    /// looked at. Linux on this machine's architecture where it is left out.
    #[arg(long, value_name = "OS/ARCH", default_value_t)]
    platform: Platform,
    /// How many seconds the registry may take in all. A node has 8 unless configured otherwise.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// As [`engine::IndexSignature`], in words of the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum IndexSignature {
    /// The index itself: what containerd's nodes demand.
    Itself,
    /// The index, or else every manifest in it that a node of the platform may choose.
    Platforms,
    /// The manifest of the platform, whatever the index: what CRI-O looks at. Which formats CRI-O
    /// reads is another question: `nodeseal explain --runtime crio` answers it.
    PlatformAlone,
}

impl From<IndexSignature> for engine::IndexSignature {
    fn from(word: IndexSignature) -> Self {
        match word {
            IndexSignature::Itself => Self::Itself,
            IndexSignature::Platforms => Self::Platforms,
            IndexSignature::PlatformAlone => Self::PlatformAlone,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let access = match access::of(args.docker_config.as_deref(), &args.certs_dir) {
        Ok(access) => access,
        Err(message) => {
            output::error_line(message);
            return Answer::Unknown;
        }
    };
    let given = match args.asked.policies() {
        Ok(given) => given,
        Err(trouble) => {
            output::error_line(trouble);
            return Answer::Unknown;
        }
    };
    if given.incomplete || given.has_errors() {
        output::print_problems(given.problems_of(Severity::Error));
        if given.incomplete {
            output::error_line("some policies could not be read, so nothing is verified");
            return Answer::Unknown;
        }
        output::error_line("not all policies are valid, so nothing is verified: mend them first");
        return Answer::No;
    }
    let bundle = &given.bundle;
    let namespace = args.asked.namespace.as_deref();
    let facts = NodeFacts::default();
    let explanation = explain(bundle, &facts, &args.asked.image, namespace, &[]);
    let decision = decision(bundle, &explanation);
    let report = if decided_without_signatures(&decision) {
        Report::of_policies(&explanation)
    } else {
        let time = Duration::from_secs(args.timeout);
        let options = Options {
            index_signature: args.index_signature.into(),
            platform: args.platform.clone(),
            explains: true,
        };
        match look(&args.asked.image, &decision, &access, time, options) {
            Ok((subject, inspection)) => Report::of_signatures(&explanation, &subject, &inspection),
            Err(message) => {
                output::error_line(message);
                return Answer::Unknown;
            }
        }
    };
    let report = report.with_problems(&given.problems);
    match format {
        Format::Json => output::print_json(&report),
        Format::Text => {
            output::print_problems(given.problems_of(Severity::Warning));
            text::print(&report);
        }
    }
    match report.verdict {
        Word::Allowed => Answer::Yes,
        Word::Denied => Answer::No,
        Word::Unknown => Answer::Unknown,
    }
}

/// What has to happen to the image, with the policies of its namespace: what a node's files hold
/// for one that is told the namespace.
fn decision<'a>(bundle: &'a Bundle, explanation: &Explanation) -> Decision<'a> {
    let of = |id: &PolicyId| -> Option<(&'a PolicyId, &'a Requirement)> {
        let policy = bundle.policy(id)?;
        Some((policy.id(), policy.requirement()))
    };
    let (outcome, exempt) = match &explanation.verdict.outcome {
        Meant::Exempt { .. } => (Outcome::Exempt, true),
        Meant::Verify { policies } => (
            Outcome::Verify(policies.iter().filter_map(of).collect()),
            false,
        ),
        // The last two are about a runtime, and none was named.
        Meant::Default { .. } | Meant::Reject { .. } | Meant::Unchecked => {
            (Outcome::Default(explanation.default_action), false)
        }
    };
    let audited = explanation
        .policies
        .iter()
        .filter(|relevant| !exempt && relevant.coverage == Coverage::Audit);
    Decision {
        scope: None,
        outcome,
        audit: audited.filter_map(|relevant| of(&relevant.id)).collect(),
    }
}

fn decided_without_signatures(decision: &Decision<'_>) -> bool {
    !matches!(decision.outcome, Outcome::Verify(_)) && decision.audit.is_empty()
}

/// The image by digest, with what was found about it; or why nothing could be.
fn look(
    image: &Reference,
    decision: &Decision<'_>,
    access: &Access,
    time: Duration,
    mut options: Options,
) -> Result<(Subject, Inspection), String> {
    let environment = Environment::of_desk(std::env::vars_os());
    let limits = Limits {
        // The library answers after 80 % of it.
        timeout_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / 4 * 5,
        ..Limits::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot ask the registry: {error}"))?;
    let found = runtime.block_on(async {
        let deadline = Instant::now() + time;
        let digest = match image.digest() {
            Some(digest) => digest.clone(),
            None => match resolve(image, access, &limits, &environment, deadline).await {
                Ok(resolved) => {
                    options.explains = resolved.is_index;
                    resolved.digest
                }
                Err(error) => return Err(unresolved(image, &error)),
            },
        };
        let subject = Subject {
            image: image.clone(),
            digest,
        };
        let found = inspect(
            &subject,
            decision,
            access,
            &limits,
            &environment,
            deadline,
            &options,
        );
        let found = found.await;
        Ok((subject, found))
    });
    // Lookups that are still under way have nothing to say any more.
    runtime.shutdown_background();
    found
}

fn unresolved(image: &Reference, error: &RegistryError) -> String {
    match error {
        RegistryError::NotFound => {
            format!("the registry has no image {image}: check its name and tag")
        }
        error => format!(
            "the digest of {image} is not known: {}: {error}",
            error.reason()
        ),
    }
}
