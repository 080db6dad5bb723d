//! The folder of policies: gone, swapped, half written, huge, or full of what is none.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use xtask::product::Product;

use crate::node::{Ask, KEPT, Kind, Node, policy};
use crate::run::{Case, Recovered};
use crate::sight::Allowed;

#[allow(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, fault: fn(&Node) -> Result<()>, mend: fn(&Node) -> Result<()>| {
        let name = format!("policies: {name}");
        Case::new(name, "old, told; then new", move || harmed(fault, mend))
    };
    vec![
        case("the folder is removed", take_away, give_back),
        case(
            "the folder is a file",
            |node| {
                take_away(node)?;
                Ok(fs::write(node.policies(), "policies")?)
            },
            |node| {
                fs::remove_file(node.policies())?;
                give_back(node)
            },
        ),
        case(
            "the folder is a link to nowhere",
            |node| {
                take_away(node)?;
                Ok(symlink("/nowhere", node.policies())?)
            },
            |node| {
                fs::remove_file(node.policies())?;
                give_back(node)
            },
        ),
        case(
            "a policy is half written",
            |node| {
                let text = policy("kept", KEPT);
                node.write_policy("kept.yaml", &text.as_bytes()[..text.len() / 2])
            },
            |_| Ok(()),
        ),
        case(
            "a policy is empty",
            |node| node.write_policy("kept.yaml", b""),
            |_| Ok(()),
        ),
        case(
            "a policy is no UTF-8",
            |node| node.write_policy("kept.yaml", b"\xff\xfe\x00"),
            |_| Ok(()),
        ),
        case(
            "a policy has 300 MiB",
            |node| {
                let path = node.beside("huge");
                fs::File::create(&path)?.set_len(300 << 20)?;
                Ok(fs::rename(path, node.policies().join("kept.yaml"))?)
            },
            |_| Ok(()),
        ),
        case(
            "a policy is a bomb of aliases",
            |node| node.write_policy("kept.yaml", bomb().as_bytes()),
            |_| Ok(()),
        ),
        case(
            "a policy is nested 100,000 deep",
            |node| node.write_policy("kept.yaml", "[".repeat(100_000).as_bytes()),
            |_| Ok(()),
        ),
        case(
            "a policy is a pipe that nobody writes to",
            |node| {
                tool("mkfifo", &node.beside("pipe"))?;
                Ok(fs::rename(
                    node.beside("pipe"),
                    node.policies().join("kept.yaml"),
                )?)
            },
            |_| Ok(()),
        ),
        case(
            "a policy is a device without an end",
            |node| {
                symlink("/dev/zero", node.beside("link"))?;
                Ok(fs::rename(
                    node.beside("link"),
                    node.policies().join("kept.yaml"),
                )?)
            },
            |_| Ok(()),
        ),
        case(
            "a policy is a link to itself",
            |node| {
                symlink("kept.yaml", node.beside("link"))?;
                Ok(fs::rename(
                    node.beside("link"),
                    node.policies().join("kept.yaml"),
                )?)
            },
            |_| Ok(()),
        ),
        case(
            "a policy is there twice",
            |node| node.write_policy("twice.yaml", policy("kept", "twice.example").as_bytes()),
            |node| Ok(fs::remove_file(node.policies().join("twice.yaml"))?),
        ),
        case(
            "the EnforcementConfig is broken",
            |node| node.write_policy("config.yaml", b"kind: EnforcementConfig\nspec: ["),
            |_| Ok(()),
        ),
        Case::new(
            "policies: the folder is swapped as Kubernetes does",
            "new",
            swapped,
        ),
        Case::new(
            "policies: the folder cannot be read",
            "old, told; then new",
            unreadable,
        ),
        Case::new("policies: 2,000 other files", "new", many),
        Case::new(
            "policies: the folder is written to all the time",
            "new",
            busy,
        ),
    ]
}

fn tool(name: &str, path: &Path) -> Result<()> {
    let done = Command::new(name).arg(path).status()?;
    ensure!(done.success(), "{name}: {done}");
    Ok(())
}

fn take_away(node: &Node) -> Result<()> {
    fs::rename(node.policies(), node.beside("away")).context("take the folder away")
}

