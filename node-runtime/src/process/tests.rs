//! A `/proc` made of files, and the real one with this process in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::net::UnixListener;

use super::proc::{Malformed, Stat, parse_cmdline, parse_stat, read, runs};
use super::{Error, Found, Process, Socket, Start, behind, served, visible};

const BOOT: &str = "0b39cf1f-5b61-4a5c-8f8f-5a3a0d0f6a11";

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// A line of `proc_pid_stat(5)`, as the kernel writes it.
pub(super) fn stat_line(pid: u32, name: &str, state: char, parent: u32, ticks: u64) -> String {
    format!(
        "{pid} ({name}) {state} {parent} 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 {ticks} 1 2 3 4\n"
    )
}

/// A folder with the files of `/proc` that are read.
pub(super) struct Proc(tempfile::TempDir);

impl Proc {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random = folder.path().join("sys/kernel/random");
        fs::create_dir_all(&random).unwrap();
        fs::write(random.join("boot_id"), format!("{BOOT}\n")).unwrap();
        fs::write(
            folder.path().join("stat"),
            "cpu  1 2 3\nbtime 1000000\nprocesses 5\n",
        )
        .unwrap();
        Self(folder)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn folder(&self, pid: u32) -> PathBuf {
        self.path().join(pid.to_string())
    }

    /// A process with this program and command line.
    pub(super) fn process(self, pid: u32, exe: &str, line: &str) -> Self {
        let folder = self.folder(pid);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("stat"), stat_line(pid, "a name", 'S', 1, 250)).unwrap();
        fs::write(
            folder.join("cmdline"),
            format!("{}\0", line.replace(' ', "\0")),
        )
        .unwrap();
        if !exe.is_empty() {
            symlink(exe, folder.join("exe")).unwrap();
        }
        symlink("/", folder.join("cwd")).unwrap();
        symlink("/", folder.join("root")).unwrap();
        self
    }
}

#[test]
fn the_start_is_found_whatever_the_program_is_called() {
    let expected = Stat {
        state: 'S',
        parent: 7,
        started: 123_456,
    };
    for name in [
        "containerd",
        "a b",
        "a) S 1 (b",
        "((",
        ")) )",
        "\n",
        "",
        "Z 1 2)",
    ] {
        let line = stat_line(42, name, 'S', 7, 123_456);
        assert_eq!(parse_stat(line.as_bytes()), Ok(expected), "{name:?}");
    }
    // A name need not be text.
    let mut line = b"1 (\xff\xfe) ".to_vec();
    line.extend(&stat_line(1, "", 'S', 7, 123_456).as_bytes()[5..]);
    assert_eq!(parse_stat(&line), Ok(expected));
}

#[test]
fn a_stat_that_is_cut_short_is_refused() {
    for (line, field) in [
        ("", "name in parentheses"),
        ("1 (a", "name in parentheses"),
        ("1 (a)", "state"),
        ("1 (a) S", "parent"),
        ("1 (a) S x", "parent"),
        ("1 (a) S 1 2 3 4", "start time"),
    ] {
        assert_eq!(
            parse_stat(line.as_bytes()),
            Err(Malformed::Field(field)),
            "{line:?}"
        );
    }
}

#[test]
fn arguments_are_what_is_between_zero_bytes() {
    let parsed = |text: &[u8]| parse_cmdline(text).unwrap();
    assert_eq!(parsed(b"a\0--b=c d\0\0"), ["a", "--b=c d", ""]);
    assert_eq!(parsed(b"a title\nof its own"), ["a title\nof its own"]);
    assert_eq!(parse_cmdline(b""), Err(Malformed::NoCommandLine));
    assert_eq!(parse_cmdline(b"a\0\xff\0"), Err(Malformed::NotUtf8));
}

