//! The runtime: this test program in another process.

use std::env;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use tokio::signal::unix::{SignalKind, signal};

/// Listens, as `RUNTIME` says; without it there is nothing to do.
#[allow(clippy::zombie_processes, reason = "the heir outlives it")]
#[tokio::test]
#[ignore = "the other tests start it as a process of its own"]
async fn run() {
    let Ok(mode) = env::var("RUNTIME") else {
        return;
    };
    let socket = env::var_os("RUNTIME_SOCKET").unwrap();
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    match mode.as_str() {
        "plain" => {
            println!("says ready");
            std::future::pending::<()>().await;
        }
        // Says which signals come, and goes on.
        "ignore" => {
            let mut term = signal(SignalKind::terminate()).unwrap();
            let mut hang_up = signal(SignalKind::hangup()).unwrap();
            println!("says ready");
            loop {
                tokio::select! {
                    _ = term.recv() => println!("says TERM"),
                    _ = hang_up.recv() => println!("says HUP"),
                }
            }
        }
        "leave" => {
            let heir = Command::new("sleep")
                .arg("60")
                .stdin(Stdio::from(OwnedFd::from(listener)))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            println!("says heir {}", heir.id());
        }
        other => panic!("no mode {other}"),
    }
}
