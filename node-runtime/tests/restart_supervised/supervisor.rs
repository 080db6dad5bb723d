//! What starts the runtime again, and ends it with the test.

use std::env;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

/// What is done when the runtime ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    StartAgain,
    StartWhenTold,
    GiveUp,
}

/// A loop that starts the runtime, waits for its end, and starts it again; its child ends with
/// it.
pub(crate) struct Supervisor {
    task: JoinHandle<()>,
    pid: watch::Receiver<u32>,
    said: mpsc::UnboundedReceiver<String>,
    ended: mpsc::UnboundedReceiver<()>,
    again: mpsc::UnboundedSender<()>,
}

impl Supervisor {
    /// Starts the runtime under a process name, and waits until it listens.
    pub(crate) async fn start(dir: &TempDir, comm: &str, mode: &str, wish: Wish) -> Self {
        let program = dir.path().join(comm);
        // The kernel names a process by the path it was started with. (A copy could still be open
        // for writing in another test's child.)
        symlink(env::current_exe().unwrap(), &program).unwrap();
        let (dir, mode) = (dir.path().to_owned(), mode.to_owned());
        let (pid_sender, mut pid) = watch::channel(0);
        let (said_sender, said) = mpsc::unbounded_channel();
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let (again, mut told) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let mut child = spawn(&program, &dir, &mode);
                let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    match line.rsplit_once("says ") {
                        Some((_, "ready")) => drop(pid_sender.send(child.id().unwrap_or(0))),
                        Some((_, word)) => drop(said_sender.send(word.to_owned())),
                        None => {}
                    }
                }
                child.wait().await.unwrap();
                let _ = ended_sender.send(());
                match wish {
                    Wish::StartAgain => {}
                    Wish::StartWhenTold => told.recv().await.unwrap(),
                    Wish::GiveUp => return,
                }
            }
        });
        let ready = timeout(LIMIT, pid.wait_for(|pid| *pid != 0)).await;
        ready.expect("the runtime does not listen").unwrap();
        Self {
            task,
            pid,
            said,
            ended,
            again,
        }
    }

    /// Pid of the runtime that was started last and listens.
    pub(crate) fn pid(&self) -> u32 {
        *self.pid.borrow()
    }

    /// The next thing the runtime says: the name of a signal that it got.
    pub(crate) async fn said(&mut self) -> String {
        timeout(LIMIT, self.said.recv()).await.unwrap().unwrap()
    }

    /// Waits for the end of the runtime.
    pub(crate) async fn ended(&mut self) {
        timeout(LIMIT, self.ended.recv()).await.unwrap().unwrap();
    }

    pub(crate) fn start_again(&self) {
        self.again.send(()).unwrap();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn spawn(program: &Path, dir: &Path, mode: &str) -> Child {
    Command::new(program)
        .args(["--exact", "runtime::run", "--ignored", "--nocapture"])
        .env("RUNTIME", mode)
        .env("RUNTIME_SOCKET", dir.join("socket"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// A process opens the socket, leaves it to another and ends; the pid of the other.
pub(crate) async fn hand_over(dir: &TempDir) -> u32 {
    let program = env::current_exe().unwrap();
    let output = spawn(&program, dir.path(), "leave").wait_with_output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("says heir "));
    line.unwrap().1.parse().unwrap()
}
