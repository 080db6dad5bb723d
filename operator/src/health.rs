//! `/healthz` and `/readyz`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Without a sign of life for so long the process is stuck.
const STUCK: Duration = Duration::from_mins(1);
/// How long one caller may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest request that is read.
const MAX_REQUEST: usize = 4096;

/// What the endpoints say.
#[derive(Debug)]
pub(crate) struct Health {
    synced: AtomicBool,
    alive: Mutex<Instant>,
}

impl Health {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            synced: AtomicBool::new(false),
            alive: Mutex::new(Instant::now()),
        })
    }

    /// The main loop lives.
    pub(crate) fn beat(&self, synced: bool) {
        self.synced.store(synced, Ordering::Relaxed);
        if let Ok(mut alive) = self.alive.lock() {
            *alive = Instant::now();
        }
    }

    fn answer(&self, path: &str) -> (&'static str, &'static str) {
        let alive = self.alive.lock().is_ok_and(|then| then.elapsed() < STUCK);
        let synced = self.synced.load(Ordering::Relaxed);
        match path {
            "/healthz" if alive => ("200 OK", "ok\n"),
            "/healthz" => ("503 Service Unavailable", "the main loop is stuck\n"),
            "/readyz" if alive && synced => ("200 OK", "ok\n"),
            "/readyz" => ("503 Service Unavailable", "not everything was listed yet\n"),
            _ => ("404 Not Found", "there are /healthz and /readyz\n"),
        }
    }
}

/// Listens on all addresses: the kubelet asks at the pod's.
pub(crate) async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)).await
}

/// Answers, one caller after the other: each may take five seconds at most.
pub(crate) async fn serve(listener: TcpListener, health: Arc<Health>) {
    loop {
        match listener.accept().await {
            // A caller that is slow or goes away is its own affair.
            Ok((stream, _)) => drop(tokio::time::timeout(PATIENCE, reply(stream, &health)).await),
            Err(error) => {
                tracing::warn!("cannot take a call for health: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn reply(mut stream: TcpStream, health: &Health) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            count => request.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let target = request.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = health.answer(path);
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_once_everything_was_listed() {
        let health = Health::new();
        assert_eq!(health.answer("/healthz").0, "200 OK");
        assert_eq!(health.answer("/readyz").0, "503 Service Unavailable");
        health.beat(true);
        assert_eq!(health.answer("/readyz").0, "200 OK");
        assert_eq!(health.answer("/").0, "404 Not Found");
    }
}
