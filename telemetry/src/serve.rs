//! Plain HTTP for `/metrics`, `/healthz` and `/readyz`. Nothing secret stands there, and nothing can
//! be changed.
//!
//! Whoever reaches the port cannot keep others from it: a connection has seconds, serves one request,
//! and where there are too many the oldest makes room.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::Format;

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
const PLAIN: &str = "text/plain; charset=utf-8";
/// How an address is written that is none.
pub const OFF: &str = "off";

/// What is served.
pub trait Pages: Send + Sync + 'static {
    /// The page at a path, at `now`; nothing where there is none. It is made while the client waits,
    /// so it takes no more than the time to write it down.
    fn page(&self, path: &str, now: Instant) -> Option<Page>;
    /// What is there, as a sentence for those who ask for something else.
    fn index(&self) -> &'static str;
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// All is well.
    Ok,
    /// Something is not, and what.
    Unavailable(String),
    /// Metrics, as `OpenMetrics` 1.0.
    Metrics(String),
}

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until the head of its request is there.
    head: Duration,
    /// Altogether.
    whole: Duration,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {what}: {source}; {help}")]
pub struct BindError {
    /// The address.
    address: SocketAddr,
    /// What would have been served.
    what: &'static str,
    /// What to do.
    help: &'static str,
    /// Why not.
    source: io::Error,
}

/// Where to serve, if anywhere, as an option says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub Option<SocketAddr>);

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == OFF {
            return Ok(Self(None));
        }
        let address = text.parse();
        let address =
            address.map_err(|_| "give an address and a port, such as 127.0.0.1:9464, or `off`")?;
        Ok(Self(Some(address)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str(OFF),
        }
    }
}

/// Listens on `address` for what `what` says; `help` is what to do where that cannot be.
pub fn listen(
    address: SocketAddr,
    what: &'static str,
    help: &'static str,
) -> Result<StdListener, BindError> {
    let listener = StdListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| BindError {
        address,
        what,
        help,
        source,
    })
}

/// Serves in a thread and an event loop of its own, until the process ends: a look that holds up the
/// program's loop is then told as such, and not by silence.
pub fn spawn(listener: StdListener, pages: Arc<dyn Pages>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener)?
    };
    std::thread::Builder::new()
        .name("telemetry".to_owned())
        .spawn(move || runtime.block_on(serve(listener, pages, PATIENCE)))?;
    Ok(())
}

/// Serves until it is dropped, and with it every connection.
async fn serve(listener: TcpListener, pages: Arc<dyn Pages>, patience: Patience) {
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
                    open.push_back(tasks.spawn(connection(stream, Arc::clone(&pages), patience)));
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

async fn connection(stream: TcpStream, pages: Arc<dyn Pages>, patience: Patience) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &*pages, Instant::now());
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
fn answer<B>(request: &Request<B>, pages: &dyn Pages, now: Instant) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "only GET and HEAD are answered\n".to_owned();
        let mut answer = reply(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        return answer;
    }
    match pages.page(request.uri().path(), now) {
        Some(Page::Ok) => reply(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        Some(Page::Unavailable(why)) => {
            reply(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n"))
        }
        Some(Page::Metrics(text)) => {
            let accept = request.headers().get(ACCEPT);
            let format = Format::accepted(accept.and_then(|accept| accept.to_str().ok()));
            reply(StatusCode::OK, format.content_type(), format.of(text))
        }
        None => {
            let text = format!("{}\n", pages.index());
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
