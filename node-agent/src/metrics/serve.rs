//! Plain HTTP for `/metrics`, `/healthz` and `/readyz`. Nothing secret stands there, and nothing can
//! be changed.
//!
//! Whoever reaches the port cannot keep others from it: a connection has seconds, serves one request,
//! and where there are too many the oldest makes room.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::{Health, Metrics};

/// The most connections at a time.
const MOST_CONNECTIONS: usize = 32;
/// The most bytes of a request's head; the least that hyper takes.
const MAX_HEAD: usize = 8192;
/// The most header fields of a request.
const MAX_FIELDS: usize = 64;
/// How long a connection may take.
const PATIENCE: Patience = Patience {
    head: Duration::from_secs(5),
    whole: Duration::from_secs(15),
};
/// The pause after a connection could not be accepted: out of file descriptors, for instance.
const PAUSE: Duration = Duration::from_millis(200);
/// What `OpenMetrics` 1.0 asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until the head of its request is there.
    head: Duration,
    /// Altogether.
    whole: Duration,
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for metrics: {source}; give another --metrics-address, or `off`"
)]
pub struct BindError {
    /// The address.
    address: SocketAddr,
    /// Why not.
    source: io::Error,
}

/// Serves on `address`, in a thread and an event loop of its own: a look that holds up the agent's
/// loop is then told as such, and not by silence. Gives the address, whose port may have been 0.
pub fn spawn(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) -> Result<SocketAddr, BindError> {
    let failed = |source| BindError { address, source };
    let listener = StdListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener).map_err(failed)?
    };
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || runtime.block_on(serve(listener, metrics, health)))
        .map_err(failed)?;
    Ok(bound)
}

/// Serves until it is dropped, and with it every connection.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, health: Arc<Health>) {
    serve_within(listener, metrics, health, PATIENCE).await;
}

async fn serve_within(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    patience: Patience,
) {
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.retain(|task| !task.is_finished());
                    if open.len() >= MOST_CONNECTIONS && let Some(oldest) = open.pop_front() {
                        oldest.abort();
                    }
                    let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
                    open.push_back(tasks.spawn(connection(stream, metrics, health, patience)));
                }
                Err(error) => {
                    tracing::debug!("a connection for metrics was not accepted: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn connection(
    stream: TcpStream,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    patience: Patience,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &metrics, &health, Instant::now());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(patience.whole, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection for metrics failed: {error}"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

/// The answer to a request. hyper leaves the body out of the answer to HEAD.
fn answer<B>(
    request: &Request<B>,
    metrics: &Metrics,
    health: &Health,
    now: Instant,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "only GET and HEAD are answered\n".to_owned();
        let mut answer = reply(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        return answer;
    }
    let unavailable = |text| reply(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
    let ok = || reply(StatusCode::OK, PLAIN, "ok\n".to_owned());
    match request.uri().path() {
        "/metrics" => match metrics.encode() {
            Ok(text) => reply(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => unavailable(format!("the metrics could not be written: {error}\n")),
        },
        "/healthz" => match health.stuck_for(now) {
            None => ok(),
            Some(age) => {
                let age = age.as_secs();
                unavailable(format!(
                    "the agent has not looked at the node for {age} s\n"
                ))
            }
        },
        "/readyz" if health.is_ready() => ok(),
        "/readyz" => unavailable("no policies were applied yet\n".to_owned()),
        _ => {
            let text = "here are /metrics, /healthz and /readyz\n".to_owned();
            reply(StatusCode::NOT_FOUND, PLAIN, text)
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
