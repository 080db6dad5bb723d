//! A registry that serves what a test says, lies included. Written on a bare socket, because much
//! of what is tested no HTTP library would let a server do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use policy::digest::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What is served at a path.
#[derive(Clone)]
pub enum Reply {
    Content {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Headers, then never an end.
    Endless,
    /// Nothing at all.
    Stall,
    /// Nothing, and the connection is closed.
    HangUp,
}

impl Reply {
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self::Content {
            status: 200,
            headers,
            body: body.into(),
        }
    }

    pub fn status(status: u16) -> Self {
        Self::Content {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Content { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

type Handler = dyn Fn(&str, &str) -> Option<Reply> + Send + Sync;

/// What a registry holds: replies by path, without the leading `/v2/app/`.
#[derive(Default, Clone)]
pub struct Content {
    replies: BTreeMap<String, Reply>,
    handler: Option<Arc<Handler>>,
}

impl Content {
    pub fn put(&mut self, path: &str, reply: Reply) -> &mut Self {
        self.replies.insert(path.to_owned(), reply);
        self
    }

    /// Asked first, with the path and the whole head of the request.
    pub fn handle(
        &mut self,
        handler: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static,
    ) -> &mut Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    pub fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.put(
            &format!("blobs/{digest}"),
            Reply::ok("application/octet-stream", bytes),
        );
        digest
    }

    pub fn manifest(&mut self, value: &serde_json::Value) -> Digest {
        let bytes = value.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        self.put(&format!("manifests/{digest}"), Reply::ok(MANIFEST, bytes));
        digest
    }
}

/// A running registry on a loopback port.
pub struct Registry {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    pub async fn start_on(port: u16, content: Content) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (content, log) = (Arc::new(content), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (content, log) = (Arc::clone(&content), Arc::clone(&log));
                tokio::spawn(async move {
                    let _ = serve(stream, &content, &log).await;
                });
            }
        });
        Self { address, seen }
    }

    /// The paths that were asked for, below `/v2/app/`.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    content: &Content,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        if head[0] == 0x16 {
            // A TLS greeting: what Go's server says to it.
            return stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                .await;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.strip_prefix("/v2/app/").unwrap_or(target).to_owned();
    log.lock().unwrap().push(path.clone());
    let handled = content
        .handler
        .as_ref()
        .and_then(|handler| handler(&path, &head));
    let reply = handled.or_else(|| content.replies.get(&path).cloned());
    match reply.unwrap_or_else(|| Reply::status(404)) {
        Reply::Stall => std::future::pending().await,
        Reply::HangUp => stream.shutdown().await,
        Reply::Endless => {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 16384]).await?;
            }
        }
        Reply::Content {
            status,
            headers,
            body,
        } => {
            let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
            for (name, value) in headers {
                write!(head, "{name}: {value}\r\n").unwrap();
            }
            write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.shutdown().await
        }
    }
}
