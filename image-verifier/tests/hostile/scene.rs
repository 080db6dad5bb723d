//! A pull through the program, as containerd runs it, from a registry that attacks.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use image_verifier::reason::Reason;
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::paths::VERIFIER_POLICY;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::memory::FullPipe;
use crate::support::registry::{INDEX, MANIFEST};
use crate::support::sign::{BUNDLE, SIMPLE, Signer, payload};
use crate::support::{digest, draft, limits, policy_of};
use crate::wire::{Script, Server, reply};

/// The most memory that the program may come to hold, whatever it is served.
pub(crate) const MAX_MEMORY: u64 = 64 * 1024 * 1024;
/// containerd's time-out. The program answers after 80 % of it; what remains is what a busy machine
/// may add.
const TIMEOUT: Duration = Duration::from_secs(6);

/// How the image is signed, as long as nobody interferes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// Under the tag for signatures.
    Attachment,
    /// By a bundle that the referrers API lists.
    Bundle,
}

/// What an honest registry would say to a request.
#[derive(Debug, Clone)]
pub(crate) struct Honest {
    /// Which thing it is about.
    pub(crate) what: What,
    /// How many requests for this path came before.
    pub(crate) before: usize,
    /// `127.0.0.1:port` of the registry.
    pub(crate) host: String,
    /// The path.
    pub(crate) path: String,
    /// The type and the bytes; nothing where there is nothing.
    pub(crate) content: Option<(&'static str, Vec<u8>)>,
}

/// What requests are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The manifest of signatures under its tag.
    Manifest,
    /// The list of referrers.
    Referrers,
    /// The list under the tag that stands in for it.
    FallbackIndex,
    /// A manifest by its digest.
    Referrer,
    /// A payload or a bundle.
    Blob,
    /// Something else, which an attack has led to.
    Other,
}

impl Honest {
    pub(crate) fn reply(&self) -> Script {
        match &self.content {
            Some((kind, bytes)) => reply(200, &[("Content-Type", kind)], bytes),
            None => reply(404, &[], b""),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.content.as_ref().map_or(&[], |(_, bytes)| bytes)
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.content.as_ref().map_or("", |(kind, _)| kind)
    }
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    code: Option<i32>,
    line: String,
    /// The most memory that it held, in bytes.
    peak: u64,
    /// What it asked for.
    pub(crate) asked: Vec<String>,
}

/// Pulls an image that is signed by the policy's key, from a registry that does what `attack` says
/// and is honest where that says nothing.
pub(crate) async fn pull(
    shape: Signed,
    attack: impl Fn(&Honest) -> Option<Script> + Send + Sync + 'static,
) -> Outcome {
    pull_within(None, shape, attack).await
}

/// As [`pull`], by a program that may take no more private memory than `data` KiB, where that is less
/// than it takes by itself.
pub(crate) async fn pull_within(
    data: Option<u64>,
    shape: Signed,
    attack: impl Fn(&Honest) -> Option<Script> + Send + Sync + 'static,
) -> Outcome {
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = reserved.local_addr().unwrap().port();
    drop(reserved);
    let host = format!("127.0.0.1:{port}");
    let signer = Signer::new();
    let content = content(shape, &signer, &format!("{host}/app"));
    let address = host.clone();
    let handler = move |path: &str, before: usize| {
        let rest = path.strip_prefix("/v2/app/").unwrap_or_default();
        let found = content.iter().find(|(path, ..)| path == rest);
        let honest = Honest {
            what: what(rest),
            before,
            host: address.clone(),
            path: path.to_owned(),
            content: found.map(|(_, kind, bytes)| (*kind, bytes.clone())),
        };
        attack(&honest).unwrap_or_else(|| honest.reply())
    };
    let server = Server::start(port, Box::new(handler)).await;
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(VERIFIER_POLICY);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let policy = policy_of(
        &[draft(&[("a", &signer)])],
        DefaultAction::Allow,
        &[],
        limits(TIMEOUT),
    );
    fs::write(path, policy.to_json()).unwrap();
    let program = env!("CARGO_BIN_EXE_nodeseal-verifier");
    let mut command = match data {
        None => Command::new(program),
        Some(data) => {
            let mut shell = Command::new("/bin/sh");
            let limited = format!("ulimit -d {data} && exec \"$0\" \"$@\"");
            shell.args(["-c", &limited, program]);
            shell
        }
    };
    let digest = digest();
    command
        .args([
            "-name",
            &format!("{host}/app:v1"),
            "-digest",
            digest.as_str(),
        ])
        .args([
            "-stdin-media-type",
            "application/vnd.oci.descriptor.v1+json",
        ])
        .env_clear()
        .env("NODESEAL_TEST_ROOT", root.path());
    let (code, line, peak) = run(command).await;
    let asked = server.asked();
    Outcome {
        code,
        line,
        peak,
        asked,
    }
}

/// What the honest registry holds, by path below the repository.
fn content(shape: Signed, signer: &Signer, name: &str) -> Vec<(String, &'static str, Vec<u8>)> {
    let bytes = |value: serde_json::Value| value.to_string().into_bytes();
    let octets = "application/octet-stream";
    match shape {
        Signed::Attachment => {
            let payload = payload(&digest(), name).into_bytes();
            let blob = Digest::of(&payload);
            let signature = signer.sign(&payload);
            let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [
                {"mediaType": SIMPLE, "digest": blob, "size": payload.len(),
                    "annotations": {"dev.cosignproject.cosign/signature": signature}}]});
            let tag = format!("manifests/sha256-{}.sig", digest().hex());
            vec![
                (tag, MANIFEST, bytes(manifest)),
                (format!("blobs/{blob}"), octets, payload),
            ]
        }
        Signed::Bundle => {
            let bundle = bytes(signer.bundle(&digest()));
            let blob = Digest::of(&bundle);
            let referrer = bytes(json!({"schemaVersion": 2, "mediaType": MANIFEST,
                "artifactType": BUNDLE, "layers": [
                    {"mediaType": BUNDLE, "digest": blob, "size": bundle.len()}]}));
            let by_digest = Digest::of(&referrer);
            let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
                {"mediaType": MANIFEST, "digest": by_digest, "size": referrer.len(),
                    "artifactType": BUNDLE}]});
            vec![
                (format!("referrers/{}", digest()), INDEX, bytes(index)),
                (format!("manifests/{by_digest}"), MANIFEST, referrer),
                (format!("blobs/{blob}"), octets, bundle),
            ]
        }
    }
}

