//! A server on a bare socket, which does whatever it is told to.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One thing that the server does. After the last it closes the connection.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends what comes of 0, 1, … up to this, made as it is sent: what is served must not count
    /// as memory of whoever measures.
    Each(usize, Arc<dyn Fn(usize) -> Vec<u8> + Send + Sync>),
    /// Sends these bytes again and again.
    Forever(Vec<u8>),
    /// Sends these bytes again and again, one at a time with a pause.
    Drip(Vec<u8>),
    /// Does nothing, and leaves the connection open.
    Stall,
    /// Ends the connection hard.
    Reset,
}

/// What is done about one request.
pub(crate) type Script = Vec<Act>;

/// A whole answer with a length.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Script {
    let length = body.len().to_string();
    let mut acts = head(status, &[headers, &[("Content-Length", &length)]].concat());
    acts.push(Act::Send(body.to_vec()));
    acts
}

/// The head of an answer whose body ends where the connection does, if no header says otherwise.
pub(crate) fn head(status: u16, headers: &[(&str, &str)]) -> Script {
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    vec![Act::Send(head.into_bytes())]
}

/// What a handler is told of a request: its path and how many of this path came before.
pub(crate) type Handler = dyn Fn(&str, usize) -> Script + Send + Sync;

/// A running server. It ends with the runtime of the test.
pub(crate) struct Server(Arc<Shared>);

struct Shared {
    handler: Box<Handler>,
    asked: Mutex<Vec<String>>,
}

impl Server {
    pub(crate) async fn start(port: u16, handler: Box<Handler>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let asked = Mutex::default();
        let shared = Arc::new(Shared { handler, asked });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // Whoever hangs up has had enough.
                tokio::spawn(async move { serve(stream, &shared).await.ok() });
            }
        });
        Self(shared)
    }

    /// The paths that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        if head[0] == 0x16 {
            // A TLS greeting: what Go's server says to it.
            let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
            return stream.write_all(answer).await;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut asked = shared.asked.lock().unwrap();
        let before = asked.iter().filter(|other| **other == path).count();
        asked.push(path.clone());
        before
    };
    for act in (shared.handler)(&path, before) {
        match act {
            Act::Send(bytes) => stream.write_all(&bytes).await?,
            Act::Each(count, make) => {
                for index in 0..count {
                    stream.write_all(&make(index)).await?;
                }
            }
            Act::Forever(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Act::Drip(bytes) => {
                let mut pace = tokio::time::interval(Duration::from_millis(20));
                for byte in bytes.iter().cycle() {
                    pace.tick().await;
                    stream.write_all(&[*byte]).await?;
                }
            }
            Act::Stall => std::future::pending().await,
            Act::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
    }
    stream.shutdown().await
}
