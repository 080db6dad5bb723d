//! A folder that stands in for a node's files.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use image_verifier::credentials::{Candidates, Target, find};
use image_verifier::environment::Environment;
use policy::paths::STATE_DIR;
use policy::verifier::Access;
use std::time::Duration;

/// How long a credential provider may take. Those here answer at once, on a busy machine as well.
const PATIENCE: Duration = Duration::from_mins(1);

/// One for each thread: statics would never be removed.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    /// A folder of the verifier's own, which nobody else may write.
    pub(super) fn state(&self) {
        let mut folder = fs::DirBuilder::new();
        let path = self.root().join(STATE_DIR);
        folder.recursive(true).mode(0o700);
        folder.create(path).expect("a folder");
    }

    /// Replaces the content of a file.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        self.open(path, bytes, 0o600);
    }

    /// A program that root alone can write.
    pub(super) fn program(&self, path: &str, script: &str) {
        self.open(path, script.as_bytes(), 0o700);
    }

    fn open(&self, path: &str, bytes: &[u8], mode: u32) {
        let path = self.root().join(path);
        let folder = path.parent().expect("a folder");
        if !folder.exists() {
            let mut folders = fs::DirBuilder::new();
            folders.recursive(true).mode(0o700);
            folders.create(folder).expect("a folder");
        }
        let mut options = fs::OpenOptions::new();
        let file = options
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&path);
        file.and_then(|mut file| file.write_all(bytes))
            .unwrap_or_else(|error| unusable(&path, &error));
    }

    /// The credentials that are found for an image.
    pub(super) fn credentials(&self, image: &str, access: &Access) -> Candidates {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(find(
            &Target::new(image),
            access,
            &Environment::default(),
            self.root(),
            PATIENCE,
        ))
    }
}

#[expect(clippy::panic, reason = "without files nothing is tested")]
fn unusable(path: &Path, error: &std::io::Error) -> ! {
    panic!("{}: {error}", path.display())
}
