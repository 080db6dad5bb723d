//! The configuration that a CRI-O has in force, as it tells it itself.
//!
//! CRI-O serves `GET /config` over HTTP/1.1 on the socket of its CRI: its merged configuration in
//! TOML, command line, environment and drop-ins included. Its version is not among it; that is what
//! CRI `Version` tells. `GET /info` only repeats the storage's settings, so it is not asked.

mod config;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

pub use self::config::{Config, Invalid, parse};

/// How long CRI-O may take to tell its configuration, which it has in memory.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// How long the configuration may be. A real one has 6 KiB.
pub const MAX_CONFIG: usize = 4 * 1024 * 1024;

/// Why CRI-O's configuration is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens: CRI-O is down, or this is not its socket.
    #[error(
        "cannot connect to CRI-O's socket {}: {source}; see that crio runs and that the kubelet's \
         configuration names this socket",
        socket.display()
    )]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error(
        "GET /config at {} took longer than {} s; see whether crio hangs",
        socket.display(),
        deadline.as_secs_f64()
    )]
    Late {
        /// The socket.
        socket: PathBuf,
        /// The time that it had.
        deadline: Duration,
    },
    /// What listens does not speak HTTP/1, or stopped within the answer.
    #[error(
        "GET /config at {} failed: {source}; only CRI-O answers it, so see who listens there",
        socket.display()
    )]
    Http {
        /// The socket.
        socket: PathBuf,
        /// What broke.
        source: hyper::Error,
    },
    /// It answered something else than the configuration.
    #[error("GET /config at {} was answered with {status}, not with a configuration", socket.display())]
    Status {
        /// The socket.
        socket: PathBuf,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The answer is longer than [`MAX_CONFIG`].
    #[error(
        "the configuration at {} is longer than {} MiB, which is no configuration of CRI-O",
        socket.display(),
        MAX_CONFIG >> 20
    )]
    TooLong {
        /// The socket.
        socket: PathBuf,
    },
    /// The answer is not CRI-O's configuration.
    #[error("the configuration at {}: {source}", socket.display())]
    Invalid {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        source: Invalid,
    },
}

/// Asks the CRI-O at this socket for its configuration in force.
///
/// Most of it is as of CRI-O's start, and says what its files said then; what follows a reload is
/// as of the last one. It is read back after a reload, which has no other acknowledgement.
pub async fn config(socket: &Path) -> Result<Config, Error> {
    config_within(socket, DEADLINE).await
}

async fn config_within(socket: &Path, deadline: Duration) -> Result<Config, Error> {
    let late = |_| Error::Late {
        socket: socket.to_owned(),
        deadline,
    };
    let text = timeout(deadline, get(socket)).await.map_err(late)??;
    let invalid = |source| Error::Invalid {
        socket: socket.to_owned(),
        source,
    };
    parse(&text).map_err(invalid)
}

async fn get(socket: &Path) -> Result<Bytes, Error> {
    let connect = |source| Error::Connect {
        socket: socket.to_owned(),
        source,
    };
    let stream = UnixStream::connect(socket).await.map_err(connect)?;
    let http = |source| Error::Http {
        socket: socket.to_owned(),
        source,
    };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let mut exchange = pin!(exchange(socket, sender));
    // Its end may come before the answer is taken from it, and its error comes out of the exchange.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}

async fn exchange(socket: &Path, mut sender: SendRequest<Empty<Bytes>>) -> Result<Bytes, Error> {
    let http = |source| Error::Http {
        socket: socket.to_owned(),
        source,
    };
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = hyper::Uri::from_static("/config");
    let host = hyper::header::HeaderValue::from_static("localhost");
    request.headers_mut().insert(HOST, host);
    let answer = sender.send_request(request).await.map_err(http)?;
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(Error::Status {
            socket: socket.to_owned(),
            status,
        });
    }
    let body = Limited::new(answer.into_body(), MAX_CONFIG);
    match body.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(source) => http(*source),
            // The only other error that a limited body has.
            Err(other) => {
                debug_assert!(other.is::<LengthLimitError>(), "{other}");
                Error::TooLong {
                    socket: socket.to_owned(),
                }
            }
        }),
    }
}