fn give_back(node: &Node) -> Result<()> {
    fs::rename(node.beside("away"), node.policies()).context("give the folder back")
}

fn bomb() -> String {
    let line = |at: usize| {
        let names = vec![format!("*a{}", at - 1); 10].join(", ");
        format!("a{at}: &a{at} [{names}]")
    };
    let first = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned();
    let lines: Vec<String> = [first].into_iter().chain((1..30).map(line)).collect();
    lines.join("\n")
}

async fn harmed(
    fault: fn(&Node) -> Result<()>,
    mend: fn(&Node) -> Result<()>,
) -> Result<Recovered> {
    for kind in [Kind::Crio, Kind::Containerd] {
        let node = Node::running(kind).await?;
        node.until("the first look to end", |node| {
            node.condition("Applied").starts_with("True")
        })
        .await?;
        let sight = node.sight();
        fault(&node)?;
        node.until("the problem to be told", |node| {
            let status = node.status();
            ["problems", "kept"]
                .iter()
                .any(|at| status[at].as_array().is_some_and(|all| !all.is_empty()))
        })
        .await?;
        ensure!(node.holds(Ask::Old)?, "something was changed");
        mend(&node)?;
        node.ask(Ask::New)?;
        let took = node.brings(Ask::New).await?;
        sight.end(Allowed::Held)?;
        if kind == Kind::Containerd {
            return Ok(Recovered(Some(took)));
        }
    }
    unreachable!("the last one returns")
}

async fn swapped() -> Result<Recovered> {
    let mut node = Node::new(Kind::Containerd)?;
    let [one, two] = ["..one", "..two"].map(|name| node.policies().join(name));
    fs::rename(node.policies(), node.beside("first"))?;
    fs::create_dir(node.policies())?;
    fs::rename(node.beside("first"), &one)?;
    symlink("..one", node.policies().join("..data"))?;
    for name in ["config.yaml", "kept.yaml", "other.yaml"] {
        symlink(format!("..data/{name}"), node.policies().join(name))?;
    }
    node.start()?;
    node.brings(Ask::Old).await?;
    let sight = node.sight();
    let new = Node::new(Kind::Containerd)?;
    new.ask(Ask::New)?;
    fs::create_dir(&two)?;
    for name in ["config.yaml", "kept.yaml", "other.yaml"] {
        fs::copy(new.policies().join(name), two.join(name))?;
    }
    symlink("..two", node.policies().join("..data_tmp"))?;
    fs::rename(
        node.policies().join("..data_tmp"),
        node.policies().join("..data"),
    )?;
    fs::remove_dir_all(&one)?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}

/// Root reads whatever the mode is, unless it has lost the capability to.
async fn unreadable() -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    let sight = node.sight();
    fs::set_permissions(node.policies(), fs::Permissions::from_mode(0o000))?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
    command.args(["--inh-caps", "-dac_override,-dac_read_search"]);
    command.arg(Product::Agent.locate()?);
    node.arguments(&mut command);
    node.start_as(command)?;
    node.until("the problem to be told", |node| {
        node.log().contains("Permission denied")
    })
    .await?;
    ensure!(node.holds(Ask::Old)?, "something was changed");
    fs::set_permissions(node.policies(), fs::Permissions::from_mode(0o755))?;
    node.ask(Ask::New)?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}

async fn many() -> Result<Recovered> {
    let node = Node::running(Kind::Containerd).await?;
    let sight = node.sight();
    for at in 0..2_000 {
        fs::write(node.policies().join(format!("{at}.txt")), "no policy")?;
    }
    node.ask(Ask::New)?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}

/// Somebody who never leaves a moment of quiet does not keep the agent from its work.
async fn busy() -> Result<Recovered> {
    let node = Node::running(Kind::Containerd).await?;
    let sight = node.sight();
    node.ask(Ask::New)?;
    let took = node
        .until("new in force", |node| {
            let written = fs::write(node.policies().join("busy.txt"), "no policy");
            written.is_ok() && node.holds(Ask::New).unwrap_or_default()
        })
        .await?;
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}
