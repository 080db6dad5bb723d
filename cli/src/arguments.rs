//! Arguments that several commands take.

use std::path::PathBuf;

use policy::reference::{Reference, ReferenceError};
use policy::text::is_label;

use crate::cluster::policies::{self, Given};
use crate::cluster::{self, ClusterArgs, Trouble};
use crate::input;

/// What is asked about: a pod's image, and the policies.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// The image as it stands in a pod, such as `registry.example.com/team/app:v1`.
    #[arg(value_name = "IMAGE", value_parser = image)]
    pub(crate) image: Reference,
    /// Files, folders with all folders in them (.yaml, .yml, .json), or `-` for standard input.
    /// Any `ConfigMap`, `Secret` and `TrustRoot` that policies refer to belongs in there as well. The
    /// policies of the cluster where it is left out.
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filename: Vec<PathBuf>,
    /// The namespace of the pod; without it no policy of a namespace takes part.
    #[arg(short, long, value_name = "NS", value_parser = namespace)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

impl Asked {
    /// The policies: of the files, or of the cluster where none are named.
    pub(crate) fn policies(&self) -> Result<Given, Trouble> {
        if self.filename.is_empty() {
            return cluster::runtime()?.block_on(async {
                let client = cluster::connect(&self.cluster).await?;
                policies::given(&client, self.namespace.as_deref()).await
            });
        }
        let loaded = input::load(&self.filename);
        Ok(Given {
            bundle: input::bundle(&loaded),
            incomplete: input::is_incomplete(&loaded),
            problems: loaded.problems,
        })
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
