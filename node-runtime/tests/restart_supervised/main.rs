//! A runtime that a supervisor starts again whenever it ends.
//!
//! The runtime is this very test program, started with `RUNTIME` set; the supervisor is a loop in
//! the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "it is how a test fails"
)]

mod runtime;
mod supervisor;

use std::time::Duration;

use node_runtime::restart::{RestartError, Restarter, Supervised};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::UnixStream;

use supervisor::{Supervisor, Wish};

/// For what is expected to happen; nothing waits that long.
const BUDGET: Duration = Duration::from_secs(30);
/// For what is expected not to happen.
const SHORT: Duration = Duration::from_millis(300);

fn restarter(dir: &TempDir) -> Restarter {
    Restarter::Supervised(Supervised {
        socket: dir.path().join("socket"),
        proc: "/proc".into(),
    })
}

/// Pid of the process that answers.
async fn answering(dir: &TempDir) -> u32 {
    let stream = UnixStream::connect(dir.path().join("socket")).await;
    let pid = stream.unwrap().peer_cred().unwrap().pid().unwrap();
    u32::try_from(pid).unwrap()
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn the_process_behind_the_socket_ends_and_another_answers() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start(&dir, "containerd", "plain", Wish::StartAgain).await;
    let old = answering(&dir).await;
    let outcome = restarter(&dir).restart(BUDGET).await.unwrap();
    assert_eq!(outcome.old, Some(old));
    assert_ne!(outcome.new, old);
    assert_eq!(answering(&dir).await, outcome.new);
    assert_eq!(supervisor.pid(), outcome.new);
}

#[tokio::test]
async fn a_supervisor_that_takes_its_time_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::start(&dir, "containerd", "plain", Wish::StartWhenTold).await;
    let old = answering(&dir).await;
    let restarter = restarter(&dir);
    let telling = async {
        supervisor.ended().await;
        // Nobody listens now, and the file of the socket is still there.
        let socket = dir.path().join("socket");
        UnixStream::connect(&socket).await.unwrap_err();
        supervisor.start_again();
    };
    let (outcome, ()) = tokio::join!(restarter.restart(BUDGET), telling);
    assert_ne!(outcome.unwrap().new, old);
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::start(&dir, "containerd", "ignore", Wish::StartAgain).await;
    let old = answering(&dir).await;
    let error = restarter(&dir).restart(SHORT).await.unwrap_err();
    assert!(
        matches!(error, RestartError::IgnoresTerm { pid, .. } if pid == old),
        "{error}"
    );
    // The signal did come, and no other.
    assert_eq!(supervisor.said().await, "TERM");
    assert_eq!(answering(&dir).await, old);
}

#[tokio::test]
async fn a_process_that_is_stopped_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::start(&dir, "containerd", "ignore", Wish::StartAgain).await;
    let old = supervisor.pid();
    send(old, Signal::STOP);
    let error = restarter(&dir).restart(SHORT).await.unwrap_err();
    assert!(
        matches!(error, RestartError::IgnoresTerm { pid, .. } if pid == old),
        "{error}"
    );
    send(old, Signal::CONT);
    assert_eq!(supervisor.said().await, "TERM");
    assert_eq!(answering(&dir).await, old);
}

#[tokio::test]
async fn a_process_that_nobody_starts_again_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let _supervisor = Supervisor::start(&dir, "containerd", "plain", Wish::GiveUp).await;
    let old = answering(&dir).await;
    let error = restarter(&dir).restart(SHORT).await.unwrap_err();
    assert!(
        matches!(error, RestartError::NotStartedAgain { pid, .. } if pid == old),
        "{error}"
    );
    assert!(error.to_string().contains("no runtime answers"), "{error}");
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = restarter(&dir).restart(BUDGET).await.unwrap_err();
    assert!(matches!(error, RestartError::Socket { .. }), "{error}");
}

#[tokio::test]
async fn a_socket_whose_process_has_left_it_to_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let heir = supervisor::hand_over(&dir).await;
    let error = restarter(&dir).restart(BUDGET).await.unwrap_err();
    // The one that holds it is not the one that opened it, and gets no signal.
    send(heir, Signal::KILL);
    assert!(
        matches!(error, RestartError::WrongProcess { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_process_that_cannot_be_looked_at_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start(&dir, "containerd", "plain", Wish::StartAgain).await;
    let restarter = Restarter::Supervised(Supervised {
        socket: dir.path().join("socket"),
        proc: dir.path().to_owned(),
    });
    let error = restarter.restart(BUDGET).await.unwrap_err();
    assert!(
        matches!(error, RestartError::Process { pid, .. } if pid == supervisor.pid()),
        "{error}"
    );
}

#[tokio::test]
async fn crio_gets_sighup_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::start(&dir, "crio", "ignore", Wish::StartAgain).await;
    let old = answering(&dir).await;
    let reloader = restarter(&dir).crio_reloader();
    reloader.reload(BUDGET).await.unwrap();
    assert_eq!(supervisor.said().await, "HUP");
    assert_eq!(answering(&dir).await, old);
}

/// One whose name is another gets nothing: the default action of SIGHUP would end it.
#[tokio::test]
async fn containerd_gets_no_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::start(&dir, "containerd", "ignore", Wish::StartAgain).await;
    let old = answering(&dir).await;
    let reloader = restarter(&dir).crio_reloader();
    let error = reloader.reload(BUDGET).await.unwrap_err();
    assert!(
        matches!(&error, RestartError::NotCrio { pid, comm } if *pid == old && comm == "containerd"),
        "{error}"
    );
    // What comes first is the test's own signal.
    send(old, Signal::TERM);
    assert_eq!(supervisor.said().await, "TERM");
}

#[tokio::test]
async fn a_reload_where_nobody_listens_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let reloader = restarter(&dir).crio_reloader();
    let error = reloader.reload(BUDGET).await.unwrap_err();
    assert!(matches!(error, RestartError::Socket { .. }), "{error}");
}
