//! Where builds are kept: outside the checkout, so that a clean checkout reuses them.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::{env, fmt};

use anyhow::{Context as _, Result, bail};

/// The folder of the workspace that this program was built from.
#[must_use]
pub fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// The cache folder: `$NODESEAL_CACHE`, or `nodeseal` in `$XDG_CACHE_HOME` or in `~/.cache`.
pub fn dir() -> Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let dir = if let Some(dir) = set("NODESEAL_CACHE") {
        dir
    } else if let Some(base) = set("XDG_CACHE_HOME") {
        base.join("nodeseal")
    } else if let Some(home) = set("HOME") {
        home.join(".cache/nodeseal")
    } else {
        bail!("no place for the cache: set NODESEAL_CACHE, XDG_CACHE_HOME or HOME");
    };
    std::path::absolute(&dir).with_context(|| format!("cache folder {}", dir.display()))
}

/// The target folder of all builds: cargo's own, so that nothing is compiled twice.
#[must_use]
pub fn target_dir() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty());
    workspace().join(set.unwrap_or_else(|| "target".into()))
}

/// Holds `<dir>/.lock` until dropped, and says so when it has to wait for another process.
pub fn lock(dir: &Path, who: &str) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join(".lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            println!("{who}: waiting for another process to finish its build");
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("lock {}", path.display()));
        }
    }
    file.lock()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// A key over everything that a build depends on (FNV-1a, 64 bit).
///
/// It tells builds apart in a folder of our own; it does not defend against anyone. The standard
/// library's hasher may change with the toolchain, which would rebuild the peers for nothing.
#[derive(Clone, Copy)]
pub struct Key(u64);

impl Key {
    /// The key of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// The key of what was there before, followed by this part.
    #[must_use]
    pub fn and(self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        // The length ends each part, so that parts cannot flow into one another.
        let bytes = part
            .iter()
            .copied()
            .chain((part.len() as u64).to_le_bytes());
        Self(bytes.fold(self.0, |key, byte| {
            (key ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        }))
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn a_key_depends_on_where_parts_end() {
        let key = |parts: &[&str]| parts.iter().fold(Key::new(), Key::and).to_string();
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab"]), key(&["ab", ""]));
    }
}
