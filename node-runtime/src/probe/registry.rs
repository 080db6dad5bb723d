//! The registry: a listener on loopback that answers while a leg is under way.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::Kind;
use super::answer::{Answer, answer, closed, read_only};
use super::identity::{Identity, IdentityError};
use super::names::Image;
use super::record::{Method, Seen};

/// The most connections at once; more have to wait. A runtime has one or two.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may last in all, handshake and answer included: everything is on loopback.
const MAX_CONNECTION: Duration = Duration::from_secs(10);
/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// The most header fields of a request.
const MAX_HEADERS: usize = 64;
/// The pause after a failed accept, which is a lack of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(200);

/// The first byte of a TLS connection: a record that holds a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// What Go's HTTP client takes as "server gave HTTP response to HTTPS client", upon which containerd
/// goes on in plain HTTP: the answer begins with `HTTP/`.
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 33\r\n\
    Connection: close\r\n\
    \r\n\
    This registry speaks plain HTTP.\n";

/// A registry that listens. It ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    kind: Kind,
    port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// Why the registry does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "the port of the probe's registry, {host}, is taken by another process; end that process, or \
         remove the kept port so that another one is chosen"
    )]
    Taken {
        /// The address.
        host: String,
    },
    /// It cannot be bound.
    #[error("cannot listen on {host} for the probe: {source}")]
    Listen {
        /// The address.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The leg under way, if any.
#[derive(Debug, Default)]
struct State(Mutex<Option<Serving>>);

#[derive(Debug)]
struct Serving {
    image: Image,
    seen: Seen,
}

/// What a connection needs.
#[derive(Clone)]
struct Server {
    kind: Kind,
    tls: Option<Arc<ServerConfig>>,
    state: Arc<State>,
}

impl Registry {
    /// Listens on the port of `identity`, for a runtime of this kind. Nothing is served yet.
    ///
    /// Has to be called inside a tokio runtime.
    pub async fn bind(identity: &Identity, kind: Kind) -> Result<Self, BindError> {
        let tls = match kind {
            Kind::Containerd => None,
            Kind::Crio => Some(identity.server()?),
        };
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, identity.port);
        let listener = TcpListener::bind(address).await.map_err(|source| {
            let host = identity.host();
            match source.kind() {
                io::ErrorKind::AddrInUse => BindError::Taken { host },
                _ => BindError::Listen { host, source },
            }
        })?;
        let state = Arc::new(State::default());
        let server = Server {
            kind,
            tls,
            state: Arc::clone(&state),
        };
        Ok(Self {
            kind,
            port: identity.port,
            state,
            task: tokio::spawn(server.listen(listener)),
        })
    }

    /// Which runtime it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves this image until the leg is dropped.
    pub(super) fn serve(&mut self, image: &Image) -> ServedLeg {
        *self.state.lock() = Some(Serving {
            image: image.clone(),
            seen: Seen::default(),
        });
        ServedLeg(Arc::clone(&self.state))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A leg under way.
pub(super) struct ServedLeg(Arc<State>);

impl ServedLeg {
    /// Ends it; returns what was seen.
    pub(super) fn end(self) -> Seen {
        let served = self.0.lock().take();
        served.map(|served| served.seen).unwrap_or_default()
    }
}

impl Drop for ServedLeg {
    fn drop(&mut self) {
        self.0.lock().take();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Option<Serving>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    async fn listen(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = self.clone();
                    tokio::spawn(async move {
                        if timeout(MAX_CONNECTION, server.connection(stream))
                            .await
                            .is_err()
                        {
                            debug!("a connection to the probe's registry lasted too long");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "the probe's registry cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// One connection. A client that goes away is no failure of the registry.
    async fn connection(self, mut stream: TcpStream) {
        if let Some(serving) = self.state.lock().as_mut() {
            serving.seen.connections = serving.seen.connections.saturating_add(1);
        }
        if let Some(tls) = &self.tls {
            match TlsAcceptor::from(Arc::clone(tls)).accept(stream).await {
                Ok(stream) => self.http(stream).await,
                Err(error) => debug!(%error, "a TLS handshake with the probe's registry failed"),
            }
            return;
        }
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first == [TLS_HANDSHAKE] => {
                if let Err(error) = turn_down(&mut stream).await {
                    debug!(%error, "a TLS client of the probe's registry went away");
                }
            }
            Ok(1) => self.http(stream).await,
            _ => {}
        }
    }

    async fn http(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(move |request| {
            let answer = self.answer(&request);
            async { Ok::<_, Infallible>(answer) }
        });
        let served = http1::Builder::new()
            .keep_alive(false)
            // The whole connection has a limit.
            .header_read_timeout(None)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            debug!(%error, "a connection to the probe's registry broke");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let method = match *request.method() {
            hyper::Method::GET => Method::Get,
            hyper::Method::HEAD => Method::Head,
            _ => return read_only(),
        };
        let path = request.uri().path();
        let mut state = self.state.lock();
        let Some(serving) = state.as_mut() else {
            return closed();
        };
        serving.seen.add(method, path, &serving.image);
        answer(self.kind, &serving.image, method, path)
    }
}

/// Answers a TLS client that this is plain HTTP. Its greeting is read to its end first, and what else
/// it sends afterwards: a connection that is closed with something unread is reset, and the client may
/// lose the answer.
async fn turn_down(stream: &mut TcpStream) -> io::Result<()> {
    // Type, version (2 bytes), length (2 bytes).
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let length = u64::from(u16::from_be_bytes([head[3], head[4]]));
    let mut sink = tokio::io::sink();
    tokio::io::copy(&mut (&mut *stream).take(length), &mut sink).await?;
    stream.write_all(NO_TLS).await?;
    stream.shutdown().await?;
    let rest = &mut stream.take(MAX_HEAD as u64);
    tokio::io::copy(rest, &mut sink).await?;
    Ok(())
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
