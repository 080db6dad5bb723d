//! How a peer is built.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, process};

use anyhow::{Context as _, Result, bail};

use super::Peer;
use crate::cache::{self, Key};
use crate::command;

impl Peer {
    pub(super) fn module(&self) -> PathBuf {
        cache::workspace().join("tests/peers").join(self.name)
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            "-trimpath".into(),
            "-mod=readonly".into(),
            "-buildvcs=false".into(),
        ];
        flags.push(format!("-ldflags=-s -w {}", self.ldflags).trim_end().into());
        if !self.tags.is_empty() {
            flags.push(format!("-tags={}", self.tags));
        }
        flags
    }

    /// The folder that this peer's build has, or will have.
    pub(super) fn home(&self, root: &Path) -> Result<PathBuf> {
        let module = self.module();
        let mut key = Key::new().and(go_version(&module)?);
        for path in files(&module)? {
            key = key.and(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
        key = self.flags().iter().fold(key, Key::and);
        if self.cgo {
            key = key.and("cgo");
        }
        key = self
            .binaries
            .iter()
            .fold(key, |key, binary| key.and(binary.package));
        Ok(root.join(format!("{}-{key}", self.name)))
    }

    /// Builds into a temporary folder, which takes its name only when whole.
    pub(super) fn build(&self, home: &Path) -> Result<()> {
        // Not by its extension: the names of versions have dots.
        let beside = |end: &str| {
            let mut path = home.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        let temporary = beside(&format!(".{}.tmp", process::id()));
        let bin = temporary.join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("create {}", bin.display()))?;

        let mut go = go(&self.module());
        if self.cgo {
            go.env("CGO_ENABLED", "1");
        }
        go.arg("build").args(self.flags());
        // A folder as output takes several programs; it must end in a slash or exist.
        go.arg("-o").arg(&bin);
        go.args(self.binaries.iter().map(|binary| binary.package));
        let log = beside(".log");
        command::run_logged(&format!("peers: building {}", self.name), &mut go, &log)?;

        for binary in self.binaries {
            fs::rename(bin.join(binary.built), bin.join(binary.name))
                .with_context(|| format!("go built no {} for {}", binary.built, self.name))?;
        }
        fs::rename(&temporary, home).with_context(|| format!("rename to {}", home.display()))
    }
}

/// Every file of a module: its pins, and what little code of our own there is.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("list {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The version of Go that builds this module (its go.mod may choose another toolchain).
fn go_version(module: &Path) -> Result<Vec<u8>> {
    let output = go(module)
        .args(["env", "GOVERSION", "GOOS", "GOARCH"])
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "`go` is not on the PATH: the servers that the tests talk to are built from Go \
             modules; install Go as tests/peers/*/go.mod say (https://go.dev/dl/)"
        ),
        output => output.context("start `go env`")?,
    };
    if !output.status.success() {
        bail!(
            "`go env` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

fn go(module: &Path) -> Command {
    let mut go = Command::new("go");
    // Static programs: they run wherever the cache is carried to.
    go.current_dir(module)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    go
}
