//! Disks that are full, read-only, locked, or all of that in the middle of something.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::{Process, process};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use rustix::process::Signal;
use xtask::product::Product;

use crate::node::{
    Ask, CRIO_POLICY, DROP_IN, FOLDER, Kind, LIMIT, Node, POLICY, REGISTRIES, VERIFIER, fill,
    remove, send, state,
};
use crate::run::{Case, Recovered, full};
use crate::sight::Allowed;

#[allow(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("disk: /etc is full", "old, then new", || {
            full_disk(Kind::Containerd, "etc", "size=256k", false)
        }),
        Case::new("disk: /etc is full (CRI-O)", "old, then new", || {
            full_disk(Kind::Crio, "etc", "size=256k", false)
        }),
        Case::new("disk: /etc has no inodes left", "old, then new", || {
            full_disk(Kind::Containerd, "etc", "size=4m,nr_inodes=32", true)
        }),
        Case::new(
            "disk: /opt is full, with an upgrade",
            "old, then new",
            || full_disk(Kind::Containerd, "opt", "size=160k", false),
        ),
        Case::new("disk: the state folder is full", "old, then new", || {
            full_disk(Kind::Containerd, "var/lib", "size=1m", false)
        }),
        Case::new("disk: /etc is read-only", "old, then new", || {
            read_only(Kind::Containerd, "etc")
        }),
        Case::new("disk: /etc is read-only (CRI-O)", "old, then new", || {
            read_only(Kind::Crio, "etc")
        }),
        Case::new(
            "disk: /opt is read-only, with an upgrade",
            "old, then new",
            || read_only(Kind::Containerd, "opt"),
        ),
        Case::new(
            "disk: the state folder is read-only",
            "old, then new",
            || read_only(Kind::Containerd, "var/lib"),
        ),
        Case::new(
            "disk: the state folder is read-only at the start",
            "old, then new",
            born_read_only,
        ),
        Case::new("disk: the policy is immutable", "old, then new", || {
            immutable(POLICY)
        }),
        Case::new(
            "disk: the folder of the policy is immutable",
            "old, then new",
            || immutable("etc/nodeseal/verifier"),
        ),
        Case::new(
            "disk: files may have 24 KiB (EFBIG), with an upgrade",
            "old, then new",
            small_files,
        ),
    ];
    let staged = "etc/nodeseal/verifier/.policy.json.nodeseal-tmp";
    for (name, kind, point, what) in [
        (
            "the policy is staged",
            Kind::Containerd,
            format!("before create {staged}"),
            Way::Full("etc"),
        ),
        (
            "the verifier is half written",
            Kind::Containerd,
            "amid write opt/nodeseal/staging/.nodeseal-verifier.nodeseal-tmp".to_owned(),
            Way::Full("opt"),
        ),
        (
            "the journal is written",
            Kind::Containerd,
            "before create var/lib/nodeseal/.journal.nodeseal-tmp".to_owned(),
            Way::Full("var/lib"),
        ),
        (
            "a copy is kept",
            Kind::Containerd,
            "amid write var/lib/nodeseal/backup/rollback/".to_owned(),
            Way::Full("var/lib"),
        ),
        (
            "the status is written",
            Kind::Containerd,
            "before create var/lib/nodeseal/.status.json.nodeseal-tmp".to_owned(),
            Way::Full("var/lib"),
        ),
        (
            "the policy is renamed",
            Kind::Containerd,
            format!("before rename {POLICY}"),
            Way::ReadOnly("etc"),
        ),
        (
            "the verifier is renamed",
            Kind::Containerd,
            format!("before rename {VERIFIER}"),
            Way::ReadOnly("opt"),
        ),
        (
            "the second file is renamed",
            Kind::Containerd,
            format!("after rename {VERIFIER}"),
            Way::ReadOnly("etc"),
        ),
        (
            "the journal is renamed",
            Kind::Containerd,
            "after fsync var/lib/nodeseal/.journal.nodeseal-tmp".to_owned(),
            Way::Covered("var/lib"),
        ),
        (
            "the journal is removed",
            Kind::Containerd,
            "after fsync of directory var/lib/nodeseal/state.json".to_owned(),
            Way::Covered("var/lib"),
        ),
        (
            "the status is renamed",
            Kind::Containerd,
            "after fsync var/lib/nodeseal/.status.json.nodeseal-tmp".to_owned(),
            Way::Covered("var/lib"),
        ),
        (
            "policy.json is renamed (CRI-O)",
            Kind::Crio,
            format!("before rename {CRIO_POLICY}"),
            Way::ReadOnly("etc"),
        ),
        (
            "registries.d is done (CRI-O)",
            Kind::Crio,
            format!("after rename {REGISTRIES}"),
            Way::ReadOnly("etc"),
        ),
    ] {
        let how = match what {
            Way::Full(_) => "fills up",
            Way::ReadOnly(_) | Way::Covered(_) => "becomes read-only",
        };
        cases.push(Case::new(
            format!("disk: it {how} when {name}"),
            "one set, then new",
            move || at_point(kind, point, what),
        ));
    }
    cases.push(Case::new(
        "disk: it becomes read-only at a point of an update",
        "each file whole, then new",
        || read_only_anywhere(Kind::Containerd),
    ));
    cases.push(Case::new(
        "disk: it becomes read-only at a point of an update (CRI-O)",
        "each file whole, then new",
        || read_only_anywhere(Kind::Crio),
    ));
    cases
}

