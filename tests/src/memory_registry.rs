//! A registry in this process, for thousands of images a second.
//!
//! It is the plain-HTTP proxy of whoever asks, and answers for every host: an image is called
//! `a.example.com/team/app`, `host:5000/x` or `docker.io/library/app` here, and nothing of it
//! leaves the machine. It takes no pushes over the network; its methods store.

mod server;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use hyper::body::Bytes;
use serde_json::json;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::images::Image;
use crate::oci::{CONFIG, Descriptor, INDEX, LAYER, MANIFEST, Repository, sha256};

/// An archive without files: two empty blocks.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

/// The registry, running. It ends when this is dropped.
#[derive(Debug)]
pub struct MemoryRegistry {
    address: SocketAddr,
    store: Arc<Store>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is stored, by `host/path`.
#[derive(Debug, Default)]
struct Store(RwLock<HashMap<String, Content>>);

/// What one repository has.
#[derive(Debug, Default)]
struct Content {
    /// By tag, and by digest.
    manifests: HashMap<String, Blob>,
    /// By digest.
    blobs: HashMap<String, Blob>,
}

#[derive(Debug, Clone)]
struct Blob {
    media_type: String,
    digest: String,
    bytes: Bytes,
}

impl MemoryRegistry {
    /// Starts it, with nothing in it.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        listener.set_nonblocking(true).context("set up a socket")?;
        let address = listener.local_addr().context("look at a socket")?;
        let store = Arc::new(Store::default());
        let (stop, stopped) = oneshot::channel();
        // With a thread of its own it also serves tests that block theirs.
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .context("make a runtime")?;
        let served = Arc::clone(&store);
        let thread = thread::Builder::new()
            .name("memory-registry".to_owned())
            .spawn(move || {
                let serving = server::serve(listener, served, stopped);
                if let Err(error) = runtime.block_on(serving) {
                    eprintln!("the registry in memory ended: {error:#}");
                }
            })
            .context("start a thread")?;
        Ok(Self {
            address,
            store,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The URL of the proxy that it is: `http://127.0.0.1:port`.
    #[must_use]
    pub fn proxy(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stores an image whose digest follows from `content`, for linux on amd64, under a tag of the
    /// repository `host/path`.
    ///
    /// The names of what is returned are right, but only who asks through [`Self::proxy`] finds it
    /// there.
    pub fn push_image(&self, repository: &str, tag: &str, content: &str) -> Result<Image> {
        let layer = self.push_blob(repository, LAYER, &EMPTY_TAR);
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Labels": { "content": content } },
            "rootfs": { "type": "layers", "diff_ids": [sha256(&EMPTY_TAR)] },
        });
        let config = self.push_blob(repository, CONFIG, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
        });
        self.push_tagged(repository, tag, MANIFEST, &manifest)
    }

    /// Stores an index whose only image is this one of the same repository, for linux on amd64.
    pub fn push_index(&self, repository: &str, tag: &str, image: &Image) -> Result<Image> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [{
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": image.size,
                "platform": { "architecture": "amd64", "os": "linux" },
            }],
        });
        self.push_tagged(repository, tag, INDEX, &index)
    }

    /// Stores a manifest under a tag or its digest, and under its digest in any case.
    #[allow(clippy::must_use_candidate, reason = "it stores")]
    pub fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        let blob = Blob::new(&descriptor, bytes);
        self.store.write(repository, |content| {
            for name in [reference, &descriptor.digest] {
                content.manifests.insert(name.to_owned(), blob.clone());
            }
        });
        descriptor
    }

    /// Stores a blob.
    #[allow(clippy::must_use_candidate, reason = "it stores")]
    pub fn push_blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        let blob = Blob::new(&descriptor, bytes);
        self.store.write(repository, |content| {
            content.blobs.insert(descriptor.digest.clone(), blob);
        });
        descriptor
    }

    /// Forgets what a tag or digest stands for.
    pub fn remove_manifest(&self, repository: &str, reference: &str) {
        self.store.write(repository, |content| {
            content.manifests.remove(reference);
        });
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut all = self.store.0.write().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }

    fn push_tagged(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        manifest: &serde_json::Value,
    ) -> Result<Image> {
        let (host, path) = repository
            .split_once('/')
            .ok_or_else(|| anyhow!("{repository:?} is not a host and a path"))?;
        let bytes = manifest.to_string();
        let pushed = self.push_manifest(repository, tag, media_type, bytes.as_bytes());
        Ok(Image {
            repository: Repository::new(host, path),
            tag: tag.to_owned(),
            digest: pushed.digest,
            media_type: pushed.media_type,
            size: pushed.size,
        })
    }
}

impl Drop for MemoryRegistry {
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

impl Blob {
    fn new(descriptor: &Descriptor, bytes: &[u8]) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.clone(),
            bytes: Bytes::copy_from_slice(bytes),
        }
    }
}

impl Store {
    fn write(&self, repository: &str, change: impl FnOnce(&mut Content)) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(repository.to_owned()).or_default());
    }

    fn read<T>(&self, repository: &str, look: impl FnOnce(&Content) -> Option<T>) -> Option<T> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(repository).and_then(look)
    }
}
