//! Two protocols on one socket: what starts with HTTP/2's preface is gRPC, the rest is HTTP/1.1.

use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Request as Call, Response as Answer, Status};

use super::{Shared, images, lock, recorded};
use crate::cri::api;
use crate::cri::api::image_service_server::{ImageService, ImageServiceServer};
use crate::cri::api::runtime_service_server::{RuntimeService, RuntimeServiceServer};

/// Serves until it is told to stop; what is under way then is broken off.
pub(super) async fn serve(
    listener: UnixListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener).context("take over a socket")?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return Ok(()),
        };
        let (stream, _) = accepted.context("accept a connection")?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is no failure of the server.
            let connection = server.serve_connection(TokioIo::new(stream), service);
            connection.await.ok();
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    if request.version() != Version::HTTP_2 {
        return Ok(match (request.method(), path) {
            (&Method::GET, "/config") => configuration(&shared),
            _ => page(StatusCode::NOT_FOUND, "404 page not found\n"),
        });
    }
    if path.starts_with("/runtime.v1.RuntimeService/") {
        RuntimeServiceServer::from_arc(shared).call(request).await
    } else {
        // It answers `Unimplemented` to what is not its own, as CRI-O does.
        ImageServiceServer::from_arc(shared).call(request).await
    }
}

fn configuration(shared: &Shared) -> Response<Body> {
    match lock(&shared.settings).config() {
        Ok(config) => {
            let mut response = page(StatusCode::OK, config);
            let toml = hyper::header::HeaderValue::from_static("application/toml");
            response.headers_mut().insert(CONTENT_TYPE, toml);
            response
        }
        Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")),
    }
}

fn page(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(text.into())));
    *response.status_mut() = status;
    response
}

fn broken(error: &anyhow::Error) -> Status {
    Status::internal(format!("{error:#}"))
}

fn name(spec: Option<api::ImageSpec>) -> Result<String, Status> {
    let name = spec.map(|spec| spec.image).filter(|name| !name.is_empty());
    name.ok_or_else(|| Status::invalid_argument("no image specified"))
}

#[tonic::async_trait]
impl RuntimeService for Shared {
    async fn version(
        &self,
        _: Call<api::VersionRequest>,
    ) -> Result<Answer<api::VersionResponse>, Status> {
        let version = recorded::version().map_err(|error| broken(&error))?;
        Ok(Answer::new(api::VersionResponse {
            runtime_version: lock(&self.settings).version.clone(),
            ..version
        }))
    }

    async fn status(
        &self,
        call: Call<api::StatusRequest>,
    ) -> Result<Answer<api::StatusResponse>, Status> {
        let status = recorded::status(call.into_inner().verbose);
        status.map(Answer::new).map_err(|error| broken(&error))
    }
}

#[tonic::async_trait]
impl ImageService for Shared {
    async fn list_images(
        &self,
        _: Call<api::ListImagesRequest>,
    ) -> Result<Answer<api::ListImagesResponse>, Status> {
        let images = lock(&self.settings).images.clone();
        Ok(Answer::new(api::ListImagesResponse { images }))
    }

    async fn image_status(
        &self,
        call: Call<api::ImageStatusRequest>,
    ) -> Result<Answer<api::ImageStatusResponse>, Status> {
        let name = name(call.into_inner().image)?;
        let settings = lock(&self.settings);
        let found = images::find(&settings.images, &name);
        Ok(Answer::new(api::ImageStatusResponse {
            image: found.map(|at| settings.images[at].clone()),
            info: [].into(),
        }))
    }

    async fn pull_image(
        &self,
        call: Call<api::PullImageRequest>,
    ) -> Result<Answer<api::PullImageResponse>, Status> {
        let name = name(call.into_inner().image)?;
        lock(&self.pulls).push(name.clone());
        let hook = Arc::clone(&lock(&self.hook));
        hook(name.clone()).await?;
        let image_ref = images::add(&mut lock(&self.settings).images, &name);
        Ok(Answer::new(api::PullImageResponse { image_ref }))
    }

    async fn remove_image(
        &self,
        call: Call<api::RemoveImageRequest>,
    ) -> Result<Answer<api::RemoveImageResponse>, Status> {
        let name = name(call.into_inner().image)?;
        let images = &mut lock(&self.settings).images;
        if let Some(at) = images::find(images, &name) {
            images.remove(at);
        }
        Ok(Answer::new(api::RemoveImageResponse::default()))
    }
}
