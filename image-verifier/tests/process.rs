//! The program as containerd runs it.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "test-root")]
mod support;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use policy::digest::Digest;

const MEDIA_TYPE: &str = "application/vnd.oci.descriptor.v1+json";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodeseal-verifier"));
    command.args(arguments).env_clear();
    command
}

fn run(arguments: &[&str], stdin: &str) -> Output {
    finish(command(arguments), stdin)
}

fn finish(mut command: Command, stdin: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end before it has read its input.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn descriptor(digest: &Digest) -> String {
    let media_type = "application/vnd.oci.image.index.v1+json";
    format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"{digest}\",\"size\":1}}\n")
}

fn pull(name: &str, digest: &Digest, stdin_digest: &Digest) -> Output {
    let arguments = [
        "-name",
        name,
        "-digest",
        digest.as_str(),
        "-stdin-media-type",
        MEDIA_TYPE,
    ];
    run(&arguments, &descriptor(stdin_digest))
}

fn assert_refused(output: &Output, code: i32, start: &str) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{stdout}");
    assert!(stdout.starts_with(start), "{stdout}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
}

#[test]
fn a_call_that_is_no_verification_never_ends_with_zero() {
    assert_refused(&run(&["--version"], ""), 2, "nodeseal-verifier ");
    for arguments in [
        &[][..],
        &["--help"],
        &["-name"],
        &["-name", "a", "-digest", "b"],
    ] {
        assert_refused(
            &run(arguments, ""),
            1,
            "SignatureValidationFailed: InvalidRequest (fatal)",
        );
    }
}

#[test]
fn arguments_and_stdin_that_disagree_are_an_invalid_request() {
    let (digest, other) = (Digest::of(b"a"), Digest::of(b"b"));
    let start = "SignatureValidationFailed: InvalidRequest (fatal): ";
    assert_refused(&pull("example.com/app:v1", &digest, &other), 1, start);
    let name = format!("example.com/app@{other}");
    assert_refused(&pull(&name, &digest, &digest), 1, start);
}

#[test]
fn a_name_that_does_not_parse_is_an_invalid_reference() {
    let digest = Digest::of(b"a");
    let start = "SignatureValidationFailed: InvalidReference (fatal): ";
    for name in [
        "example.com/App:v1",
        "example.com:0443/app",
        "a b",
        "https://example.com/app",
    ] {
        assert_refused(&pull(name, &digest, &digest), 1, start);
    }
}

/// The limits that the process sets itself, by their names in `/proc/<pid>/limits`: for itself, and
/// for programs that it starts.
const LIMITS: [(&str, u64, u64); 5] = [
    ("Max data size", 40 * 1024 * 1024, 512 * 1024 * 1024),
    (
        "Max address space",
        2 * 1024 * 1024 * 1024,
        2 * 1024 * 1024 * 1024,
    ),
    ("Max open files", 256, 256),
    ("Max core file size", 0, 0),
    ("Max file size", 64 * 1024 * 1024, 64 * 1024 * 1024),
];

/// The soft and the hard limits of a process.
fn limits_of(id: u32) -> [(String, String); 5] {
    let text = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    LIMITS.map(|(name, ..)| {
        let values = text.lines().find_map(|line| line.strip_prefix(name));
        let mut values = values.unwrap().split_whitespace().map(str::to_owned);
        (values.next().unwrap(), values.next().unwrap())
    })
}

/// Starts `command` and asserts that it comes to have `wanted` as its soft and hard limits, and to
/// be preferred when memory is short.
#[track_caller]
fn assert_limits(mut command: Command, wanted: [(u64, u64); 5]) {
    let mut child = command
        // Stays open, and nothing comes: the process waits.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let wanted = wanted.map(|(soft, hard)| (soft.to_string(), hard.to_string()));
    let score = || {
        let path = format!("/proc/{}/oom_score_adj", child.id());
        let text = std::fs::read_to_string(path).unwrap();
        text.trim().parse::<i32>().unwrap()
    };
    let started = Instant::now();
    let mut found = (limits_of(child.id()), score());
    // It takes a moment until the process has got there.
    while (found.0 != wanted || found.1 < 500) && started.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
        found = (limits_of(child.id()), score());
    }
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found.0, wanted);
    assert!(found.1 >= 500, "{}", found.1);
    assert_eq!(ended, None);
}

