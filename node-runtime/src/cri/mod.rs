//! A small client of the Container Runtime Interface (k8s.io/cri-api, runtime/v1) on a unix socket.
//!
//! It asks what the agent has to know and pulls what the agent has to pull, nothing else. Every call
//! has a deadline and a limit of its answer's size, and connects anew: an answer is always that of
//! whoever listens at the path now, also after the runtime was restarted, replaced or hung, and
//! nothing is kept open in between. A connection to a unix socket costs less than any of the calls.

mod dial;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Response, Status as Answer};

use self::api::image_service_client::ImageServiceClient;
use self::api::runtime_service_client::RuntimeServiceClient;
pub use self::error::Error;

/// What tonic makes of `proto/cri.proto`.
#[allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated")]
mod api {
    tonic::include_proto!("runtime.v1");
}

/// The deadline of every call but [`Client::pull`], unless one is given. CRI answers these from
/// memory; a runtime that needs longer is not well.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How long an answer may be: what the kubelet takes (`maxMsgSize` of its CRI client).
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A client of the CRI at a socket. It holds no connection, so it cannot break.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
}

/// What a runtime says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its name: `containerd`, `cri-o`; `docker` behind cri-dockerd.
    pub name: String,
    /// Its version as it writes it: `v2.2.1` for containerd, `1.37.0` for CRI-O.
    pub version: String,
}

/// The state of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it says about itself: `RuntimeReady`, `NetworkReady` and others.
    pub conditions: Vec<Condition>,
    /// More, by name, in JSON, if it was asked for: `config` is part of the runtime's
    /// configuration. containerd leaves the images' part out, so this proves nothing about pulls.
    pub info: BTreeMap<String, String>,
}

/// One condition of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub kind: String,
    /// Whether it holds.
    pub holds: bool,
    /// Why not: a word.
    pub reason: String,
    /// Why not: a sentence.
    pub message: String,
}

/// An image on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The id under which the runtime keeps it: the digest of its configuration, on containerd
    /// with `sha256:` before it and on CRI-O without.
    pub id: String,
    /// Its names with a tag, as normalised by the runtime: `docker.io/library/app:v1`.
    pub tags: Vec<String>,
    /// Its names with a digest: `docker.io/library/app@sha256:…`.
    pub digests: Vec<String>,
    /// Whether the kubelet's garbage collection leaves it alone.
    pub pinned: bool,
}

impl Status {
    /// Whether the runtime can run containers. The network of pods may still be missing, which is
    /// a matter of its plugin.
    #[must_use]
    pub fn ready(&self) -> bool {
        let ready = |condition: &Condition| condition.kind == "RuntimeReady" && condition.holds;
        self.conditions.iter().any(ready)
    }
}

impl Client {
    /// A client of the CRI at this socket; nothing is asked yet. Every call but a pull has this
    /// deadline, [`DEADLINE`] if there is no reason for another.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self {
            socket: socket.into(),
            deadline,
        }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The runtime's name and version.
    pub async fn version(&self) -> Result<Version, Error> {
        let ask = async |channel| {
            let request = api::VersionRequest::default();
            runtime(channel).version(request).await
        };
        let answer = self.call("Version", self.deadline, ask).await?;
        Ok(Version {
            name: answer.runtime_name,
            version: answer.runtime_version,
        })
    }

    /// The runtime's state; verbose, with [`Status::info`].
    pub async fn status(&self, verbose: bool) -> Result<Status, Error> {
        let ask = async move |channel| {
            let request = api::StatusRequest { verbose };
            runtime(channel).status(request).await
        };
        let answer = self.call("Status", self.deadline, ask).await?;
        let conditions = answer.status.unwrap_or_default().conditions;
        Ok(Status {
            conditions: conditions.into_iter().map(Condition::from).collect(),
            info: answer.info.into_iter().collect(),
        })
    }

    /// All images on the node.
    pub async fn images(&self) -> Result<Vec<Image>, Error> {
        let ask = async |channel| {
            let request = api::ListImagesRequest::default();
            images(channel).list_images(request).await
        };
        let answer = self.call("ListImages", self.deadline, ask).await?;
        Ok(answer.images.into_iter().map(Image::from).collect())
    }

    /// The image of this name, digest or id, if it is on the node.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, Error> {
        let request = api::ImageStatusRequest {
            image: Some(spec(reference)),
            verbose: false,
        };
        let ask = async move |channel| images(channel).image_status(request).await;
        let answer = self.call("ImageStatus", self.deadline, ask).await?;
        Ok(answer.image.map(Image::from))
    }

    /// Pulls an image as the kubelet would, with no credentials but the runtime's own; returns the
    /// id under which the runtime keeps it.
    ///
    /// What a verifier or a policy refuses is [`Error::Refused`] with the runtime's code and text.
    /// A pull that reaches its deadline is cancelled: the runtime sees the connection end.
    pub async fn pull(&self, reference: &str, deadline: Duration) -> Result<String, Error> {
        let request = api::PullImageRequest {
            image: Some(spec(reference)),
        };
        let ask = async move |channel| images(channel).pull_image(request).await;
        let answer = self.call("PullImage", deadline, ask).await?;
        Ok(answer.image_ref)
    }

    /// Removes an image, with all of its names; one that is not there is fine.
    pub async fn remove(&self, reference: &str) -> Result<(), Error> {
        let request = api::RemoveImageRequest {
            image: Some(spec(reference)),
        };
        let ask = async move |channel| images(channel).remove_image(request).await;
        self.call("RemoveImage", self.deadline, ask).await?;
        Ok(())
    }

    /// One call on a connection of its own, all of it within the deadline.
    async fn call<T, F>(
        &self,
        call: &'static str,
        deadline: Duration,
        ask: impl FnOnce(Channel) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Answer>>,
    {
        let asked = async {
            let channel = dial::connect(&self.socket).await?;
            let answer = ask(channel).await;
            let failed = |status| Error::of(&self.socket, call, &status);
            answer.map(Response::into_inner).map_err(failed)
        };
        let late = |_| Error::Late {
            socket: self.socket.clone(),
            call,
            deadline,
        };
        timeout(deadline, asked).await.map_err(late)?
    }
}

fn runtime(channel: Channel) -> RuntimeServiceClient<Channel> {
    RuntimeServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

fn images(channel: Channel) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

fn spec(reference: &str) -> api::ImageSpec {
    api::ImageSpec {
        image: reference.to_owned(),
        ..api::ImageSpec::default()
    }
}

impl From<api::RuntimeCondition> for Condition {
    fn from(condition: api::RuntimeCondition) -> Self {
        Self {
            kind: condition.r#type,
            holds: condition.status,
            reason: condition.reason,
            message: condition.message,
        }
    }
}

impl From<api::Image> for Image {
    fn from(image: api::Image) -> Self {
        Self {
            id: image.id,
            tags: image.repo_tags,
            digests: image.repo_digests,
            pinned: image.pinned,
        }
    }
}
