//! A TCP relay that is as far away as it is told, and counts what passes.
//!
//! It sees bytes, not messages: whatever a client has said and was answered before it says more is
//! one exchange, so the greetings of TLS count as well. The relay itself is near: the round trip that
//! setting up a connection takes is added to the time of the first bytes, since no client could send
//! them sooner.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The most bytes of a chunk.
const CHUNK: usize = 64 * 1024;

/// What one run of a program cost at the relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections that were opened.
    pub(crate) connections: u32,
    /// Exchanges on all of them, greetings included.
    pub(crate) exchanges: u32,
    /// Round trips that had to wait for one another, those of setting up connections included.
    pub(crate) in_sequence: u32,
}

/// A running relay, for as long as the program runs.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    aim: Mutex<Aim>,
    /// Every run has its own: what arrives when it is over must not count for the next.
    counts: Mutex<Arc<Mutex<Counts>>>,
}

#[derive(Debug, Clone, Default)]
struct Aim {
    target: String,
    one_way: Duration,
}

/// Bytes, when they arrive, and how many round trips it took for them to be sent.
struct Chunk {
    arrives: Instant,
    depth: u32,
    bytes: Vec<u8>,
}

/// What the two directions of a connection know of each other.
#[derive(Default)]
struct Depths {
    /// The deepest answer that the client has.
    client: AtomicU32,
    /// The deepest request that the server has.
    server: AtomicU32,
}

impl Relay {
    /// A relay that passes everything on to nobody yet.
    pub(crate) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("listen")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let own = Arc::clone(&shared);
        // A thread of its own: it must not wait while a program is measured.
        std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || runtime.block_on(accept(listener, own)))
            .context("start the relay's thread")?;
        Ok(Self { address, shared })
    }

    /// `127.0.0.1:port`, as it stands in an image's name.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// New connections go to `target` from now on, which is that far away.
    pub(crate) fn aim(&self, target: &str, one_way: Duration) {
        *lock(&self.shared.aim) = Aim {
            target: target.to_owned(),
            one_way,
        };
    }

    /// What has passed since it was asked before.
    pub(crate) fn counts(&self) -> Counts {
        let over = std::mem::take(&mut *lock(&self.shared.counts));
        *lock(&over)
    }
}

/// What the threads here hold is never left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        // A client that goes away is no failure of the relay.
        tokio::spawn(async move { serve(client, shared).await.ok() });
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) -> Result<()> {
    let accepted = Instant::now();
    let aim = lock(&shared.aim).clone();
    let counts = Arc::clone(&lock(&shared.counts));
    let depths = Arc::new(Depths::default());
    {
        let mut counts = lock(&counts);
        counts.connections += 1;
        // It is set up after what was answered before.
        let set_up = counts.in_sequence + 1;
        depths.client.store(set_up, Ordering::SeqCst);
    }
    let server = TcpStream::connect(&aim.target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, up_queue) = mpsc::unbounded_channel();
    let (down, down_queue) = mpsc::unbounded_channel();
    let opened = accepted + 2 * aim.one_way;
    let seen = Arc::clone(&depths);
    let requests = read(from_client, up, opened, aim.one_way, move || {
        seen.client.load(Ordering::SeqCst) + 1
    });
    let seen = Arc::clone(&depths);
    let answers = read(from_server, down, accepted, aim.one_way, move || {
        seen.server.load(Ordering::SeqCst)
    });
    let seen = Arc::clone(&depths);
    let forward = write(to_server, up_queue, move |depth| {
        seen.server.fetch_max(depth, Ordering::SeqCst);
    });
    let back = write(to_client, down_queue, move |depth| {
        let is_new = depths.client.fetch_max(depth, Ordering::SeqCst) < depth;
        let mut counts = lock(&counts);
        counts.exchanges += u32::from(is_new);
        counts.in_sequence = counts.in_sequence.max(depth);
    });
    tokio::join!(requests, answers, forward, back);
    Ok(())
}

/// Takes what one side sends, which is under way from then on, but not before `earliest`.
async fn read(
    mut side: OwnedReadHalf,
    queue: mpsc::UnboundedSender<Chunk>,
    earliest: Instant,
    one_way: Duration,
    depth: impl Fn() -> u32,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = side.read(&mut buffer).await.unwrap_or(0);
        let bytes = buffer.get(..read).unwrap_or_default().to_vec();
        let is_end = bytes.is_empty();
        let arrives = Instant::now().max(earliest) + one_way;
        // An end is no request.
        let depth = if is_end { 0 } else { depth() };
        let chunk = Chunk {
            arrives,
            depth,
            bytes,
        };
        if queue.send(chunk).is_err() || is_end {
            return;
        }
    }
}

/// Hands over what has arrived; the end, too.
async fn write(
    mut side: OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<Chunk>,
    arrived: impl Fn(u32),
) {
    while let Some(chunk) = queue.recv().await {
        if chunk.arrives > Instant::now() {
            sleep_until(chunk.arrives).await;
        }
        // Before the other side can answer to it.
        arrived(chunk.depth);
        if chunk.bytes.is_empty() || side.write_all(&chunk.bytes).await.is_err() {
            break;
        }
    }
    let _ = side.shutdown().await;
}