/// The arguments of a pull that gets as far as to read stdin.
fn waiting(digest: &Digest) -> [&str; 6] {
    let name = "example.com/app:v1";
    let digest = digest.as_str();
    [
        "-name",
        name,
        "-digest",
        digest,
        "-stdin-media-type",
        MEDIA_TYPE,
    ]
}

#[test]
fn memory_and_files_of_the_process_are_limited() {
    let digest = Digest::of(b"a");
    let own = LIMITS.map(|(_, soft, hard)| (soft, hard));
    assert_limits(command(&waiting(&digest)), own);
}

#[test]
fn limits_that_are_lower_already_are_left_alone() {
    // Where the tests run as root, raising them would be possible.
    let lower = "ulimit -d 32768 && ulimit -v 1048576 && ulimit -n 128 && ulimit -f 2048 && exec \"$0\" \"$@\"";
    let digest = Digest::of(b"a");
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", lower, env!("CARGO_BIN_EXE_nodeseal-verifier")])
        .args(waiting(&digest))
        .env_clear();
    let lower = [32_768 * 1024, 1_048_576 * 1024, 128, 0, 2048 * 512];
    assert_limits(shell, lower.map(|limit| (limit, limit)));
}

#[cfg(not(feature = "test-root"))]
#[test]
fn without_a_policy_nothing_is_pulled_wherever_the_environment_points() {
    let own = std::path::Path::new("/").join(policy::paths::VERIFIER_POLICY);
    assert!(
        !own.exists(),
        "{} exists, and the production build reads nothing else: this test wants a machine that is no node",
        own.display()
    );
    let digest = Digest::of(b"a");
    let name = "example.com/app:v1";
    let arguments = [
        "-name",
        name,
        "-digest",
        digest.as_str(),
        "-stdin-media-type",
        MEDIA_TYPE,
    ];
    let mut command = command(&arguments);
    command
        .env("NODESEAL_TEST_ROOT", "/tmp")
        .env("HOME", "/tmp");
    let start = "SignatureValidationFailed: PolicyError (fatal): the policy: /etc/nodeseal";
    assert_refused(&finish(command, &descriptor(&digest)), 1, start);
}

/// With a policy of the test's own: run with `--features test-root`.
#[cfg(feature = "test-root")]
mod with_policy {
    use policy::bundle::DefaultAction;
    use policy::paths::VERIFIER_POLICY;

    use super::support::registry::{Content, Registry, Reply};
    use super::support::sign::Signer;
    use super::support::{draft, limits, policy_of};
    use super::*;

