//! As much of an API server as an agent asks, which can be told to fail.
//!
//! The real one is in `agent_cluster`; here it is about answers that a real one cannot be made to
//! give.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Polling, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::PolicyBundleSpec;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The node's name.
pub(crate) const NODE: &str = "n-1";

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It does not.
    No,
    /// Every answer is 500.
    Broken,
    /// No answer ever comes.
    Silent,
    /// Every answer is no JSON.
    Garbage,
    /// Statuses are refused.
    NoStatus,
    /// Watches end at once with 410.
    Expired,
    /// The account has lost its rights.
    Forbidden,
}

#[derive(Debug)]
struct State {
    failing: Failing,
    asked: Option<String>,
    generation: u64,
    bundles: BTreeMap<String, PolicyBundleSpec>,
    statuses: Vec<Value>,
}

/// The server. It ends when this is dropped.
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Api {
    pub(crate) async fn start() -> Result<Self> {
        let state = State {
            failing: Failing::No,
            asked: None,
            generation: 1,
            bundles: BTreeMap::new(),
            statuses: Vec::new(),
        };
        let mut api = Self {
            state: Arc::new(Mutex::new(state)),
            changes: watch::channel(0).0,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            task: None,
        };
        let free = e2e::ports::free()?;
        api.address = free.into();
        api.restart().await?;
        Ok(api)
    }

    /// Ends it, with all connections: nobody listens any more.
    pub(crate) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        // Watches hear it, and end.
        self.changes.send_modify(|count| *count += 1);
    }

    /// Starts it again at the same address.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.stop();
        let listener = e2e::process::wait_for("the address", Duration::from_secs(20), async || {
            Ok(TcpListener::bind(self.address).await.ok())
        })
        .await?;
        let (state, changes) = (Arc::clone(&self.state), self.changes.clone());
        self.task = Some(tokio::spawn(async move {
            // Dropped with this task.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, changes) = (Arc::clone(&state), changes.clone());
                let service = service_fn(move |request| {
                    answer(Arc::clone(&state), changes.subscribe(), request)
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async { connection.await.ok() });
            }
        }));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it fails from now on; what is under way is cut off.
    pub(crate) fn fail(&self, failing: Failing) {
        self.state().failing = failing;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Cuts every watch off, in the middle of a line.
    pub(crate) fn cut(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Stores something under the name of a bundle.
    pub(crate) fn store(&self, name: &str, spec: PolicyBundleSpec) {
        let mut state = self.state();
        // Those of long ago are not asked for again.
        if state.bundles.len() > 16 {
            state.bundles.clear();
        }
        state.bundles.insert(name.to_owned(), spec);
    }

    /// The node's object asks for this bundle from now on.
    pub(crate) fn ask(&self, name: &str) {
        let mut state = self.state();
        state.asked = Some(name.to_owned());
        state.generation += 1;
        drop(state);
        self.changes.send_modify(|count| *count += 1);
    }

    /// The last status that was written.
    pub(crate) fn status(&self) -> Value {
        self.state().statuses.last().cloned().unwrap_or_default()
    }

    pub(crate) fn kubeconfig(&self, path: &Path) -> Result<()> {
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "none"}}],
        });
        fs::write(path, text.to_string()).context("write a kubeconfig")
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A page at once, or a watch: one line, and then the first half of another when something changes.
enum Page {
    Whole(Option<Bytes>),
    Watch {
        first: Option<Bytes>,
        end: Pin<Box<dyn Future<Output = ()> + Send>>,
    },
}

impl Body for Page {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        polling: &mut Polling<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Watch { first, end } => {
                if let Some(bytes) = first.take() {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                end.as_mut()
                    .poll(polling)
                    .map(|()| Some(Err(std::io::ErrorKind::ConnectionReset.into())))
            }
        }
    }
}

fn page(status: StatusCode, text: String) -> Response<Page> {
    let mut response = Response::new(Page::Whole(Some(text.into())));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, json);
    response
}

fn failure(code: StatusCode, reason: &str) -> Response<Page> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code.as_u16(),
    });
    page(code, body.to_string())
}

async fn answer(
    shared: Arc<Mutex<State>>,
    changes: watch::Receiver<u64>,
    request: Request<Incoming>,
) -> Result<Response<Page>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let failing = shared
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .failing;
    let is_status = head.uri.path().ends_with("/status");
    match failing {
        Failing::Broken => return Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
        Failing::Forbidden => return Ok(failure(StatusCode::FORBIDDEN, "Forbidden")),
        Failing::Garbage => return Ok(page(StatusCode::OK, "\u{0}<html>no".to_owned())),
        Failing::NoStatus if is_status => return Ok(failure(StatusCode::FORBIDDEN, "Forbidden")),
        Failing::Expired if query.contains("watch=") => {
            let expired = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old resource version", "reason": "Expired", "code": 410,
            });
            let line = json!({"type": "ERROR", "object": expired});
            return Ok(page(StatusCode::OK, format!("{line}\n")));
        }
        Failing::Silent => {
            let mut changes = changes;
            // Until it fails in another way.
            let _ = changes.changed().await;
            return Ok(failure(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
            ));
        }
        _ => {}
    }
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let path = head.uri.path();
    if let Some((_, name)) = path.split_once("/policybundles/") {
        let Some(spec) = state.bundles.get(name) else {
            return Ok(failure(StatusCode::NOT_FOUND, "NotFound"));
        };
        let object = json!({
            "apiVersion": "nodeseal.dev/v1alpha1", "kind": "PolicyBundle",
            "metadata": {"name": name}, "spec": spec,
        });
        return Ok(page(StatusCode::OK, object.to_string()));
    }
    let version = state.generation.to_string();
    let object = state.asked.as_ref().map(|bundle| {
        json!({
            "apiVersion": "nodeseal.dev/v1alpha1", "kind": "NodeImagePolicy",
            "metadata": {"name": NODE, "generation": state.generation, "resourceVersion": version, "uid": "u"},
            "spec": {"bundle": bundle},
            "status": state.statuses.last(),
        })
    });
    if is_status && head.method == Method::PATCH {
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        state.statuses = vec![sent["status"].clone()];
        return Ok(page(StatusCode::OK, object.unwrap_or_default().to_string()));
    }
    if query.contains("watch=") {
        let mut changes = changes;
        changes.mark_unchanged();
        let first = object.map(|object| {
            let line = json!({"type": "MODIFIED", "object": object});
            Bytes::from(format!("{line}\n"))
        });
        let end = Box::pin(async move {
            let _ = changes.changed().await;
        });
        return Ok(Response::new(Page::Watch { first, end }));
    }
    let list = json!({
        "apiVersion": "nodeseal.dev/v1alpha1", "kind": "NodeImagePolicyList",
        "metadata": {"resourceVersion": version},
        "items": object.into_iter().collect::<Vec<_>>(),
    });
    Ok(page(StatusCode::OK, list.to_string()))
}
