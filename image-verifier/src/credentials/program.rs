//! Programs that hand out credentials: Docker's helpers and the kubelet's plugins.
//!
//! They run without a shell, with an environment of our own, for a limited time and with limited
//! output, in the verifier's process group: when containerd kills that, they end as well. What they
//! write to stdout is a secret and never part of a message.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::environment::Environment;
use crate::reason::bounded;

/// Where programs are looked for, and what they get as `PATH`.
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
    /// It failed, by what it says itself.
    #[error("{path} failed ({status}): {complaint}")]
    Failed {
        /// The program.
        path: String,
        /// How it ended.
        status: String,
        /// The begin of its stderr.
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

/// A program with its arguments and variables.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(OsString, OsString)>,
}

impl Program {
    /// The program at `path`, which has to be executable and writable by root alone. It is given
    /// the proxies of `environment`, `PATH`, `HOME`, and nothing else.
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
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(unusable)?;
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

/// Reads to the end, or to one byte past the limit.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is what there is.
        let _ = pipe.take(limit + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

/// The first program of this name on the node's own search path, below `root`.
pub(super) fn search(name: &str, root: &Path) -> Option<PathBuf> {
    if name.is_empty() || name.contains(['/', '\0']) {
        return None;
    }
    PATH.split(':')
        .map(|folder| crate::node_file::below(root, Path::new(folder)).join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::testing;
    use super::*;

    struct Script(tempfile::TempDir);

    impl Script {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            testing::script(&folder.path().join("program"), text);
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("program")
        }

        fn mode(&self, mode: u32) {
            std::fs::set_permissions(self.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        }

        async fn run(&self, input: &[u8], seconds: u64) -> Result<Vec<u8>, ProgramError> {
            let program = Program::new(self.path(), &Environment::default())?;
            let program = program.arguments(["get".to_owned()]);
            let program = program.variables([("OWN".to_owned(), "value".to_owned())]);
            program.run(input, Duration::from_secs(seconds)).await
        }
    }

    #[tokio::test]
    async fn a_program_gets_its_input_arguments_and_a_clean_environment() {
        let script = Script::new("read -r line; echo \"$line $1 $OWN $HOME ${CARGO:-none} $PATH\"");
        let answer = script.run(b"hello\n", 10).await.unwrap();
        let expected = format!("hello get value /root none {PATH}\n");
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }

    #[tokio::test]
    async fn input_that_is_not_read_is_no_failure() {
        let script = Script::new("exec 0<&-; echo answer");
        let answer = script.run(&vec![b'x'; 1 << 20], 10).await.unwrap();
        assert_eq!(answer, b"answer\n");
    }

    #[tokio::test]
    async fn a_failure_tells_what_the_program_complains_about_and_not_its_answer() {
        let script = Script::new("echo hunter2; echo 'no role' >&2; exit 3");
        let error = script.run(b"", 10).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3): no role"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_or_floods_is_given_up() {
        let hangs = Script::new("exec 1>&-; while :; do read -r x; done");
        let error = hangs.run(b"", 1).await;
        assert!(
            matches!(error, Err(ProgramError::TimedOut { .. })),
            "{error:?}"
        );
        let floods = Script::new("while :; do echo 0123456789012345678901234567890123456789; done");
        let error = floods.run(b"", 60).await;
        assert!(
            matches!(error, Err(ProgramError::TooLong { .. })),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_program_that_others_can_write_or_nobody_can_run_is_not_run() {
        for (mode, part) in [(0o777, "others than root"), (0o644, "not an executable")] {
            let script = Script::new("echo");
            script.mode(mode);
            let error = script.run(b"", 10).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let missing = Program::new("/nonexistent/x".into(), &Environment::default());
        assert!(missing.unwrap_err().to_string().contains("/nonexistent/x"));
    }

    #[test]
    fn programs_are_searched_by_bare_names_alone() {
        assert!(search("sh", Path::new("/")).is_some());
        for name in ["", "../bin/sh", "/bin/sh", "no-such-program"] {
            assert_eq!(search(name, Path::new("/")), None, "{name}");
        }
    }
}