#[test]
fn a_process_is_read() {
    let proc = Proc::new().process(42, "/usr/bin/containerd", "containerd -c /c");
    let expected = Process {
        start: Start {
            boot_id: BOOT.to_owned(),
            pid: 42,
            ticks: 250,
        },
        started_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_002_500),
        argv: words("containerd -c /c"),
        exe: Some("/usr/bin/containerd".into()),
        exe_replaced: false,
        cwd: Some("/".into()),
        root: Some("/".into()),
        found: Found::Listener,
    };
    let process = read(proc.path(), 42).unwrap();
    assert_eq!(process, expected);
    assert!(runs(proc.path(), &process.start).unwrap());
}

#[test]
fn a_process_whose_links_are_closed_to_us_is_read_without_them() {
    let proc = Proc::new().process(42, "", "/usr/bin/containerd");
    fs::remove_file(proc.folder(42).join("cwd")).unwrap();
    fs::remove_file(proc.folder(42).join("root")).unwrap();
    let process = read(proc.path(), 42).unwrap();
    assert_eq!(
        (&process.exe, &process.cwd, &process.root),
        (&None, &None, &None)
    );
    assert_eq!(process.runtime(), Some("containerd"));
}

#[test]
fn a_program_that_was_replaced_is_known_by_its_old_name() {
    let proc = Proc::new().process(42, "/usr/bin/crio (deleted)", "/proc/self/exe");
    let process = read(proc.path(), 42).unwrap();
    assert_eq!(process.exe.as_deref(), Some(Path::new("/usr/bin/crio")));
    assert!(process.exe_replaced);
    assert_eq!(process.runtime(), Some("crio"));
}

#[test]
fn a_runtime_is_known_by_its_program_or_its_first_argument() {
    for (exe, line, runtime) in [
        ("/usr/bin/containerd", "a", Some("containerd")),
        (
            "/var/lib/rancher/k3s/data/1/bin/k3s",
            "containerd -c /c",
            Some("containerd"),
        ),
        ("/usr/local/bin/crio", "/usr/local/bin/crio", Some("crio")),
        (
            "/usr/bin/containerd-shim-runc-v2",
            "/usr/bin/containerd-shim-runc-v2",
            None,
        ),
        ("/usr/bin/vim", "vim containerd", None),
    ] {
        let proc = Proc::new().process(42, exe, line);
        assert_eq!(
            read(proc.path(), 42).unwrap().runtime(),
            runtime,
            "{exe} {line}"
        );
    }
}

#[test]
fn a_process_that_ended_is_gone() {
    let proc = Proc::new().process(42, "/a", "a").process(43, "/a", "a");
    assert!(matches!(read(proc.path(), 1), Err(Error::Gone { pid: 1 })));
    let start = read(proc.path(), 42).unwrap().start;
    // Nobody has waited for it.
    fs::write(
        proc.folder(42).join("stat"),
        stat_line(42, "a", 'Z', 1, 250),
    )
    .unwrap();
    assert!(matches!(
        read(proc.path(), 42),
        Err(Error::Gone { pid: 42 })
    ));
    assert!(!runs(proc.path(), &start).unwrap());
    // Its files go one by one.
    fs::remove_file(proc.folder(43).join("cmdline")).unwrap();
    assert!(matches!(
        read(proc.path(), 43),
        Err(Error::Gone { pid: 43 })
    ));
}

#[test]
fn another_process_with_the_same_id_is_another() {
    let proc = Proc::new().process(42, "/a", "a");
    let start = read(proc.path(), 42).unwrap().start;
    fs::write(
        proc.folder(42).join("stat"),
        stat_line(42, "a", 'S', 1, 251),
    )
    .unwrap();
    assert!(!runs(proc.path(), &start).unwrap());
    // After a reboot even the time of its start may be the same.
    let other = Start {
        boot_id: "another".to_owned(),
        ..read(proc.path(), 42).unwrap().start
    };
    assert!(!runs(proc.path(), &other).unwrap());
}

