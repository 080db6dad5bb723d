//! The recording of a real CRI-O, and everything that is none.

use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::config::{Config, Invalid, parse};
use super::{Error, MAX_CONFIG, config, config_within};

/// `GET /config` of CRI-O 1.37, verbatim.
const RECORDED: &str = include_str!("crio-1.37-config.toml");

#[test]
fn a_real_configuration_is_read() {
    let expected = Config {
        signature_policy: Some("/lab/crio/policy.json".to_owned()),
        signature_policy_dir: Some("/lab/crio/policies".to_owned()),
        pause_image: Some("127.0.0.1:5000/pause:3".to_owned()),
        pause_image_auth_file: None,
        global_auth_file: None,
        namespaced_auth_dir: Some("/etc/crio/auth".to_owned()),
        pinned_images: vec!["127.0.0.1:5000/pause:3".to_owned()],
        insecure_registries: vec!["127.0.0.1:5000".to_owned()],
        short_name_mode: Some("enforcing".to_owned()),
        auto_reload_registries: false,
        pulling_runtimes: vec![],
        listen: Some("/lab/crio/crio.sock".to_owned()),
        root: Some("/lab/crio/root".to_owned()),
        imagestore: None,
    };
    assert_eq!(parse(RECORDED.as_bytes()), Ok(expected));
}

#[test]
fn what_an_older_version_does_not_have_or_has_empty_is_absent() {
    let text = "[crio]\n[crio.image]\nsignature_policy = \"\"\n";
    assert_eq!(parse(text.as_bytes()), Ok(Config::default()));
}

#[test]
fn runtimes_that_pull_on_their_own_are_named() {
    let text = "[crio.image]\n\
                [crio.runtime.runtimes.runc]\nruntime_path = \"/usr/bin/runc\"\n\
                [crio.runtime.runtimes.kata]\nruntime_pull_image = true\n\
                [crio.runtime.runtimes.crun]\nruntime_pull_image = false\n";
    assert_eq!(parse(text.as_bytes()).unwrap().pulling_runtimes, ["kata"]);
}

/// Why a configuration is none.
fn refused(text: &[u8]) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let text = refused(b"[crio]\n[crio.image]\nsignature_policy = /etc\n");
    assert!(text.starts_with("it is not TOML: line 3: "), "{text}");
    let text = refused(b"<html>\n");
    assert!(text.starts_with("it is not TOML: line 1: "), "{text}");
    let text = refused(b"[crio]\nroot = \"\xff\"\n");
    assert_eq!(text, "it is not TOML: line 2: it is not UTF-8");
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let text = "[crio.image]\nsignature_policy = \"/a\"\nsignature_policy = \"/b\"\n";
    let error = parse(text.as_bytes()).unwrap_err();
    assert!(
        matches!(error, Invalid::Syntax { line: 3, .. }),
        "{error:?}"
    );
}

#[test]
fn a_configuration_of_something_else_is_refused() {
    let containerd = "version = 3\n[plugins]\n";
    let text = refused(containerd.as_bytes());
    assert_eq!(text, "it has no table [crio], so it is not that of a CRI-O");
    let text = refused(b"[crio.runtime]\n");
    assert!(text.contains("no table [crio.image]"), "{text}");
}

#[test]
fn a_value_of_another_type_is_refused_with_its_key() {
    for (text, said) in [
        ("crio = 1", "crio is not a table"),
        ("[crio]\nimage = []", "crio.image is not a table"),
        (
            "[crio.image]\nsignature_policy = 1",
            "crio.image.signature_policy is not a string",
        ),
        (
            "[crio.image]\npinned_images = \"a\"",
            "crio.image.pinned_images is not a list of strings",
        ),
        (
            "[crio.image]\npinned_images = [1]",
            "crio.image.pinned_images is not a list of strings",
        ),
        (
            "[crio.image]\n[crio.runtime.runtimes.a]\nruntime_pull_image = \"yes\"",
            "crio.runtime.runtimes.a.runtime_pull_image is not true or false",
        ),
        (
            "[crio.image]\n[crio.runtime]\nruntimes = 1",
            "crio.runtime.runtimes is not a table",
        ),
    ] {
        assert_eq!(refused(text.as_bytes()), said);
    }
}

#[test]
fn a_relative_path_of_the_policy_is_refused() {
    let text = refused(b"[crio.image]\nsignature_policy = \"policy.json\"");
    assert!(
        text.contains("signature_policy = \"policy.json\" is not an absolute path"),
        "{text}"
    );
}

/// A socket that answers each request with these bytes and ends the connection.
fn serve(answer: impl Into<Vec<u8>>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            assert!(
                request.starts_with(b"GET /config HTTP/1.1\r\nhost: "),
                "{request:?}"
            );
            // The client may have stopped listening.
            stream.write_all(&answer).await.ok();
        }
    });
    (folder, socket)
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn an_answer_over_the_socket_is_read() {
    let (_folder, socket) = serve(http("200 OK", RECORDED));
    let config = config(&socket).await.unwrap();
    assert_eq!(config, parse(RECORDED.as_bytes()).unwrap());
}

#[tokio::test]
async fn an_answer_up_to_the_end_of_the_connection_is_read() {
    let (_folder, socket) = serve(format!("HTTP/1.1 200 OK\r\n\r\n{RECORDED}"));
    let config = config(&socket).await.unwrap();
    assert_eq!(config, parse(RECORDED.as_bytes()).unwrap());
}

#[tokio::test]
async fn an_answer_that_is_not_a_configuration_is_refused_with_the_socket() {
    let (_folder, socket) = serve(http("200 OK", "{\"storage_driver\": 1}"));
    let error = config(&socket).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert!(
        text.contains(&format!("{}: it is not TOML: line 1", socket.display())),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused() {
    let comment = format!("# {}\n", "x".repeat(MAX_CONFIG));
    let (_folder, socket) = serve(http("200 OK", &format!("{RECORDED}{comment}")));
    let error = config(&socket).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
    assert!(error.to_string().contains("longer than 4 MiB"), "{error}");
    // One that does not say how long it is, too.
    let (_folder, socket) = serve(format!("HTTP/1.1 200 OK\r\n\r\n{RECORDED}{comment}"));
    let error = config(&socket).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn a_status_other_than_ok_is_refused() {
    let (_folder, socket) = serve(http("404 Not Found", RECORDED));
    let error = config(&socket).await.unwrap_err();
    let found = matches!(error, Error::Status { status, .. } if status == StatusCode::NOT_FOUND);
    assert!(found, "{error:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_refused() {
    let whole = http("200 OK", RECORDED);
    let (_folder, socket) = serve(whole.split_at(whole.len() - 100).0);
    let error = config(&socket).await.unwrap_err();
    assert!(matches!(error, Error::Http { .. }), "{error:?}");
}

#[tokio::test]
async fn who_speaks_no_http_is_refused() {
    // What a server of gRPC alone says first.
    let (_folder, socket) = serve(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00".as_slice());
    let error = config(&socket).await.unwrap_err();
    assert!(matches!(error, Error::Http { .. }), "{error:?}");
}

#[tokio::test]
async fn a_socket_that_is_not_there_or_hangs_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let error = config(&socket).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let _listener = UnixListener::bind(&socket).unwrap();
    let error = config_within(&socket, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Late { .. }), "{error:?}");
    assert!(error.to_string().contains("longer than 0.05 s"), "{error}");
}