    fn root(timeout: Duration) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(VERIFIER_POLICY);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let drafts = [draft(&[("a", &Signer::new())])];
        let policy = policy_of(&drafts, DefaultAction::Allow, &[], limits(timeout));
        std::fs::write(path, policy.to_json()).unwrap();
        root
    }

    fn pull(root: &tempfile::TempDir, name: &str) -> Command {
        let digest = Digest::of(b"a");
        let arguments = [
            "-name",
            name,
            "-digest",
            digest.as_str(),
            "-stdin-media-type",
            MEDIA_TYPE,
        ];
        let mut command = command(&arguments);
        command.env("NODESEAL_TEST_ROOT", root.path());
        command
    }

    #[test]
    fn an_image_that_no_policy_covers_is_allowed() {
        let root = root(Duration::from_secs(10));
        let output = finish(
            pull(&root, "example.com/app:v1"),
            &descriptor(&Digest::of(b"a")),
        );
        assert_refused(
            &output,
            0,
            "nodeseal: allowed: no enforcing policy covers it",
        );
    }

    #[test]
    fn an_image_whose_registry_is_away_is_refused_as_transient() {
        let root = root(Duration::from_secs(10));
        let output = finish(
            pull(&root, "127.0.0.1:1/app:v1"),
            &descriptor(&Digest::of(b"a")),
        );
        assert_refused(
            &output,
            1,
            "SignatureValidationFailed: RegistryError (transient): policy",
        );
    }

    #[test]
    fn a_large_policy_has_its_own_room_in_memory() {
        let root = root(Duration::from_secs(10));
        let path = root.path().join(VERIFIER_POLICY);
        let mut text = std::fs::read(&path).unwrap();
        text.resize(8 * 1024 * 1024, b'\n');
        std::fs::write(path, &text).unwrap();
        let own = LIMITS.map(|(name, soft, hard)| match name {
            "Max data size" => (soft + 4 * text.len() as u64, hard),
            _ => (soft, hard),
        });
        assert_limits(pull(&root, "example.com/app:v1"), own);
    }

    /// It may well be a large one, such as those that are written in Go.
    #[tokio::test]
    async fn a_program_that_hands_out_credentials_has_more_memory_than_the_verifier() {
        let mut content = Content::default();
        content.handle(|_, _| Some(Reply::status(401).with("WWW-Authenticate", "Basic")));
        let registry = Registry::start_on(0, content).await;
        let root = root(Duration::from_secs(10));
        let drafts = [draft(&[("a", &Signer::new())])];
        let limits = limits(Duration::from_secs(10));
        let mut policy = policy_of(&drafts, DefaultAction::Allow, &[], limits);
        policy.access.docker_configs = vec!["/config.json".to_owned()];
        std::fs::write(root.path().join(VERIFIER_POLICY), policy.to_json()).unwrap();
        let config = r#"{"credsStore": "x"}"#;
        std::fs::write(root.path().join("config.json"), config).unwrap();
        let told = root.path().join("told");
        let script = format!("#!/bin/sh\nulimit -d >{}\n", told.display());
        let helper = root.path().join("usr/bin/docker-credential-x");
        std::fs::create_dir_all(helper.parent().unwrap()).unwrap();
        // A process of its own writes it: no other test's child holds it open then.
        let written = Command::new("/bin/sh")
            .args(["-c", "printf %s \"$1\" >\"$0\" && chmod 0755 \"$0\""])
            .args([helper.as_os_str(), script.as_ref()])
            .status()
            .unwrap();
        assert!(written.success());
        let command = pull(&root, &format!("{}/app:v1", registry.address));
        let descriptor = descriptor(&Digest::of(b"a"));
        let run = move || finish(command, &descriptor);
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert_refused(&output, 1, "SignatureValidationFailed: RegistryDenied");
        let told = std::fs::read_to_string(told).unwrap();
        assert_eq!(told.trim(), (512 * 1024).to_string());
    }

    #[test]
    fn an_invalid_policy_refuses_what_it_covers_unless_it_is_in_audit_mode() {
        let root = root(Duration::from_secs(10));
        let path = root.path().join(VERIFIER_POLICY);
        let good: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let run = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut changed = good.clone();
            change(&mut changed["policies"]["release"]);
            std::fs::write(&path, changed.to_string()).unwrap();
            let name = "127.0.0.1:1/app:v1";
            finish(pull(&root, name), &descriptor(&Digest::of(b"a")))
        };
        let refused = "SignatureValidationFailed: PolicyError (fatal): the policy: ";
        let output = run(&|policy| policy["threshold"] = 7.into());
        assert_refused(&output, 1, refused);
        let output = run(&|policy| {
            policy["mode"] = "Audit".into();
            policy["extra"] = 0.into();
        });
        assert_refused(&output, 1, refused);
        let output = run(&|policy| {
            policy["mode"] = "Audit".into();
            policy["threshold"] = 7.into();
        });
        assert_refused(
            &output,
            0,
            "nodeseal: allowed: no enforcing policy covers it",
        );
        let line: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(line["policy"], "release");
        assert_eq!(line["would"], "unknown");
        assert_eq!(line["reason"], "PolicyError");
    }

    #[test]
    fn the_watchdog_answers_when_the_process_is_stuck() {
        let root = root(Duration::from_secs(5));
        let started = Instant::now();
        let mut command = pull(&root, "127.0.0.1:1/app:v1");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // stdin stays open, and nothing comes.
        let stdin = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        let taken = started.elapsed();
        // At 85 % of the policy's time-out, and what a busy machine adds; without a policy it would
        // be 8.5 s.
        let (least, most) = (Duration::from_secs(4), Duration::from_secs(7));
        assert!((least..most).contains(&taken), "{taken:?}");
        assert_refused(
            &output,
            1,
            "SignatureValidationFailed: TimedOut (transient): ",
        );
    }
}
