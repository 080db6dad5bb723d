//! gRPC over a stream that is connected already.
//!
//! tonic connects to unix sockets by itself, but takes their path as part of a URI, in which not
//! every path can be written, and tells a missing socket from other trouble only in its text.

use std::future;
use std::io;
use std::path::Path;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::Error;

/// Connects to a socket. What is asked over it is up to the caller.
pub(super) async fn connect(socket: &Path) -> Result<Channel, Error> {
    let failed = |source| Error::Connect {
        socket: socket.to_owned(),
        source,
    };
    let stream = UnixStream::connect(socket).await.map_err(failed)?;
    // The name is a header for the runtime, which does not look at it.
    Ok(Endpoint::from_static("http://localhost")
        .connect_with_connector_lazy(Connected(Some(stream))))
}

/// Gives the stream to the first who asks.
struct Connected(Option<UnixStream>);

impl Service<Uri> for Connected {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the connection has ended");
        future::ready(self.0.take().map(TokioIo::new).ok_or_else(gone))
    }
}
