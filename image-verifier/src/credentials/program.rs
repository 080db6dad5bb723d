//! Programs that hand out credentials: Docker's helpers and the kubelet's plugins.
//!
//! They run without a shell, with an environment of our own (on a desk, with the user's), for a limited time and with limited
//! output, in the verifier's process group: when containerd kills that, they end as well. What they
//! write to stdout is a secret and never part of a message.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::environment::{Desk, Environment};
use crate::limits;
use crate::reason::bounded;

/// Where programs of a node are looked for, and what they get as `PATH`.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The most bytes of an answer.
const MAX_STDOUT: u64 = 256 * 1024;
/// The most bytes of complaints that are read.
const MAX_STDERR: u64 = 64 * 1024;
/// The most bytes of complaints in a message.
const MAX_COMPLAINT: usize = 160;

/// Why a program gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProgramError {
    /// Not there, or somebody else could have written it.
    #[error("{path} {what}")]
    Unusable {
        /// The program.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// It failed. What it says itself is no part of the message: that becomes a pod's event, for whoever
    /// may read those, and programs of others put into their complaints what they like.
    #[error("{path} failed ({status})")]
    Failed {
        /// The program.
        path: String,
        /// How it ended.
        status: String,
        /// The begin of its stderr, for [`ProgramError::told`] alone.
        complaint: String,
    },
    /// It took too long.
    #[error("{path} gave no answer within {seconds} s")]
    TimedOut {
        /// The program.
        path: String,
        /// The limit.
        seconds: u64,
    },
    /// Its answer is longer than any.
    #[error("{path} gave an answer of more than {MAX_STDOUT} bytes")]
    TooLong {
        /// The program.
        path: String,
    },
}

impl ProgramError {
    /// What is told in a message. The complaint of a program that failed is for who runs this: it goes
    /// to stderr (with containerd, into its debug log), and on a desk into the message, too.
    pub(super) fn told(&self, environment: &Environment) -> String {
        let Self::Failed { complaint, .. } = self else {
            return self.to_string();
        };
        let whole = format!("{self}: {complaint}");
        if environment.desk.is_some() {
            return whole;
        }
        // What nobody reads is not worth failing for.
        let _ = writeln!(std::io::stderr(), "nodeseal: {whole}");
        self.to_string()
    }
}

/// A program with its arguments and variables.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(OsString, OsString)>,
}

impl Program {
    /// The program at `path`, which has to be executable and writable by root (or the user who runs
    /// this) alone. It is given the proxies of `environment`, `PATH`, `HOME`, and nothing else; on a
    /// desk, all that the user has.
    pub(super) fn new(path: PathBuf, environment: &Environment) -> Result<Self, ProgramError> {
        let unusable = |what: String| ProgramError::Unusable {
            path: path.display().to_string(),
            what,
        };
        let metadata = std::fs::metadata(&path)
            .map_err(|error| unusable(format!("cannot be run: {error}")))?;
        let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if !metadata.is_file() || mode & 0o111 == 0 {
            return Err(unusable("is not an executable file".to_owned()));
        }
        let own = rustix::process::geteuid().as_raw();
        if (uid != 0 && uid != own) || mode & 0o022 != 0 {
            return Err(unusable(format!(
                "is not run: others than root can write it (owner {uid}, mode {mode:04o})"
            )));
        }
        let variables = match &environment.desk {
            Some(desk) => desk.variables().to_vec(),
            None => of_node(environment),
        };
        Ok(Self {
            path,
            arguments: Vec::new(),
            variables,
        })
    }

    /// With these arguments.
    pub(super) fn arguments(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// With these variables; they win.
    pub(super) fn variables(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let own = |(name, value): (String, String)| (name.into(), value.into());
        self.variables.extend(variables.into_iter().map(own));
        self
    }

    /// Runs it with `input` on stdin; returns what it writes to stdout.
    pub(super) async fn run(&self, input: &[u8], time: Duration) -> Result<Vec<u8>, ProgramError> {
        let path = self.path.display().to_string();
        match tokio::time::timeout(time, self.exchange(input, &path)).await {
            Ok(answer) => answer,
            Err(_) => Err(ProgramError::TimedOut {
                path,
                seconds: time.as_secs(),
            }),
        }
    }

    async fn exchange(&self, input: &[u8], path: &str) -> Result<Vec<u8>, ProgramError> {
        let unusable = |error: std::io::Error| ProgramError::Unusable {
            path: path.to_owned(),
            what: format!("cannot be run: {error}"),
        };
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let started = limits::with_room_for_a_program(|| command.spawn());
        let mut child = started.map_err(unusable)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // It need not read what it is not interested in.
                let _ = stdin.write_all(input).await;
                let _ = stdin.shutdown().await;
            }
        };
        let (answer, complaint, ()) =
            futures::join!(read(stdout, MAX_STDOUT), read(stderr, MAX_STDERR), feed);
        if answer.len() as u64 > MAX_STDOUT {
            return Err(ProgramError::TooLong {
                path: path.to_owned(),
            });
        }
        let status = child.wait().await.map_err(unusable)?;
        if status.success() {
            return Ok(answer);
        }
        let complaint = String::from_utf8_lossy(&complaint);
        Err(ProgramError::Failed {
            path: path.to_owned(),
            status: status.to_string(),
            complaint: bounded(complaint.trim(), MAX_COMPLAINT),
        })
    }
}

/// What a program of the node is given.
fn of_node(environment: &Environment) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), PATH.into()),
        ("HOME".into(), "/root".into()),
    ];
    for (name, value) in [
        ("HTTP_PROXY", &environment.http_proxy),
        ("HTTPS_PROXY", &environment.https_proxy),
        ("NO_PROXY", &environment.no_proxy),
    ] {
        if let Some(value) = value {
            variables.push((name.into(), value.into()));
        }
    }
    variables
}

/// Reads to the end, or to one byte past the limit.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is what there is.
        let _ = pipe.take(limit + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Where programs are looked for: in the user's `PATH` on a desk that has one.
pub(super) fn search_path(environment: &Environment) -> &OsStr {
    let own = environment.desk.as_ref().and_then(Desk::path);
    own.unwrap_or(OsStr::new(PATH))
}

/// The first program of this name in the folders of `path`, below `root`. Folders without an absolute
/// path, which would mean another one in another place, are passed over.
pub(super) fn search(name: &str, path: &OsStr, root: &Path) -> Option<PathBuf> {
    if name.is_empty() || name.contains(['/', '\0']) {
        return None;
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| crate::node_file::below(root, &folder).join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
