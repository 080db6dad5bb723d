//! What can go wrong before a runtime answers. The answers are tested against real ones.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tonic::Code;

use super::{Client, Condition, Error, Status};

const LONG: Duration = Duration::from_secs(30);

/// Reads what a client says first, answers with these bytes, and ends the connection.
async fn answer_once(listener: &UnixListener, bytes: &[u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    assert!(preface.starts_with(b"PRI * HTTP/2.0"), "{preface:?}");
    stream.write_all(bytes).await.unwrap();
}

fn listen(folder: &Path) -> (UnixListener, Client) {
    let socket = folder.join("a socket of spaces & %41.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    (listener, Client::new(socket, LONG))
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let client = Client::new("/does/not/exist.sock", LONG);
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("the CRI socket /does/not/exist.sock: No such file"),
        "{text}"
    );
}

#[tokio::test]
async fn a_runtime_that_hangs_reaches_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, client) = listen(folder.path());
    let client = Client::new(client.socket(), Duration::from_millis(50));
    let error = client.images().await.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(
            error,
            Error::Late {
                call: "ListImages",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(text.contains("took longer than 0.05 s"), "{text}");
    // A pull has a deadline of its own.
    let client = Client::new(client.socket(), LONG);
    let error = client
        .pull("a.example/b:c", Duration::from_millis(50))
        .await;
    assert!(
        matches!(
            error,
            Err(Error::Late {
                call: "PullImage",
                ..
            })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_connection_that_ends_is_no_word_of_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, client) = listen(folder.path());
    let (asked, ()) = tokio::join!(client.version(), answer_once(&listener, b""));
    let error = asked.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Broken {
                call: "Version",
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_speaks_no_grpc_is_no_word_of_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, client) = listen(folder.path());
    let http1 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let (asked, ()) = tokio::join!(client.version(), answer_once(&listener, http1));
    let error = asked.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error:?}");
    assert!(
        error.to_string().contains("a CRI runtime listens"),
        "{error}"
    );
}

#[test]
fn a_status_of_the_runtime_keeps_its_code_and_text() {
    let status = tonic::Status::new(Code::Unknown, "failed to pull and unpack image");
    let error = Error::of(Path::new("/s"), "PullImage", &status);
    let text = error.to_string();
    assert_eq!(
        text,
        "PullImage failed with Unknown: failed to pull and unpack image"
    );
    assert!(matches!(
        error,
        Error::Refused {
            code: Code::Unknown,
            ..
        }
    ));
}

#[test]
fn a_runtime_is_ready_when_it_says_so_whatever_its_network() {
    let condition = |kind: &str, holds| Condition {
        kind: kind.to_owned(),
        holds,
        reason: String::new(),
        message: String::new(),
    };
    let ready = |conditions: &[(&str, bool)]| {
        let conditions = conditions
            .iter()
            .map(|(kind, holds)| condition(kind, *holds));
        Status {
            conditions: conditions.collect(),
            info: [].into(),
        }
        .ready()
    };
    assert!(ready(&[("RuntimeReady", true), ("NetworkReady", false)]));
    assert!(!ready(&[("RuntimeReady", false), ("NetworkReady", true)]));
    assert!(!ready(&[]));
}