fn what(path: &str) -> What {
    let tag = format!("manifests/sha256-{}", digest().hex());
    match path.strip_prefix(&tag) {
        Some(".sig") => What::Manifest,
        Some(_) => What::FallbackIndex,
        None if path.starts_with("referrers/") => What::Referrers,
        None if path.starts_with("manifests/sha256:") => What::Referrer,
        None if path.starts_with("blobs/") => What::Blob,
        None => What::Other,
    }
}

/// Runs the program as containerd does, and ends it at the time-out as containerd does. Gives the most
/// memory that it held, too.
async fn run(mut command: Command) -> (Option<i32>, String, u64) {
    let (answer, stdout) = FullPipe::new();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It holds an end of the pipe.
    drop(command);
    let id = Pid::from_child(&child);
    let media_type = "application/vnd.oci.image.index.v1+json";
    let descriptor = json!({"mediaType": media_type, "digest": digest(), "size": 1});
    // The program may end before it has read its input.
    let _ = write!(child.stdin.take().unwrap(), "{descriptor}");
    let mut waiting = tokio::task::spawn_blocking(move || {
        let (line, peak) = answer.read(&mut child);
        (child.wait().unwrap().code(), line, peak)
    });
    if let Ok(ended) = tokio::time::timeout(TIMEOUT, &mut waiting).await {
        return ended.unwrap();
    }
    let _ = kill_process(id, Signal::KILL);
    waiting.await.unwrap()
}

impl Outcome {
    fn is_bounded(&self, what: &str) {
        let Self {
            code,
            line,
            peak,
            asked,
        } = self;
        let (asked, line) = (asked.len(), line.trim_end());
        println!("{what}: {} KiB, {asked} requests: {line}", peak / 1024);
        assert!(code.is_some(), "{what}: containerd had to end it: {line}");
        assert!(*peak < MAX_MEMORY, "{what}: {peak} bytes");
        assert_eq!(line.lines().count(), 1, "{what}: {line}");
    }

    #[track_caller]
    pub(crate) fn allowed(&self, what: &str) {
        self.is_bounded(what);
        assert_eq!(self.code, Some(0), "{what}: {}", self.line);
    }

    #[track_caller]
    pub(crate) fn refused(&self, what: &str, reason: Reason) {
        self.is_bounded(what);
        let start = format!("SignatureValidationFailed: {} (", reason.as_str());
        assert!(self.line.starts_with(&start), "{what}: {}", self.line);
        assert_eq!(self.code, Some(1), "{what}: {}", self.line);
    }
}

#[tokio::test]
async fn a_signed_image_of_an_honest_registry_is_allowed() {
    for signed in [Signed::Attachment, Signed::Bundle] {
        pull(signed, |_| None).await.allowed(&format!("{signed:?}"));
    }
}
