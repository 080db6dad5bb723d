//! The pull side of the OCI distribution API, over HTTP/1.1.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Blob, Store};

/// Serves until it is told to stop; what is under way then is broken off.
pub(super) async fn serve(
    listener: TcpListener,
    store: Arc<Store>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("take over a socket")?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return Ok(()),
        };
        let (stream, _) = accepted.context("accept a connection")?;
        stream.set_nodelay(true).context("set up a connection")?;
        let store = Arc::clone(&store);
        let service = service_fn(move |request| {
            let response = answer(&store, &request);
            async { Ok::<_, Infallible>(response) }
        });
        // A client that goes away is no failure of the registry.
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async { connection.await.ok() });
    }
}

fn answer(store: &Store, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return failure(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
    let Some(path) = request.uri().path().strip_prefix("/v2/") else {
        return failure(StatusCode::NOT_FOUND, "UNSUPPORTED");
    };
    if path.is_empty() {
        return found(&Blob::json(&json!({})));
    }
    // A path may have any number of segments, so it is read from its end.
    let mut parts = path.rsplitn(3, '/');
    let (Some(reference), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next())
    else {
        return failure(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    };
    let repository = format!("{}/{name}", host(request));
    let (blob, unknown) = match kind {
        "manifests" => {
            let look = |content: &super::Content| content.manifests.get(reference).cloned();
            (store.read(&repository, look), "MANIFEST_UNKNOWN")
        }
        "blobs" => {
            let look = |content: &super::Content| content.blobs.get(reference).cloned();
            (store.read(&repository, look), "BLOB_UNKNOWN")
        }
        _ => (None, "UNSUPPORTED"),
    };
    blob.map_or_else(
        || failure(StatusCode::NOT_FOUND, unknown),
        |blob| found(&blob),
    )
}

/// The host as it stands in an image's name. A request to a proxy has it in its target.
fn host(request: &Request<Incoming>) -> &str {
    let header = || request.headers().get(HOST)?.to_str().ok();
    let target = request
        .uri()
        .authority()
        .map(hyper::http::uri::Authority::as_str);
    match target.or_else(header).unwrap_or_default() {
        "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

fn found(blob: &Blob) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .header(CONTENT_TYPE, &blob.media_type)
        .header("Docker-Content-Digest", &blob.digest)
        .body(Full::new(blob.bytes.clone()));
    // Only a media type that is no header can get in the way; then it is a fault of this registry.
    response.unwrap_or_else(|_| failure(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"))
}

/// An error as the distribution specification writes it.
fn failure(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = json!({ "errors": [{ "code": code, "message": code }] });
    let mut response = found(&Blob::json(&body));
    *response.status_mut() = status;
    response
}

impl Blob {
    fn json(value: &serde_json::Value) -> Self {
        let bytes = value.to_string();
        let descriptor = crate::oci::Descriptor::of("application/json", bytes.as_bytes());
        Self::new(&descriptor, bytes.as_bytes())
    }
}
