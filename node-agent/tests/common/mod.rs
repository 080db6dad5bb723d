//! A node in a temporary folder, and the agent run on it.

// Each test program uses its own part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
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

/// A policy of one namespace, as a user writes it.
pub(crate) fn namespaced(namespace: &str, name: &str, scope: &str) -> String {
    policy(name, scope)
        .replace("ClusterImageSignaturePolicy", "ImageSignaturePolicy")
        .replace("metadata:", &format!("metadata:\n  namespace: {namespace}"))
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
    runtime: Runtime,
}

#[derive(Clone, Copy)]
enum Runtime {
    Containerd,
    Crio,
}

/// A configuration under which no verifier is run until a drop-in says otherwise.
pub(crate) const CONTAINERD: &str = "version = 3
imports = ['/etc/containerd/conf.d/*.toml']
[plugins.'io.containerd.image-verifier.v1.bindir']
max_verifiers = 0
";

/// The policy.json that distributions ship, more or less.
pub(crate) const SHIPPED: &str =
    "{\n  \"default\": [ {\"type\": \"insecureAcceptAnything\"} ]\n}\n";
pub(crate) const CRIO_POLICY: &str = "etc/crio/policy.json";
pub(crate) const REGISTRIES: &str = "etc/containers/registries.d/nodeseal.yaml";
pub(crate) const NAMESPACES: &str = "etc/crio/policies";

impl Node {
    /// A node with containerd's configuration in place.
    pub(crate) fn new() -> Self {
        let node = Self::empty(Runtime::Containerd);
        node.put("etc/containerd/config.toml", CONTAINERD);
        node.verifier_to_install(b"#!/bin/sh\nexit 0\n");
        node
    }

    /// A node with CRI-O's configuration and policy in place, as its packages ship them.
    pub(crate) fn crio() -> Self {
        let node = Self::empty(Runtime::Crio);
        let config = "[crio.image]\nsignature_policy = \"/etc/crio/policy.json\"\n";
        node.put("etc/crio/crio.conf.d/10-crio.conf", config);
        node.put(CRIO_POLICY, SHIPPED);
        node.put("etc/containers/registries.d/default.yaml", "# nothing\n");
        node
    }

    fn empty(runtime: Runtime) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Self { dir, runtime };
        std::fs::create_dir(node.policies()).unwrap();
        std::fs::create_dir(node.root()).unwrap();
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
        let runtime = self.runtime;
        Self { dir, runtime }
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
        match self.runtime {
            Runtime::Containerd => command
                .args(["--runtime", "containerd", "--verifier"])
                .arg(self.dir().join("verifier")),
            Runtime::Crio => command.args(["--runtime", "cri-o", "--runtime-version", "1.34.1"]),
        };
        command
            .arg("--policy-dir")
            .arg(self.policies())
            .arg("--root")
            .arg(self.root())
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

    /// The copies in the backup folder, without the notes beside them.
    pub(crate) fn copies(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.at("var/lib/nodeseal/backup")).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("etc+") && name.strip_suffix(".json").is_none())
            .collect()
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

/// Runs the agent with the fault at point `n`: true if it was killed there.
pub(crate) fn killed_at(node: &Node, n: u64) -> bool {
    let mut command = node.agent();
    command
        .arg("--once")
        .env("NODESEAL_FAULT_AT", n.to_string());
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    match (status.signal(), status.code()) {
        (Some(9), None) => true,
        (None, Some(0)) => false,
        other => panic!("fault {n}: the agent ended with {other:?}"),
    }
}

/// The nodes that a kill leaves with a journal, one for each point that there is.
pub(crate) fn interrupted(start: &Node) -> Vec<Node> {
    let mut nodes = Vec::new();
    for n in 1.. {
        let node = start.copy();
        if !killed_at(&node, n) {
            break;
        }
        if node.read("var/lib/nodeseal/journal").is_some() {
            nodes.push(node);
        }
    }
    nodes
}