/// What happens to a folder's file system.
#[derive(Debug, Clone, Copy)]
enum Way {
    Full(&'static str),
    /// Also for folders that are open; it cannot be done while a file is open for writing.
    ReadOnly(&'static str),
    /// For what is opened from now on: in the agent's own folder its lock is always open.
    Covered(&'static str),
}

/// Mounts a file system of its own on a folder of the node, with what is there.
fn own_disk(node: &Node, folder: &str, options: &str) -> Result<()> {
    let at = node.at(folder);
    let kept = node.beside("kept");
    copy(&at, &kept)?;
    let options = std::ffi::CString::new(options)?;
    mount(
        "tmpfs",
        &at,
        "tmpfs",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .context("mount a tmpfs")?;
    copy(&kept, &at)?;
    fs::remove_dir_all(kept).context("remove a copy")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let done = Command::new("cp")
        .arg("-a")
        .arg(from.join("."))
        .arg(to)
        .status()?;
    ensure!(done.success(), "cp: {done}");
    Ok(())
}

/// Makes a folder of the node a mount of its own, so that it can become read-only alone.
fn own_mount(node: &Node, folder: &str) -> Result<()> {
    let at = node.at(folder);
    mount_bind(&at, &at).context("mount a folder on itself")
}

fn set_read_only(node: &Node, folder: &str, yes: bool) -> Result<()> {
    let flags = MountFlags::BIND
        | if yes {
            MountFlags::RDONLY
        } else {
            MountFlags::empty()
        };
    mount_remount(node.at(folder), flags, "").context("mount a folder again")
}

/// Mounts the folder on itself, to be read only.
fn cover(node: &Node, folder: &str) -> Result<()> {
    own_mount(node, folder)?;
    set_read_only(node, folder, true)
}

fn uncover(node: &Node, folder: &str) -> Result<()> {
    unmount(node.at(folder), UnmountFlags::DETACH).context("unmount a folder")
}

async fn full_disk(kind: Kind, folder: &str, options: &str, inodes: bool) -> Result<Recovered> {
    let mut node = Node::new(kind)?;
    own_disk(&node, folder, options)?;
    node.start()?;
    node.brings(Ask::Old).await?;
    let sight = node.sight();
    let mut files = Vec::new();
    if inodes {
        while let Ok(file) =
            fs::File::create(node.at(folder).join(format!("filler{}", files.len())))
        {
            drop(file);
            files.push(node.at(folder).join(format!("filler{}", files.len())));
        }
        ensure!(!files.is_empty());
    } else {
        files.push(fill(&node.at(folder))?);
    }
    if folder == "opt" {
        node.install(2)?;
    }
    node.ask(Ask::New)?;
    // A status that finds no room is still printed.
    node.until("the failure to be told", |node| {
        node.log().contains("Applied    False    WriteFailed") || node.log().contains("RolledBack")
    })
    .await?;
    ensure!(!node.holds(Ask::New)?, "it was not full");
    for file in files {
        remove(&file)?;
    }
    done(node, sight, Allowed::Held).await
}

async fn done(node: Node, sight: crate::sight::Sight, allowed: Allowed) -> Result<Recovered> {
    let took = node.brings(Ask::New).await?;
    sight.end(allowed)?;
    node.is_at_rest().await?;
    let applied = |node: &Node| node.condition("Applied").starts_with("True");
    node.until("the status", applied).await?;
    Ok(Recovered(Some(took)))
}

async fn read_only(kind: Kind, folder: &str) -> Result<Recovered> {
    let node = Node::running(kind).await?;
    node.is_at_rest().await?;
    let sight = node.sight();
    cover(&node, folder)?;
    if folder == "opt" {
        node.install(2)?;
    }
    node.ask(Ask::New)?;
    node.until("the failure to be told", |node| {
        node.log().contains("Read-only file system")
    })
    .await?;
    ensure!(!node.holds(Ask::New)?, "it was not read-only");
    uncover(&node, folder)?;
    done(node, sight, Allowed::Held).await
}

/// Without its own folder an agent cannot say what it does, so it does nothing.
async fn born_read_only() -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    own_mount(&node, "var/lib")?;
    set_read_only(&node, "var/lib", true)?;
    node.ask(Ask::New)?;
    let sight = node.sight();
    let said = node.once()?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(
        !said.status.success() && text.contains("Read-only file system"),
        "{text}"
    );
    ensure!(node.holds(Ask::Old)?, "it changed something");
    set_read_only(&node, "var/lib", false)?;
    node.start()?;
    done(node, sight, Allowed::Held).await
}

async fn immutable(path: &str) -> Result<Recovered> {
    let node = Node::running(Kind::Containerd).await?;
    node.until("the first look to end", |node| {
        node.condition("Applied").starts_with("True")
    })
    .await?;
    let sight = node.sight();
    chattr(&node, "+i", path)?;
    node.ask(Ask::New)?;
    let told = node
        .until("the failure to be told", |node| {
            node.log().contains("immutable")
        })
        .await;
    let held = node.holds(Ask::Old);
    chattr(&node, "-i", path)?;
    told?;
    ensure!(held?, "something was changed");
    done(node, sight, Allowed::Held).await
}

fn chattr(node: &Node, flag: &str, path: &str) -> Result<()> {
    let done = Command::new("chattr")
        .arg(flag)
        .arg(node.at(path))
        .status()?;
    ensure!(done.success(), "chattr {flag} {path}: {done}");
    Ok(())
}

async fn small_files() -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    node.install(2)?;
    node.ask(Ask::New)?;
    let sight = node.sight();
    let mut command = Command::new("sh");
    // In blocks of 512 bytes.
    command.args(["-c", "trap '' XFSZ; ulimit -f 48; exec \"$0\" \"$@\""]);
    command.arg(Product::Agent.locate()?);
    node.arguments(&mut command);
    let said = command.args(["--once"]).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(
        !said.status.success() && text.contains("File too large"),
        "{said:?}"
    );
    ensure!(node.holds_files_of_old()?, "something was changed");
    node.start()?;
    done(node, sight, Allowed::Held).await
}

/// Lets an agent look once, with something that happens to a disk when it reaches a point.
async fn look_with(node: &Node, point: u64, way: Way) -> Result<bool> {
    let mut command = node.command(&Product::AgentFault.locate()?);
    command
        .arg("--once")
        .env("NODESEAL_FAULT_STOP", point.to_string());
    let agent = Process::start("nodeseal-agent", &mut command, &node.beside("once.log"))?;
    let stat = format!("/proc/{}/stat", agent.id());
    let stopped = process::wait_for("the agent to stop", LIMIT, async || {
        Ok(match state(&stat) {
            Some('T') => Some(true),
            Some('Z') | None => Some(false),
            Some(_) => None,
        })
    })
    .await?;
    if !stopped {
        return Ok(false);
    }
    let mut filler = None;
    match way {
        Way::Full(folder) => filler = Some(fill(&node.at(folder))?),
        Way::Covered(folder) => cover(node, folder)?,
        // Where a file is open for writing just now, another point stands for this one.
        Way::ReadOnly(folder) => drop(set_read_only(node, folder, true)),
    }
    send(agent.id(), Signal::CONT)?;
    gone(&stat).await?;
    match way {
        Way::Full(_) => filler.iter().try_for_each(|path| remove(path))?,
        Way::Covered(folder) => uncover(node, folder)?,
        Way::ReadOnly(folder) => set_read_only(node, folder, false)?,
    }
    Ok(true)
}

async fn gone(stat: &str) -> Result<()> {
    process::wait_for("the agent to end", LIMIT, async || {
        Ok(matches!(state(stat), None | Some('Z')).then_some(()))
    })
    .await
}

/// The number of the first point that begins so.
fn number(points: &[String], wanted: &str) -> Result<u64> {
    let found = points.iter().find_map(|line| {
        let (number, point) = line.split_once(' ')?;
        point.starts_with(wanted).then(|| number.parse())
    });
    found
        .with_context(|| format!("no point is `{wanted}`:\n{}", points.join("\n")))?
        .context("a number")
}

async fn at_point(kind: Kind, point: String, way: Way) -> Result<Recovered> {
    let mut node = Node::applied(kind)?;
    node.ask(Ask::New)?;
    if kind == Kind::Containerd {
        node.install(2)?;
    }
    let at = number(&node.points()?, &point)?;
    match way {
        Way::Full(folder) => own_disk(&node, folder, "size=2m")?,
        Way::ReadOnly(folder) => own_mount(&node, folder)?,
        Way::Covered(_) => {}
    }
    let sight = node.sight();
    ensure!(
        look_with(&node, at, way).await?,
        "the point was not reached"
    );
    let log = fs::read_to_string(node.beside("once.log"))?;
    let bites = ["No space left on device", "Read-only file system"];
    ensure!(
        bites.iter().any(|text| log.contains(text)),
        "it did no harm: {log}"
    );
    node.start()?;
    done(node, sight, Allowed::Held).await
}

/// Each point in turn in the long form, and otherwise some.
async fn read_only_anywhere(kind: Kind) -> Result<Recovered> {
    let start = Node::applied(kind)?;
    start.ask(Ask::New)?;
    if kind == Kind::Containerd {
        start.install(2)?;
    }
    let points = start.points()?.len() as u64;
    let step = if full() { 1 } else { points / 6 };
    let mut at = 1;
    while at <= points {
        let node = start.copy()?;
        let folder = ["etc", "opt", "var/lib"][usize::try_from(at)? % 3];
        own_mount(&node, folder)?;
        let sight = node.sight();
        let context = || format!("{folder} at point {at} of {points}");
        ensure!(
            look_with(&node, at, Way::ReadOnly(folder))
                .await
                .with_context(context)?,
            "{}",
            context()
        );
        let next = node.once()?;
        ensure!(
            next.status.success() && node.holds(Ask::New)?,
            "{}: {next:?}",
            context()
        );
        sight.end(Allowed::Held).with_context(context)?;
        node.is_at_rest().await.with_context(context)?;
        unmount(node.at(folder), UnmountFlags::DETACH).context("unmount a folder")?;
        at += step;
    }
    Ok(Recovered(None))
}

impl Node {
    /// As [`Node::holds`], where the verifier that is to be installed is not yet.
    fn holds_files_of_old(&self) -> Result<bool> {
        let there = [POLICY, DROP_IN, VERIFIER].map(|path| self.read(path));
        let before = Self::applied(self.kind)?;
        let names = fs::read_dir(self.at(FOLDER))?.count();
        Ok(names == 1 && there == [POLICY, DROP_IN, VERIFIER].map(|path| before.read(path)))
    }
}
