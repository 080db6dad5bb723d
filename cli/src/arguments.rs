//! Arguments that several commands take.

use std::path::PathBuf;

use clap::error::ErrorKind;
use policy::reference::{Reference, ReferenceError};
use policy::text::is_label;

use crate::output;

/// What is asked about: a pod's image, and the policies.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// The image as it stands in a pod, such as `registry.example.com/team/app:v1`.
    #[arg(value_name = "IMAGE", value_parser = image)]
    pub(crate) image: Reference,
    /// Files, folders with all folders in them (.yaml, .yml, .json), or `-` for standard input.
    /// Any `ConfigMap`, `Secret` and `TrustRoot` that policies refer to belongs in there as well.
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filename: Vec<PathBuf>,
    /// The namespace of the pod; without it no policy of a namespace takes part.
    #[arg(short, long, value_name = "NS", value_parser = namespace)]
    pub(crate) namespace: Option<String>,
}

impl Asked {
    /// Ends the process where no policies are named.
    pub(crate) fn needs_policies(&self, command: &str) {
        if self.filename.is_empty() {
            let message = format!(
                "policies are read from files only in this version, not yet from a cluster: name them with -f, as in `nodeseal {command} IMAGE -f policies/`"
            );
            output::usage(ErrorKind::MissingRequiredArgument, message);
        }
    }
}

/// An image as it stands in a pod.
fn image(text: &str) -> Result<Reference, String> {
    if text.contains("://") {
        return Err("an image has no scheme in front: write it as it stands in a pod, such as registry.example.com/team/app:v1".to_owned());
    }
    Reference::parse(text).map_err(|error: ReferenceError| {
        format!("{error}; write it as it stands in a pod, such as registry.example.com/team/app:v1")
    })
}

/// A DNS label (RFC 1123), as Kubernetes demands of namespaces.
fn namespace(text: &str) -> Result<String, &'static str> {
    let message = "a namespace has 1 to 63 lower-case letters, digits and inner dashes";
    is_label(text).then(|| text.to_owned()).ok_or(message)
}
