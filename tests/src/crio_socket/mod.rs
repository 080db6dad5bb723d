//! CRI-O's socket without CRI-O: its configuration over HTTP/1.1 and its CRI over gRPC, on one
//! socket, as it serves them.
//!
//! What it answers is what a CRI-O 1.37 answered, with the values that a test gives; what a pull
//! does is up to the test. It pulls nothing and reads no policy: for that there is [`crate::Judge`].

mod images;
mod recorded;
mod serve;

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use tokio::runtime;
use tokio::sync::oneshot;
use tonic::Status;

use crate::cri::api::Image;
use crate::folder::Folder;

/// What CRI-O says of itself. `Default` is what a CRI-O 1.37 said.
#[derive(Debug, Clone)]
pub struct Settings {
    /// CRI `Version`.
    pub version: String,
    /// `signature_policy`; empty is the system's default.
    pub signature_policy: String,
    /// `signature_policy_dir`.
    pub signature_policy_dir: String,
    /// CRI `ListImages`, which pulls and removals change.
    pub images: Vec<Image>,
    /// What `GET /config` answers instead of the recording with these values.
    pub config: Option<Vec<u8>>,
}

/// The stand-in, running. It ends when this is dropped.
#[derive(Debug)]
pub struct CrioSocket {
    // Dropped in this order: the server ends before its folder is removed.
    server: Option<Server>,
    shared: Arc<Shared>,
    folder: Folder,
}

/// What a pull does, given the image as it was asked for.
type Hook = Arc<dyn Fn(String) -> Pulling + Send + Sync>;
type Pulling = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// What the test and the server know.
struct Shared {
    settings: Mutex<Settings>,
    pulls: Mutex<Vec<String>>,
    hook: Mutex<Hook>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shared = f.debug_struct("Shared");
        shared.field("settings", &self.settings);
        shared.field("pulls", &self.pulls).finish_non_exhaustive()
    }
}

/// A server, which ends when this is dropped.
#[derive(Debug)]
struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CrioSocket {
    /// Starts it. Pulls succeed.
    pub fn start(settings: Settings) -> Result<Self> {
        let hook: Hook = Arc::new(|_| Box::pin(async { Ok(()) }));
        let shared = Shared {
            settings: Mutex::new(settings),
            pulls: Mutex::default(),
            hook: Mutex::new(hook),
        };
        let mut crio = Self {
            server: None,
            shared: Arc::new(shared),
            folder: Folder::new("crio")?,
        };
        crio.restart()?;
        Ok(crio)
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("crio.sock")
    }

    /// The folder of its socket, with room for more.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the server, with its connections; the socket stays, as after a crash.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts the server (again).
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let socket = self.socket();
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("remove the old socket");
            }
            _ => {}
        }
        let listener = UnixListener::bind(&socket).context("listen on a socket")?;
        self.server = Some(Server::start(listener, Arc::clone(&self.shared))?);
        Ok(())
    }

    /// Changes what it says from now on.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.shared.settings));
    }

    /// Gives what a pull does from now on: the image is on the node afterwards, or the status is
    /// the answer. The future runs in the server's thread.
    pub fn on_pull<F>(&self, pull: impl Fn(String) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        *lock(&self.shared.hook) = Arc::new(move |image| Box::pin(pull(image)));
    }

    /// Refuses every pull from now on as CRI-O refuses one for its policy.
    pub fn refuse(&self, reason: &str) {
        let reason = format!("SignatureValidationFailed: {reason}");
        self.on_pull(move |_| {
            let refused = Status::unknown(reason.clone());
            async { Err(refused) }
        });
    }

    /// The images that it was asked to pull, in order, whatever came of it.
    #[must_use]
    pub fn pulls(&self) -> Vec<String> {
        lock(&self.shared.pulls).clone()
    }
}

impl Server {
    fn start(listener: UnixListener, shared: Arc<Shared>) -> Result<Self> {
        listener.set_nonblocking(true).context("set up a socket")?;
        let (stop, stopped) = oneshot::channel();
        // With a thread of its own it also serves tests that block theirs, and what is under way
        // ends with it.
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("make a runtime")?;
        let thread = thread::Builder::new()
            .name("crio-socket".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve::serve(listener, shared, stopped)) {
                    eprintln!("the stand-in for CRI-O ended: {error:#}");
                }
            })
            .context("start a thread")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // That nobody hears it means that the thread has ended, which has been said.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
