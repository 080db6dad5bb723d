//! A proxy in front of a registry that fails for some requests: what a network does to a node.

use std::net::SocketAddrV4;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The most bytes of a request's head.
const HEAD: usize = 16 * 1024;

/// What happens to a request whose line holds the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is never answered.
    Stall,
    /// Its connection is closed.
    HangUp,
    /// It is answered with 503.
    Unavailable,
    /// It is answered with 403.
    Forbidden,
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddrV4,
    task: JoinHandle<()>,
}

struct Rule {
    target: String,
    pattern: String,
    failure: Failure,
}

impl Front {
    /// Passes everything on to `target` but requests whose first line holds `pattern`.
    pub async fn start(target: &str, pattern: &str, failure: Failure) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let port = listener.local_addr().context("look at a socket")?.port();
        let rule = Arc::new(Rule {
            target: target.to_owned(),
            pattern: pattern.to_owned(),
            failure,
        });
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let rule = Arc::clone(&rule);
                // A client that goes away is no failure of the proxy.
                tokio::spawn(async move { rule.serve(client).await.ok() });
            }
        });
        Ok(Self {
            address: SocketAddrV4::new([127, 0, 0, 1].into(), port),
            task,
        })
    }

    /// `127.0.0.1:port`, as it stands in an image's name.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rule {
    /// One request a connection, so that each can be looked at.
    async fn serve(&self, mut client: TcpStream) -> Result<()> {
        let head = read_head(&mut client).await?;
        let Some((line, rest)) = head
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .map(|end| (&head[..end], &head[end..]))
        else {
            // No HTTP: a TLS greeting, which the registry turns down by itself.
            return self.pass(client, &[&head]).await;
        };
        if !String::from_utf8_lossy(line).contains(&self.pattern) {
            return self
                .pass(client, &[line, b"\r\nConnection: close", rest])
                .await;
        }
        let status = match self.failure {
            Failure::Stall => {
                // Until the client gives up.
                let _ = client.read_u8().await;
                return Ok(());
            }
            Failure::HangUp => return Ok(()),
            Failure::Unavailable => "503 Service Unavailable",
            Failure::Forbidden => "403 Forbidden",
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        Ok(client.write_all(answer.as_bytes()).await?)
    }

    async fn pass(&self, mut client: TcpStream, parts: &[&[u8]]) -> Result<()> {
        let mut registry = TcpStream::connect(&self.target).await?;
        registry.write_all(&parts.concat()).await?;
        copy_bidirectional(&mut client, &mut registry).await?;
        Ok(())
    }
}

/// Reads until the head of a request is complete, or is seen to be none.
async fn read_head(client: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let complete = head.windows(4).any(|four| four == b"\r\n\r\n");
        let is_text = head.first().is_none_or(u8::is_ascii_uppercase);
        if complete || !is_text || head.len() > HEAD {
            return Ok(head);
        }
        if client.read_buf(&mut head).await? == 0 {
            return Ok(head);
        }
    }
}