#[test]
fn what_the_kernel_does_not_write_is_refused_with_the_file() {
    let refused = |name: &str, text: &[u8]| {
        let proc = Proc::new().process(42, "/a", "a");
        fs::write(proc.path().join(name), text).unwrap();
        read(proc.path(), 42).unwrap_err().to_string()
    };
    for (name, text, said) in [
        (
            "42/stat",
            b"nothing".as_slice(),
            "it has no name in parentheses",
        ),
        ("42/cmdline", b"", "the process has no command line"),
        ("42/cmdline", b"\xff\0", "it is not UTF-8"),
        (
            "42/cmdline",
            &vec![b'a'; 300_000],
            "it has more than 262144 bytes",
        ),
        ("stat", b"cpu 1\n", "it has no btime"),
        ("sys/kernel/random/boot_id", b"\n", "it has no boot id"),
    ] {
        let found = refused(name, text);
        assert!(found.ends_with(&format!("{name}: {said}")), "{found}");
    }
}

#[tokio::test]
async fn the_process_that_listens_is_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    let proc = Path::new("/proc");
    let process = behind(proc, Socket::at(&path)).await.unwrap();
    assert_eq!(process.start.pid, std::process::id());
    assert_eq!(process.exe, std::env::current_exe().ok());
    assert_eq!(process.argv, std::env::args().collect::<Vec<_>>());
    assert_eq!((process.found, process.runtime()), (Found::Listener, None));
    assert!(process.started_at <= SystemTime::now() + Duration::from_secs(2));
    assert!(runs(proc, &process.start).unwrap());
}

#[tokio::test]
async fn a_listener_that_has_ended_left_the_socket_to_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    let proc = Proc::new().process(31, "/usr/bin/crio", "crio --listen /run/this.sock");
    let socket = Socket {
        path: &path,
        on_node: Path::new("/run/this.sock"),
    };
    let process = behind(proc.path(), socket).await.unwrap();
    assert_eq!((process.start.pid, process.found), (31, Found::CommandLine));
}

#[test]
fn a_socket_unit_of_systemd_leaves_the_socket_to_a_runtime() {
    let systemd = Proc::new().process(1, "/usr/lib/systemd/systemd", "/sbin/init");
    let socket = Socket::at(Path::new("/run/this.sock"));
    let error = served(systemd.path(), socket, 1).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let with = systemd.process(31, "/usr/bin/containerd", "containerd -a /run/this.sock");
    let process = served(with.path(), socket, 1).unwrap();
    assert_eq!((process.start.pid, process.found), (31, Found::CommandLine));
    // In a container that is a node, the runtime itself may be the first process.
    let alone = Proc::new().process(1, "/usr/bin/containerd", "containerd");
    let process = served(alone.path(), socket, 1).unwrap();
    assert_eq!((process.start.pid, process.found), (1, Found::Listener));
}

#[test]
fn a_process_of_another_pid_namespace_is_invisible() {
    assert_eq!(visible(Some(42)), Some(42));
    for pid in [Some(0), Some(-1), None] {
        assert_eq!(visible(pid), None, "{pid:?}");
    }
    let error = Error::Invisible {
        socket: "/run/this.sock".into(),
    };
    let said = "the process behind /run/this.sock cannot be seen from this PID namespace; run the \
                agent with hostPID: true";
    assert_eq!(error.to_string(), said);
}

#[test]
fn a_proc_that_is_none_is_named() {
    let proc = Proc::new().process(42, "/a", "a");
    let boot_id = proc.path().join("sys/kernel/random/boot_id");
    fs::remove_file(&boot_id).unwrap();
    let error = read(proc.path(), 42).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
    let said = format!("cannot read {}: No such file", boot_id.display());
    assert!(error.to_string().starts_with(&said), "{error}");
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let socket = Socket::at(Path::new("/does/not/exist.sock"));
    let error = behind(Path::new("/proc"), socket).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("/does/not/exist.sock: No such file"),
        "{error}"
    );
}
