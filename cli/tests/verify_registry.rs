//! `nodeseal verify` and a registry that answers as a test says.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use support::{json, policy, text};

#[allow(dead_code, reason = "not every test needs all of it")]
mod support;

const DIGEST: &str = "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";

/// A registry on this machine: what comes of a request's head goes out. Ends with the test's process.
struct Registry {
    host: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let heads = Arc::default();
        let log = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever hangs up has had enough.
                let _ = serve(stream.unwrap(), &log, &answer);
            }
        });
        Self { host, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<String>>,
    answer: &impl Fn(&str) -> String,
) -> std::io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first)?;
    if first == [0x16] {
        // A TLS greeting.
        return stream.write_all(&reply("400 Bad Request", "", "").into_bytes());
    }
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let answer = answer(&head);
    log.lock().unwrap().push(head);
    stream.write_all(answer.as_bytes())
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// `nodeseal verify IMAGE` by a policy for the registry, as a user whose things are in `desk`.
fn verify(registry: &Registry, image: &str, more: &[&str], desk: &std::path::Path) -> Output {
    let image = format!("{}/{image}", registry.host);
    let mut child = Command::new(env!("CARGO_BIN_EXE_nodeseal"))
        .args(["verify", &image, "-f", "-", "--certs-dir"])
        .arg(desk)
        .args(more)
        .env_clear()
        .env("HOME", "/h")
        .env("PATH", format!("{}:/usr/bin:/bin", desk.display()))
        .env("DOCKER_CONFIG", desk)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let policy = policy(&registry.host);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(policy.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// A folder with `config.json` and a credential helper that runs this script.
fn desk(config: &str, script: &str) -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("config.json"), config).unwrap();
    let helper = desk.path().join("docker-credential-desk");
    // By a process of its own: were it open here for writing while another test forks, it could not be
    // run for a moment.
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat >\"$0\" && chmod 0755 \"$0\""])
        .arg(&helper)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("#!/bin/sh\n{script}\n");
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
    desk
}

#[test]
fn a_credential_helper_runs_as_the_users_own_program() {
    let registry = Registry::start(|head| {
        if head.to_ascii_lowercase().contains("authorization:") {
            return reply("404 Not Found", "", "");
        }
        reply(
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=x\r\n",
            "",
        )
    });
    let config = format!(r#"{{"credHelpers":{{"{}":"desk"}}}}"#, registry.host);
    let script = r#"printf '{"ServerURL":"","Username":"%s","Secret":"s"}' "$HOME""#;
    let desk = desk(&config, script);
    let image = format!("app@{DIGEST}");
    let output = verify(&registry, &image, &["--output", "json"], desk.path());
    let report = json(&output);
    assert_eq!(report["reason"], "NoSignature", "{report}");
    assert_eq!(output.status.code(), Some(1));
    let heads = registry.heads();
    // "/h:s"
    let authorized = heads.iter().filter(|head| head.contains("Basic L2g6cw=="));
    assert!(authorized.count() > 0, "{heads:?}");
}

#[test]
fn the_complaint_of_a_helper_is_told_to_the_user() {
    let registry = Registry::start(|_| {
        reply(
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=x\r\n",
            "",
        )
    });
    let config = format!(r#"{{"credHelpers":{{"{}":"desk"}}}}"#, registry.host);
    let desk = desk(&config, "echo 'log in first' >&2; exit 3");
    let output = verify(&registry, &format!("app@{DIGEST}"), &[], desk.path());
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stdout);
    assert!(said.contains("(exit status: 3): log in first"), "{said}");
}

#[test]
fn a_page_that_no_registry_serves_leaves_the_verdict_open() {
    let registry = Registry::start(|_| reply("200 OK", "Content-Type: text/html\r\n", "<html>"));
    let desk = desk("{}", "exit 1");
    let image = format!("app@{DIGEST}");
    let output = verify(&registry, &image, &["--output", "json"], desk.path());
    let report = json(&output);
    assert_eq!(report["verdict"], "unknown", "{report}");
    assert_eq!(report["reason"], "RegistryError");
    assert_eq!(output.status.code(), Some(3));
    let output = verify(&registry, "app:v1", &[], desk.path());
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(
        said.contains(
            "RegistryError: the registry's answer cannot be used: its media type is `text/html`"
        ),
        "{said}"
    );
}

#[test]
fn what_is_wrong_is_said_once_and_nobody_is_told_to_wait() {
    let registry = Registry::start(|_| reply("418 Teapot", "", ""));
    let desk = desk("{}", "exit 1");
    let output = verify(&registry, &format!("app@{DIGEST}"), &[], desk.path());
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stdout);
    // Once why, and once where else the same was found.
    assert_eq!(
        said.matches("unexpected HTTP status 418").count(),
        2,
        "{said}"
    );
    assert_eq!(said.matches("wants a signature by").count(), 1, "{said}");
    assert!(!said.contains("will be tried again"), "{said}");
    assert!(said.contains("Ask again"), "{said}");
    let output = verify(
        &registry,
        &format!("app@{DIGEST}"),
        &["--output", "json"],
        desk.path(),
    );
    assert!(!text(&output.stdout).contains("will be tried again"));
}
