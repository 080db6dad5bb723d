//! `nodeseal status`.

mod fetch;
mod follow;
mod objects;
mod screen;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;
mod view;

use clap::error::ErrorKind;
use policy::model::PolicyId;
use policy::text::is_label;
use serde::Serialize;

use crate::cluster::{self, ClusterArgs, Trouble};
use crate::output::{self, Answer, Format, Paint};
use fetch::Scope;
use objects::Snapshot;
use view::{All, Detail, View};

/// Show how far the policies of a cluster are enforced.
///
/// Shows the policies, the nodes, the trust roots and the configuration, the worst first, and what lags,
/// why, and what to do about it. With the name of a policy: its conditions, the nodes that fail, and what
/// each container runtime makes of it. Needs the rights of the `ClusterRole` `nodeseal-viewer`, which is
/// part of `view`.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 everything that was asked about is ready; 1 something is not, or there is no such policy; 2 wrong usage; 3 could not tell: no cluster, no rights, or nodeseal is not installed there. A watch that is ended (Ctrl-C) has the code of what it showed last. To wait in a script: `kubectl wait --for=condition=Ready cisp/NAME`."
)]
#[allow(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct Args {
    /// One policy: `name`, or `namespace/name`.
    #[arg(value_name = "POLICY", value_parser = named)]
    policy: Option<PolicyId>,
    /// Policies of this namespace, besides those of the cluster. Kinds of the cluster that you may not
    /// read are left out and named.
    #[arg(short, long, value_name = "NS", value_parser = namespace)]
    namespace: Option<String>,
    /// Policies of all namespaces, as where no namespace is given.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Every node, not only the worst 20.
    #[arg(long)]
    nodes: bool,
    /// Every node, every policy and every trust root, not only the worst 20 of each.
    #[arg(long)]
    all: bool,
    /// Go on showing what changes until Ctrl-C: on a terminal in place, otherwise a line, or a JSON
    /// document of one line, for each change.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What was asked about.
struct Question {
    policy: Option<PolicyId>,
    scope: Scope,
    all: All,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Shown {
    View(Box<View>),
    Detail(Box<Detail>),
    Missing(Missing),
}

/// There is no such policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Missing {
    ready: bool,
    policy: String,
    message: String,
}

impl Shown {
    fn ready(&self) -> bool {
        match self {
            Self::View(view) => view.ready,
            Self::Detail(detail) => detail.ready,
            Self::Missing(_) => false,
        }
    }

    fn answer(&self) -> Answer {
        if self.ready() {
            Answer::Yes
        } else {
            Answer::No
        }
    }

    fn lines(&self, paint: Paint) -> Vec<String> {
        match self {
            Self::View(view) => text::overview(view, paint),
            Self::Detail(detail) => text::detail(detail, paint),
            Self::Missing(missing) => vec![missing.message.clone()],
        }
    }
}

impl Question {
    fn of(args: &Args) -> Self {
        let named = args.policy.clone();
        let of_name = named.as_ref().and_then(PolicyId::namespace);
        let namespace = match (of_name, args.namespace.as_deref()) {
            (Some(of_name), Some(given)) if of_name != given => output::usage(
                ErrorKind::ArgumentConflict,
                format_args!(
                    "the policy is one of the namespace `{of_name}` and --namespace says `{given}`: leave one out"
                ),
            ),
            (of_name, given) => of_name.or(given).map(str::to_owned),
        };
        Self {
            policy: named,
            scope: Scope { namespace },
            all: All {
                policies: args.all,
                nodes: args.all || args.nodes,
            },
        }
    }

    /// What the snapshot says to it.
    fn ask(&self, snapshot: &Snapshot) -> Shown {
        let Some(asked) = &self.policy else {
            return Shown::View(Box::new(view::view(snapshot, self.all)));
        };
        match find(snapshot, asked, self.scope.namespace.as_deref()) {
            Ok((id, object)) => Shown::Detail(Box::new(view::detail(snapshot, id, object))),
            Err(message) => Shown::Missing(Missing {
                ready: false,
                policy: asked.to_string(),
                message,
            }),
        }
    }
}

/// The policy of that name: as it is written, then in the namespace that was asked for, then the only
/// one of that name in any namespace.
fn find<'a>(
    snapshot: &'a Snapshot,
    asked: &PolicyId,
    namespace: Option<&str>,
) -> Result<(&'a PolicyId, &'a objects::PolicyObject), String> {
    let own = namespace.map(|namespace| PolicyId::Namespaced {
        namespace: namespace.to_owned(),
        name: asked.name().to_owned(),
    });
    let exact = own
        .as_ref()
        .and_then(|own| snapshot.policies.get_key_value(own));
    if let Some(found) = exact.or_else(|| snapshot.policies.get_key_value(asked)) {
        return Ok(found);
    }
    let mut of_name = snapshot
        .policies
        .iter()
        .filter(|(id, _)| asked.namespace().is_none() && id.name() == asked.name());
    match (of_name.next(), of_name.count()) {
        (Some(found), 0) => Ok(found),
        (Some(_), more) => Err(format!(
            "{} namespaces have a policy `{asked}`: write `namespace/{asked}`",
            more + 1
        )),
        (None, _) => Err(format!(
            "there is no policy `{asked}`: `nodeseal status --all` shows those that there are"
        )),
    }
}

/// `name` or `namespace/name`.
fn named(text: &str) -> Result<PolicyId, String> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(self::namespace(namespace)?), name),
        None => (None, text),
    };
    let good = (1..=253).contains(&name.len()) && name.split('.').all(is_label_of_any_length);
    if !good {
        return Err("a policy is named `name` or `namespace/name`".to_owned());
    }
    let name = name.to_owned();
    Ok(match namespace {
        None => PolicyId::Cluster { name },
        Some(namespace) => PolicyId::Namespaced { namespace, name },
    })
}

/// As [`is_label`], and a subdomain's parts may be longer.
fn is_label_of_any_length(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.chars().all(inner)
}

fn namespace(text: &str) -> Result<String, String> {
    let message = "a namespace has 1 to 63 lower-case letters, digits and inner dashes";
    is_label(text)
        .then(|| text.to_owned())
        .ok_or_else(|| message.to_owned())
}

/// Runs the command.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let question = Question::of(args);
    let answer = cluster::runtime().and_then(|runtime| {
        runtime.block_on(async {
            let client = cluster::connect(&args.cluster).await?;
            let snapshot = fetch::fetch(&client, &question.scope).await?;
            if args.watch {
                let followed = follow::follow(&client, &question, snapshot, format).await;
                return followed.map_err(|error| Trouble::Other(error.to_string()));
            }
            Ok(once(&question.ask(&snapshot), format))
        })
    });
    answer.unwrap_or_else(|trouble| {
        output::error_line(trouble);
        Answer::Unknown
    })
}

fn once(shown: &Shown, format: Format) -> Answer {
    match (shown, format) {
        (_, Format::Json) => output::print_json(shown),
        (Shown::Missing(missing), Format::Text) => output::error_line(&missing.message),
        (_, Format::Text) => {
            let lines = shown.lines(Paint::stdout());
            output::print_line(lines.join("\n"));
        }
    }
    shown.answer()
}
