//! The calls that a kubelet makes to a container runtime, as far as images go.

use std::path::Path;

use anyhow::{Context as _, Result};
use tonic::transport::{Channel, Endpoint};

use crate::cri::api::image_service_client::ImageServiceClient;
use crate::cri::api::runtime_service_client::RuntimeServiceClient;

/// The messages, as generated from `node-runtime/proto/cri.proto`.
#[allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated")]
pub mod api {
    tonic::include_proto!("runtime.v1");
}

/// A client of the CRI.
#[derive(Debug, Clone)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

/// Why a pull failed: what the kubelet would put into the pod's event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullError {
    /// The name of the gRPC status, `Unknown` for a pull that a verifier refused.
    pub code: String,
    /// The text.
    pub message: String,
}

impl std::fmt::Display for PullError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for PullError {}

impl Cri {
    /// Whether somebody answers at a socket: it is there before containerd's CRI plugin is.
    pub async fn answers(socket: &Path) -> bool {
        match Self::connect(socket).await {
            Ok(cri) => cri.version().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Connects to the socket of a runtime.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("unix://{}", socket.display()))
            .context("the address of a socket")?
            .connect()
            .await
            .with_context(|| format!("connect to {}", socket.display()))?;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
        })
    }

    /// The runtime's name and version: `containerd`, `v2.2.1`.
    pub async fn version(&self) -> Result<(String, String)> {
        let answer = self
            .runtime
            .clone()
            .version(api::VersionRequest::default())
            .await?;
        let answer = answer.into_inner();
        Ok((answer.runtime_name, answer.runtime_version))
    }

    /// The state of the runtime; verbose, it includes its configuration in JSON.
    pub async fn status(&self, verbose: bool) -> Result<api::StatusResponse> {
        let answer = self
            .runtime
            .clone()
            .status(api::StatusRequest { verbose })
            .await?;
        Ok(answer.into_inner())
    }

    /// Pulls an image; returns the id under which the runtime keeps it.
    pub async fn pull(&self, reference: &str) -> Result<String, PullError> {
        let request = api::PullImageRequest {
            image: Some(spec(reference)),
        };
        match self.images.clone().pull_image(request).await {
            Ok(answer) => Ok(answer.into_inner().image_ref),
            Err(status) => Err(PullError {
                code: format!("{:?}", status.code()),
                message: status.message().to_owned(),
            }),
        }
    }

    /// The images on the node.
    pub async fn list(&self) -> Result<Vec<api::Image>> {
        let answer = self
            .images
            .clone()
            .list_images(api::ListImagesRequest::default())
            .await?;
        Ok(answer.into_inner().images)
    }

    /// One image on the node, if it is there.
    pub async fn image(&self, reference: &str) -> Result<Option<api::Image>> {
        let request = api::ImageStatusRequest {
            image: Some(spec(reference)),
            verbose: false,
        };
        Ok(self
            .images
            .clone()
            .image_status(request)
            .await?
            .into_inner()
            .image)
    }

    /// Removes an image; one that is not there is fine.
    pub async fn remove(&self, reference: &str) -> Result<()> {
        let request = api::RemoveImageRequest {
            image: Some(spec(reference)),
        };
        self.images.clone().remove_image(request).await?;
        Ok(())
    }
}

fn spec(reference: &str) -> api::ImageSpec {
    api::ImageSpec {
        image: reference.to_owned(),
        ..api::ImageSpec::default()
    }
}
