//! The cache and the log of verdicts, with the program as containerd runs it: run with
//! `--features test-root`.
#![cfg(feature = "test-root")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use policy::bundle::DefaultAction;
use policy::model::{Mode, PolicyDraft, PolicyId};
use policy::paths::{STATE_DIR, VERIFIER_POLICY};
use policy::verdicts::{CURRENT, DIR, Kind, Record};

use support::registry::{Content, Registry, Reply};
use support::sign::{Signer, attach};
use support::{digest, draft, limits, policy_of};

/// A node with a policy, and a registry with a signed image.
struct World {
    root: tempfile::TempDir,
    signer: Signer,
    registry: Serving,
}

/// A registry in a thread of its own, until it is dropped.
struct Serving {
    registry: Registry,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Serving {
    fn start(port: u16, content: Content) -> Self {
        let (ready, wait) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                ready.send(Registry::start_on(port, content).await).unwrap();
                let _ = stopped.await;
            });
        });
        Self {
            registry: wait.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop();
    }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// `change` may change what is served.
    fn with(change: impl FnOnce(&mut Content)) -> Self {
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = reserved.local_addr().unwrap().port();
        drop(reserved);
        let signer = Signer::new();
        let mut content = Content::default();
        let layer = signer.layer(&mut content, &digest(), &format!("127.0.0.1:{port}/app"));
        attach(&mut content, &digest(), &[layer]);
        change(&mut content);
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(STATE_DIR)).unwrap();
        let world = Self {
            root,
            registry: Serving::start(port, content),
            signer,
        };
        world.policies(&[world.draft()], Duration::from_mins(1));
        world
    }

    fn draft(&self) -> PolicyDraft {
        draft(&[("a", &self.signer)])
    }

    fn policies(&self, drafts: &[PolicyDraft], timeout: Duration) {
        let path = self.root.path().join(VERIFIER_POLICY);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let policy = policy_of(drafts, DefaultAction::Allow, &[], limits(timeout));
        fs::write(path, policy.to_json()).unwrap();
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join(STATE_DIR).join("cache")
    }

    /// How often the signature was asked for.
    fn lookups(&self) -> usize {
        let requests = self.registry.registry.requests();
        requests.iter().filter(|path| is_lookup(path)).count()
    }

    fn spawn(&self, tag: &str) -> Child {
        let name = format!("{}/app:{tag}", self.registry.registry.address);
        let media_type = "application/vnd.oci.descriptor.v1+json";
        let mut child = Command::new(env!("CARGO_BIN_EXE_nodeseal-verifier"))
            .args(["-name", &name, "-digest", digest().as_str()])
            .args(["-stdin-media-type", media_type])
            .env_clear()
            .env("NODESEAL_TEST_ROOT", self.root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let descriptor = format!(
            "{{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"{}\",\"size\":1}}\n",
            digest()
        );
        // It may have ended already.
        let _ = child.stdin.take().unwrap().write_all(descriptor.as_bytes());
        child
    }

    #[track_caller]
    fn pull(&self, tag: &str) -> Output {
        allowed(self.spawn(tag))
    }

    fn records(&self) -> Vec<Record> {
        let log = fs::read(self.root.path().join(DIR).join(CURRENT)).unwrap();
        let lines = log.split(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        lines.map(|line| Record::parse(line).unwrap()).collect()
    }
}

/// Whether a path is that of the attachment with the signature.
fn is_lookup(path: &str) -> bool {
    path == format!("manifests/sha256-{}.sig", digest().hex())
}

#[track_caller]
fn allowed(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(
        stdout.starts_with("nodeseal: allowed: signed by a"),
        "{stdout}"
    );
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    output
}

/// The entries of a cache.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let folders = |path: &Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let buckets = folders(cache).filter(|path| !path.ends_with("flights"));
    buckets.flat_map(|bucket| folders(&bucket)).collect()
}

#[test]
fn a_second_pull_asks_nobody() {
    let mut world = World::new();
    let first = world.pull("v1");
    let asked = world.registry.registry.requests().len();
    let second = world.pull("v1");
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(world.registry.registry.requests().len(), asked);
    world.registry.stop();
    world.pull("v1");
    let cached: Vec<bool> = world.records().iter().map(|record| record.cached).collect();
    assert_eq!(cached, [false, true, true]);
}

#[test]
fn another_name_or_policy_asks_again_and_an_unrelated_policy_does_not() {
    let world = World::new();
    world.pull("v1");
    world.pull("v2");
    assert_eq!(world.lookups(), 2);
    let mut unrelated = draft(&[("x", &Signer::new())]);
    unrelated.id = PolicyId::Cluster {
        name: "other".to_owned(),
    };
    unrelated.scopes = vec!["other.example".to_owned()];
    world.policies(&[world.draft(), unrelated], Duration::from_mins(1));
    world.pull("v1");
    assert_eq!(world.lookups(), 2);
    let changed = draft(&[("a", &world.signer), ("b", &Signer::new())]);
    world.policies(&[changed], Duration::from_mins(1));
    world.pull("v1");
    assert_eq!(world.lookups(), 3);
}

#[test]
fn a_policy_that_demands_another_signer_gets_no_old_verdict() {
    let world = World::new();
    world.pull("v1");
    let other = draft(&[("a", &Signer::new())]);
    world.policies(&[other], Duration::from_mins(1));
    let output = world.spawn("v1").wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("NoMatchingSignature"), "{stdout}");
    assert_eq!(entries(&world.cache()).len(), 1);
}

