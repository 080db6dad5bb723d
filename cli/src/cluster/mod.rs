//! The cluster of the current kubeconfig: a client of it, and what to do where it says no.

mod list;
pub(crate) mod policies;

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub(crate) use list::list;

/// How long a connection to the API server may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take; a page of a list is one.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Which cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ClusterArgs {
    /// The kubeconfig; those of $KUBECONFIG, else ~/.kube/config, else the cluster around this pod,
    /// where it is left out.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; its current one where it is left out.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Why nothing could be learned from a cluster, with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no usable kubeconfig.
    Kubeconfig(String),
    /// It cannot be reached, or does not answer.
    Unreachable(String),
    /// It does not know who asks.
    Unknown(String),
    /// Who asks may not.
    Forbidden(String),
    /// It does not know the kind.
    NoSuchKind(String),
    /// Anything else.
    Other(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kubeconfig(why) => write!(
                f,
                "no cluster: {why}. Name a kubeconfig with --kubeconfig or KUBECONFIG, and a context with --context"
            ),
            Self::Unreachable(why) => write!(
                f,
                "the cluster cannot be reached: {why}. See whether `kubectl version` answers, and whether the context is the right one"
            ),
            Self::Unknown(why) => write!(
                f,
                "the cluster does not know you: {why}. Log in again; `kubectl auth whoami` tells whom it takes you for"
            ),
            Self::Forbidden(why) => write!(
                f,
                "you may not see this: {why}. Ask for the ClusterRole nodeseal-viewer, which is part of `view`; with --namespace the rights in that namespace do"
            ),
            Self::NoSuchKind(what) => write!(
                f,
                "the cluster has no {what}: nodeseal is not installed there, or this is another cluster. Its definitions are in crds/manifests, the rest in config/base (`kubectl apply -k`)"
            ),
            Self::Other(why) => write!(f, "the cluster answers what is not understood: {why}"),
        }
    }
}

impl Trouble {
    /// Of a request for `what`, such as `nodeimagepolicies.nodeseal.dev`.
    pub(crate) fn of(what: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Self::Unknown(status.message.clone()),
                403 => Self::Forbidden(status.message.clone()),
                404 => Self::NoSuchKind(what.to_owned()),
                _ => Self::Unreachable(format!("{} ({})", status.message, status.code)),
            },
            kube::Error::SerdeError(error) => Self::Other(format!("{what}: {error}")),
            kube::Error::Auth(error) => Self::Unknown(chain(error)),
            error => Self::Unreachable(chain(error)),
        }
    }

    /// Nobody answered in time.
    pub(crate) fn late(what: &str) -> Self {
        let seconds = DEADLINE.as_secs();
        Self::Unreachable(format!("{what}: no answer within {seconds} s"))
    }
}

/// An error with all that it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// A client of the cluster; nothing is asked yet.
pub(crate) async fn connect(args: &ClusterArgs) -> Result<Client, Trouble> {
    // One TLS provider in the whole product; that it is there already is no fault.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut config = config(args).await?;
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config).map_err(|error| Trouble::Kubeconfig(chain(&error)))
}

async fn config(args: &ClusterArgs) -> Result<Config, Trouble> {
    let failed = |error: &dyn std::error::Error| Trouble::Kubeconfig(chain(error));
    let kubeconfig = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(error) => {
            let named = args.kubeconfig.is_some()
                || args.context.is_some()
                || std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
            let around = if named {
                None
            } else {
                Config::incluster().ok()
            };
            return around.ok_or_else(|| failed(&error));
        }
    };
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| failed(&error))
}

/// The event loop that every command with a cluster needs.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Trouble::Other(format!("no event loop: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let status = |code: u16| {
            let status = kube::core::Status::failure("no", "Reason").with_code(code);
            Trouble::of(
                "policybundles.nodeseal.dev",
                &kube::Error::Api(status.boxed()),
            )
        };
        for (trouble, does) in [
            (status(401), "kubectl auth whoami"),
            (status(403), "ClusterRole nodeseal-viewer"),
            (status(404), "the cluster has no policybundles.nodeseal.dev"),
            (status(503), "cannot be reached: no (503)"),
            (Trouble::late("x"), "x: no answer within 30 s"),
            (Trouble::Kubeconfig("gone".to_owned()), "--kubeconfig"),
        ] {
            let text = trouble.to_string();
            assert!(text.contains(does), "{text}");
        }
    }
}
