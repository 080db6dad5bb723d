//! A node in a temporary folder, and the agent run on it.

// Each test program uses its own part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) const POLICY: &str = "etc/nodeseal/verifier/policy.json";
pub(crate) const DROP_IN: &str = "etc/containerd/conf.d/zz-nodeseal.toml";
pub(crate) const FOLDER: &str = "opt/nodeseal/image-verifier";
pub(crate) const VERIFIER: &str = "opt/nodeseal/image-verifier/nodeseal-verifier";
pub(crate) const STATE_DIR: &str = "var/lib/nodeseal";

const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q
URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==
-----END PUBLIC KEY-----";

/// A policy as a user writes it.
pub(crate) fn policy(name: &str, scope: &str) -> String {
    let key = KEY.replace('\n', "\n          ");
    format!(
        "apiVersion: nodeseal.dev/v1alpha1
kind: ClusterImageSignaturePolicy
metadata:
  name: {name}
spec:
  scopes: [\"{scope}\"]
  authorities:
    - name: release
      key:
        data: |
          {key}
"
    )
}

/// The configuration as a user writes it.
pub(crate) fn config(default_action: &str) -> String {
    format!(
        "apiVersion: nodeseal.dev/v1alpha1
kind: EnforcementConfig
metadata:
  name: default
spec:
  defaultAction: {default_action}
"
    )
}

/// What a run of the agent said.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) status: Value,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn condition(&self, name: &str) -> &Value {
        let conditions = self.status["conditions"].as_array().expect("conditions");
        conditions
            .iter()
            .find(|c| c["type"] == name)
            .expect("the condition")
    }

    /// Reason and message of `Applied`.
    pub(crate) fn applied(&self) -> (&str, &str) {
        let applied = self.condition("Applied");
        (
            applied["reason"].as_str().unwrap(),
            applied["message"].as_str().unwrap(),
        )
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.status[field].to_string()
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{:#}\n{}", self.status, self.stderr);
        self
    }
}

/// A node: a root, a folder of policies, and a verifier to install.
pub(crate) struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    /// A node with containerd's configuration in place.
    pub(crate) fn new() -> Self {
        let node = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(node.policies()).unwrap();
        std::fs::create_dir(node.root()).unwrap();
        let config = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
        node.put("etc/containerd/config.toml", config);
        node.verifier_to_install(b"#!/bin/sh\nexit 0\n");
        node
    }

    /// Another node that is the same, byte for byte.
    pub(crate) fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let from = self.dir.path().join(".");
        let done = Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(done.success());
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.dir.path().join("policies")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file below the root.
    pub(crate) fn put(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.at(path)).ok()
    }

    pub(crate) fn read_text(&self, path: &str) -> String {
        String::from_utf8(self.read(path).expect(path)).unwrap()
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        std::fs::metadata(self.at(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    }

    /// Writes a file into the policy folder.
    pub(crate) fn policy_file(&self, name: &str, text: &str) {
        std::fs::write(self.policies().join(name), text).unwrap();
    }

    pub(crate) fn remove_policy_file(&self, name: &str) {
        std::fs::remove_file(self.policies().join(name)).unwrap();
    }

    pub(crate) fn verifier_to_install(&self, bytes: &[u8]) {
        std::fs::write(self.dir().join("verifier"), bytes).unwrap();
    }

    /// The agent with the usual arguments; `--once` and the like are the caller's.
    pub(crate) fn agent(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nodeseal-agent"));
        command
            .args(["--runtime", "containerd"])
            .arg("--policy-dir")
            .arg(self.policies())
            .arg("--root")
            .arg(self.root())
            .arg("--verifier")
            .arg(self.dir().join("verifier"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn once(&self) -> Ran {
        self.once_with(&[])
    }

    pub(crate) fn once_with(&self, args: &[&str]) -> Ran {
        ran(self.agent().args(["--once", "--output", "json"]).args(args))
    }

    /// Every file below the root but the lock, which holds a process id, with its inode: a file
    /// that was written again has another.
    pub(crate) fn files(&self) -> BTreeMap<String, (u64, Vec<u8>)> {
        let mut files = BTreeMap::new();
        collect(&self.root(), &self.root(), &mut files);
        files.remove("var/lib/nodeseal/lock");
        files
    }

    /// Names of temporary files anywhere, and of a journal.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let is_leftover = |path: &String| {
            path.contains("nodeseal-tmp")
                || path.starts_with("var/lib/nodeseal/backup/rollback/")
                || path.as_str() == "var/lib/nodeseal/journal"
        };
        let folders = ["opt/nodeseal/staging/.image-verifier.nodeseal-tmp"];
        let folders = folders.iter().filter(|path| self.at(path).exists());
        let mut leftovers: Vec<String> = self.files().into_keys().filter(is_leftover).collect();
        leftovers.extend(folders.map(|&path| path.to_owned()));
        leftovers
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        status: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, (u64, Vec<u8>)>) {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            collect(root, &path, files);
        } else if meta.is_file() {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            files.insert(name, (meta.ino(), std::fs::read(&path).unwrap()));
        }
    }
}