#[test]
fn fifty_pulls_of_one_image_look_it_up_once() {
    let world = World::new();
    let children: Vec<Child> = (0..50).map(|_| world.spawn("v1")).collect();
    for child in children {
        allowed(child);
    }
    // Who finds the lock taken and no key in it yet, for too long, does not wait: on a machine that
    // is busy enough that may happen to a few.
    assert!((1..10).contains(&world.lookups()), "{}", world.lookups());
    let records = world.records();
    assert_eq!(records.len(), 50);
    let looked_up = records.iter().filter(|record| !record.cached).count();
    assert_eq!(looked_up, world.lookups());
    assert_eq!(entries(&world.cache()).len(), 1);
}

#[test]
fn fifty_images_at_once_are_all_kept() {
    let mut world = World::new();
    let all = || (0..50).map(|index| world.spawn(&format!("v{index}")));
    let children: Vec<Child> = all().collect();
    for child in children {
        allowed(child);
    }
    assert_eq!(world.lookups(), 50);
    assert_eq!(entries(&world.cache()).len(), 50);
    let children: Vec<Child> = all().collect();
    for child in children {
        allowed(child);
    }
    assert_eq!(world.lookups(), 50);
    world.registry.stop();
    assert_eq!(world.records().len(), 100);
}

/// A registry that never answers the first question for the signature.
fn stalling_once() -> World {
    let first = Arc::new(AtomicBool::new(true));
    World::with(|content| {
        content.handle(move |path, _| {
            let stalls = is_lookup(path) && first.swap(false, Ordering::SeqCst);
            stalls.then_some(Reply::Stall)
        });
    })
}

#[track_caller]
fn until(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_process_that_is_killed_while_it_looks_holds_nobody_up() {
    let world = stalling_once();
    // Long enough that nobody goes on alone.
    world.policies(&[world.draft()], Duration::from_hours(1));
    let mut first = world.spawn("v1");
    until(|| world.lookups() == 1);
    let second = world.spawn("v1");
    first.kill().unwrap();
    first.wait().unwrap();
    allowed(second);
    assert_eq!(world.lookups(), 2);
}

#[test]
fn a_process_that_hangs_while_it_looks_holds_nobody_up() {
    let world = stalling_once();
    world.policies(&[world.draft()], Duration::from_secs(15));
    let mut first = world.spawn("v1");
    until(|| world.lookups() == 1);
    allowed(world.spawn("v1"));
    assert_eq!(world.lookups(), 2);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_damaged_entry_is_looked_up_again() {
    let world = World::new();
    world.pull("v1");
    let entries = entries(&world.cache());
    let text = fs::read_to_string(&entries[0]).unwrap();
    fs::write(&entries[0], text.replace("\"a\"", "\"b\"")).unwrap();
    world.pull("v1");
    assert_eq!(world.lookups(), 2);
    assert_eq!(fs::read(&entries[0]).unwrap().len(), text.len());
    world.pull("v1");
    assert_eq!(world.lookups(), 2);
}

#[test]
fn a_cache_that_was_tampered_with_is_not_used_and_said() {
    let world = World::new();
    let other = tempfile::tempdir().unwrap();
    symlink(other.path(), world.cache()).unwrap();
    for _ in 0..2 {
        let output = world.pull("v1");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("the cache is not used: "), "{stderr}");
    }
    assert_eq!(world.lookups(), 2);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn without_a_state_folder_nothing_is_kept_and_nothing_is_wrong() {
    let world = World::new();
    let state = world.root.path().join(STATE_DIR);
    fs::remove_dir(&state).unwrap();
    for _ in 0..2 {
        assert_eq!(world.pull("v1").stderr, b"");
    }
    assert_eq!(world.lookups(), 2);
    assert!(!state.exists());
}

/// A file system of a few pages, until it is dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(path: &'a Path, options: &str) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(mounted.success(), "mounting a tmpfs needs root");
        Self(path)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_costs_the_cache_and_the_log_and_no_pull() {
    // No room for bytes, and no room for files.
    for options in ["size=16k,mode=0700", "size=1m,nr_inodes=2,mode=0700"] {
        let world = World::new();
        let state = world.root.path().join(STATE_DIR);
        let _disk = Disk::mount(&state, options);
        if let Ok(mut file) = fs::File::create(state.join("filler")) {
            while file.write_all(&[b'x'; 512]).is_ok() {}
        }
        for _ in 0..2 {
            world.pull("v1");
        }
        assert_eq!(world.lookups(), 2, "{options}");
        let _ = fs::remove_file(state.join("filler"));
    }
}

#[test]
fn the_log_has_refusals_with_their_code_and_audits() {
    let world = World::new();
    let mut audit = draft(&[("x", &Signer::new())]);
    audit.id = PolicyId::Cluster {
        name: "audit".to_owned(),
    };
    audit.requirement.mode = Mode::Audit;
    world.policies(&[world.draft(), audit], Duration::from_mins(1));
    for _ in 0..2 {
        world.pull("v1");
    }
    // Where an audit has something to say it is looked up, so that it is said each time.
    assert_eq!(world.lookups(), 2);
    fs::write(world.root.path().join(VERIFIER_POLICY), "{").unwrap();
    let output = world.spawn("v1").wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let seen: Vec<_> = world
        .records()
        .into_iter()
        .map(|record| (record.verdict, record.reason, record.policies))
        .collect();
    let name = |name: &str| vec![name.to_owned()];
    let reason = |reason: &str| Some(reason.to_owned());
    let once = [
        (Kind::Allowed, None, name("release")),
        (Kind::Audit, reason("NoMatchingSignature"), name("audit")),
    ];
    assert_eq!(seen[..2], once);
    assert_eq!(seen[2..4], once);
    assert_eq!(seen[4..], [(Kind::Refused, reason("PolicyError"), vec![])]);
}
